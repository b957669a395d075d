"""Every error OptunAPI raises, on the server and in the client.

    OptunAPIError
    ├── BadRequest
    │   ├── JsonInvalid           json-invalid
    │   ├── RequestInvalid        request-invalid     `errors`: location and reason
    │   ├── ConfigInvalid         config-invalid      `errors`: file, line, key, reason
    │   │   └── DatabaseUnusable  internal: a database that has to be upgraded or repaired
    │   ├── NameInvalid           name-invalid
    │   ├── ValueInvalid          value-invalid
    │   ├── KeyReused             key-reused
    │   ├── TooLarge              too-large
    │   └── EncodingUnsupported   encoding-unsupported
    ├── AccessDenied
    │   ├── NotAuthenticated      not-authenticated
    │   ├── NotPermitted          not-permitted
    │   ├── PeerNotPrivate        peer-not-private
    │   ├── HostUnknown           host-unknown
    │   └── CrossSite             cross-site
    ├── NotFound
    │   ├── StudyNotFound         study-not-found
    │   ├── TrialNotFound         trial-not-found
    │   ├── ArtifactNotFound      artifact-not-found
    │   ├── TokenNotFound         token-not-found
    │   └── RouteNotFound         route-not-found
    ├── MethodNotAllowed          method-not-allowed
    ├── Conflict
    │   ├── TrialFinished         trial-finished      `trial`: the stored trial
    │   ├── TrialWaiting          trial-waiting
    │   ├── LeaseLost             lease-lost
    │   ├── StudyReplaced         study-replaced
    │   ├── StudyPaused           study-paused
    │   ├── StudyFinished         study-finished      `finished_reason`
    │   ├── StudyBusy             study-busy
    │   ├── SpecConflict          spec-conflict       `diff`
    │   └── StudyExists           study-exists        raised by the client only
    ├── TryLater                                      `retry_after`: seconds
    │   ├── NoSlot                no-slot
    │   ├── RateLimited           rate-limited
    │   ├── StorageUnavailable    storage-unavailable
    │   │   ├── Superseded        internal: the server repeats the change
    │   │   ├── StorageClosed     internal: the server opens the database again
    │   │   ├── ConfigChanging    internal: the server waits until the file is complete
    │   │   └── ServerFull        internal: the server ends the connection
    │   ├── Standby               standby
    │   └── ServerUnavailable     server-unavailable  raised by the client only
    ├── Internal                  internal            `request_id`
    ├── UnexpectedReply           unexpected-reply    raised by the client only
    └── TunnelFailed              tunnel-failed       raised by the tunnel, never sent over HTTP
        ├── GatewayUnreachable    gateway-unreachable
        ├── GatewayTooOld         gateway-too-old
        ├── HostKeyRefused
        │   ├── HostKeyUnknown    host-key-unknown    `line`: what to add to known_hosts
        │   ├── HostKeyChanged    host-key-changed
        │   └── HostKeyRevoked    host-key-revoked
        ├── LoginRefused          login-refused       `tried`: fingerprints
        ├── ForwardingRefused     forwarding-refused
        └── RemoteUnreachable     remote-unreachable

The second column is the class's `code`, made from its name. A problem document carries the code, and the
client raises the class that has it, so a code never changes. `api/http/problems.py` maps each class to
its HTTP status.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Self


class OptunAPIError(Exception):
    """The base class. `detail` says what is wrong and what to do; `extra` has data for programs."""

    code: str = "internal"

    def __init_subclass__(cls, *, has_code: bool = True) -> None:
        super().__init_subclass__()
        if has_code:
            cls.code = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()

    def __init__(self, detail: str, *, status: int | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.extra: Mapping[str, Any] = extra

    def __str__(self) -> str:
        """`detail`, and below it what `extra` says beyond that."""
        more = (line for key, value in self.extra.items() for line in _lines(key, value))
        return "\n".join([self.detail, *(f"  {line}" for line in more if line not in self.detail)])

    def again(self) -> Self:
        """Return a copy to raise: one object raised in many threads would collect all their tracebacks."""
        return copy(self)


def _lines(key: str, value: Any) -> Iterator[str]:
    """What a part of `extra` says, a line for each item of a list."""
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        for each in value:
            yield line_of(each)
    elif key == "trial" and isinstance(value, Mapping):
        told = {name: value.get(name) for name in ("number", "state", "values", "fail_reason")}
        yield "the stored trial: " + ", ".join(f"{k} {v}" for k, v in told.items() if v is not None)
    elif value is not None and isinstance(value, str | int | float | list | tuple | Mapping):
        yield value if isinstance(value, str) and len(value) > 60 else f"{key}: {value}"


def line_of(item: Mapping[str, Any]) -> str:
    """An item of `errors` or of `diff` as a line of text: its place, its key, and what is wrong."""
    reason = item.get("reason")
    if "old" in item or "new" in item:
        old, new = (json.dumps(item.get(key), ensure_ascii=False) for key in ("old", "new"))
        return f"{item.get('key')}: {old} became {new}" + (f" ({reason})" if reason else "")
    location = ".".join(map(str, item.get("location") or ()))
    line = f"line {item['line']}" if item.get("line") else None
    place = ", ".join(str(each) for each in (item.get("file"), line) if each)
    return ": ".join(str(each) for each in (place, item.get("key"), location, reason) if each)


def in_one_line(items: Sequence[Mapping[str, Any]], *, most: int = 10) -> str:
    """The first `most` items of `errors` or of `diff` in one line; a file is named once."""
    lines = [
        line_of({**item, "file": None} if i and item.get("file") == items[0].get("file") else item)
        for i, item in enumerate(items[:most])
    ]
    more = [f"and {len(items) - most} more"] if len(items) > most else []
    return "; ".join(lines + more)


class BadRequest(OptunAPIError, has_code=False):
    """The request cannot be accepted as it is."""


class JsonInvalid(BadRequest):
    """The body is not strict JSON (RFC 8259)."""


class RequestInvalid(BadRequest):
    """A field or a query parameter is invalid; `errors` lists location and reason."""


class ConfigInvalid(BadRequest):
    """A study's specification has errors; `errors` lists all with file, line, key and reason."""


