"""The id of the request that the running code serves, in this thread or task."""

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
