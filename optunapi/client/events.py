"""A study's server-sent events, as an iterator that reconnects when a connection is lost."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from optunapi.client.connection import Connection
from optunapi.client.http.session import Request
from optunapi.errors import ServerUnavailable, StudyNotFound

SILENCE_SECONDS = 45.0  # the server sends something every 15
RECONNECT_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class StudyEvent:
    """One change. `data` is the trial or the study after it, as on the wire; `type` says which of the two.

    A `reset` has no data: events were missed, so read again what you need.
    """

    id: str
    type: str
    data: dict[str, Any]


def follow(connection: Connection, study: str) -> Iterator[StudyEvent]:
    """Iterate over the events of a study from the first `next` on, until the study is deleted.

    Raises:
        StudyNotFound: there was no such study at the start.
        ServerUnavailable: the server was not reached for `retry_for` seconds.
    """
    last: str | None = None
    connected = False
    while True:
        headers = {} if last is None else {"Last-Event-ID": last}
        request = Request(method="GET", path=("studies", study, "events"), more_headers=headers)
        with ExitStack() as opened:
            try:
                chunks = connection.retries.run(partial(_open, connection, request, opened))
            except StudyNotFound:
                if not connected:
                    raise
                return
            connected = True
            with suppress(ServerUnavailable):  # a lost connection: continue after the last event
                for event in parsed(chunks):
                    last = event.id
                    yield event
        time.sleep(RECONNECT_SECONDS)


def _open(connection: Connection, request: Request, opened: ExitStack) -> Iterator[bytes]:
    stream = connection.session.stream(
        request, silence=SILENCE_SECONDS, media_type="text/event-stream"
    )
    return opened.enter_context(stream)


def parsed(chunks: Iterable[bytes]) -> Iterator[StudyEvent]:
    """Iterate over the events of a stream. The chunks may end anywhere; an incomplete event is dropped."""
    fields: dict[str, str] = {}
    for line in _lines(chunks):
        if line:
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            continue
        if "data" in fields:
            data = json.loads(fields["data"])
            yield StudyEvent(id=fields.get("id", ""), type=fields.get("event", ""), data=data)
        fields = {}


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode()