class DatabaseUnusable(ConfigInvalid, has_code=False):
    """A study's database cannot be served as it is, and trying again cannot help.

    `detail` says what to do. `file` is the database's name.
    """

    def __init__(self, detail: str, *, file: str | None = None, status: int | None = None) -> None:
        found = {"file": file, "line": None, "key": None, "reason": detail}
        super().__init__(detail, status=status, errors=[found])


class NameInvalid(BadRequest):
    """The study's name is not allowed."""


class ValueInvalid(BadRequest):
    """A value does not fit the study's objectives or parameters."""


class KeyReused(BadRequest):
    """The idempotency key was already used for a different request."""


class TooLarge(BadRequest):
    """The body exceeds its size limit."""


class EncodingUnsupported(BadRequest):
    """The body is compressed."""


class AccessDenied(OptunAPIError, has_code=False):
    """The caller may not do this."""


class NotAuthenticated(AccessDenied):
    """A token is required, or the token is wrong, expired or revoked."""


class NotPermitted(AccessDenied):
    """The token's scope does not allow this."""


class PeerNotPrivate(AccessDenied):
    """A private server was called from a public address."""


class HostUnknown(AccessDenied):
    """A private server was called by a host name that is not its own."""


class CrossSite(AccessDenied):
    """A web page of another site, or a prefetch, tried to change state."""


class NotFound(OptunAPIError, has_code=False):
    """The requested object does not exist."""


class StudyNotFound(NotFound):
    """There is no study of this name."""


class TrialNotFound(NotFound):
    """The study has no trial of this number."""


class ArtifactNotFound(NotFound):
    """The trial has no artifact of this name."""


class TokenNotFound(NotFound):
    """There is no token of this id."""


class RouteNotFound(NotFound):
    """The server has no such path."""


class MethodNotAllowed(OptunAPIError):
    """The path exists, but does not take this method."""


class Conflict(OptunAPIError, has_code=False):
    """The state of the study or of the trial does not allow this."""


class TrialFinished(Conflict):
    """The trial is finished with another result; `trial` is the stored trial."""


class TrialWaiting(Conflict):
    """The trial is still in the queue and was never handed out."""


class LeaseLost(Conflict):
    """The trial was handed to another worker, or it never had this lease."""


class StudyReplaced(Conflict):
    """The study was deleted, and another one has its name."""


class StudyPaused(Conflict):
    """The study is paused and hands out no trials until it is opened again."""


class StudyFinished(Conflict):
    """The study is finished and hands out no more trials; `finished_reason` says why."""


class StudyBusy(Conflict):
    """The study has running trials."""


class SpecConflict(Conflict):
    """The specification is incompatible with the study's existing trials; `diff` says where."""


class StudyExists(Conflict):
    """A study of this name already exists."""


class TryLater(OptunAPIError, has_code=False):
    """The request failed for now; it may succeed in `retry_after` seconds."""

    def __init__(self, detail: str, *, retry_after: float = 1.0, status: int | None = None) -> None:
        super().__init__(detail, status=status)
        self.retry_after = retry_after


class NoSlot(TryLater):
    """No trial can be handed out now, but one may become free."""


class RateLimited(TryLater):
    """This client sends too many requests."""


class StorageUnavailable(TryLater):
    """The study's database cannot be read or written now; nothing was changed."""


class Superseded(StorageUnavailable, has_code=False):
    """Another process changed what this change was based on; nothing was changed, try again."""


class StorageClosed(StorageUnavailable, has_code=False):
    """The database was closed; looking the study up again opens it."""


class ConfigChanging(StorageUnavailable, has_code=False):
    """The study's configuration file is being written; it counts in `retry_after` seconds at the earliest."""


class ServerFull(StorageUnavailable, has_code=False):
    """The server has as many connections as it may have descriptors for; this one ends with the reply."""


class Standby(TryLater):
    """This server is waiting for the server that owns the database to stop."""


class ServerUnavailable(TryLater):
    """No server answers; `retry_after` is infinite if a retry cannot help."""

    is_unsent = False  # whether the request has certainly not arrived


class Internal(OptunAPIError):
    """The server failed; its log has the cause under `request_id`."""


class UnexpectedReply(OptunAPIError):
    """The reply is not one that an OptunAPI server sends."""


class TunnelFailed(OptunAPIError):
    """The SSH tunnel cannot be opened or kept open."""


class GatewayUnreachable(TunnelFailed):
    """No SSH server answers at the gateway's address."""


class GatewayTooOld(TunnelFailed):
    """The gateway and this machine share no algorithm that is still considered safe."""


class HostKeyRefused(TunnelFailed, has_code=False):
    """The gateway's host key could not be verified; nothing was sent to it."""


class HostKeyUnknown(HostKeyRefused):
    """The gateway is not in known_hosts; `line` is the line that would add it."""


class HostKeyChanged(HostKeyRefused):
    """The gateway's host key differs from the one in known_hosts."""


class HostKeyRevoked(HostKeyRefused):
    """The gateway's host key is marked as revoked in known_hosts."""


class LoginRefused(TunnelFailed):
    """The gateway accepts none of the keys; `tried` has their fingerprints."""


class ForwardingRefused(TunnelFailed):
    """The gateway accepts the login but does not forward to the remote address."""


class RemoteUnreachable(TunnelFailed):
    """Nothing answers at the remote address behind the gateway."""
