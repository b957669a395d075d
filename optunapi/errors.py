"""Every error OptunAPI raises, on the server and in the client.

    OptunAPIError
    ├── BadRequest
    │   ├── JsonInvalid           json-invalid
    │   ├── RequestInvalid        request-invalid     `errors`: location and reason
    │   ├── ConfigInvalid         config-invalid      `errors`: file, line, key, reason
    │   ├── NameInvalid           name-invalid
    │   ├── ValueInvalid          value-invalid
    │   ├── KeyReused             key-reused
    │   └── TooLarge              too-large
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
    │   ├── TrialFinished         trial-finished      `trial`: the stored one
    │   ├── TrialWaiting          trial-waiting
    │   ├── LeaseLost             lease-lost
    │   ├── StudyPaused           study-paused
    │   ├── StudyFinished         study-finished      `finished_reason`
    │   ├── StudyBusy             study-busy
    │   ├── SpecConflict          spec-conflict       `diff`
    │   └── StudyExists           study-exists        raised by the client alone
    ├── TryLater                                      `retry_after`: seconds
    │   ├── NoSlot                no-slot
    │   ├── RateLimited           rate-limited
    │   ├── StorageUnavailable    storage-unavailable
    │   │   ├── Superseded        never travels: the server does the same again
    │   │   └── StorageClosed     likewise, after opening the database again
    │   ├── Standby               standby
    │   └── ServerUnavailable     server-unavailable  raised by the client alone
    ├── Internal                  internal            `request_id`
    ├── UnexpectedReply           unexpected-reply    raised by the client alone
    └── TunnelFailed              tunnel-failed       these never travel
        ├── GatewayUnreachable    gateway-unreachable
        ├── GatewayTooOld         gateway-too-old
        ├── HostKeyRefused
        │   ├── HostKeyUnknown    host-key-unknown    `line`: what to add to known_hosts
        │   ├── HostKeyChanged    host-key-changed
        │   └── HostKeyRevoked    host-key-revoked
        ├── LoginRefused          login-refused       `tried`: fingerprints
        ├── ForwardingRefused     forwarding-refused
        └── RemoteUnreachable     remote-unreachable

A class's `code` is stable: it is what travels in a problem document, and the client raises the class
that carries it. `api/problems.py` gives each its HTTP status.
"""

from collections.abc import Mapping
from typing import Any, Self


class OptunAPIError(Exception):
    """The base of all. `detail` says what was wrong and what to do; `extra` holds what a program may want."""

    code: str = "internal"

    def __init__(self, detail: str, *, status: int | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.extra: Mapping[str, Any] = extra

    def again(self) -> Self:
        """A copy to raise: one exception object raised in many threads would gather all their tracebacks."""
        return type(self)(self.detail, status=self.status, **self.extra)


class BadRequest(OptunAPIError):
    """What was sent cannot be taken as it is."""


class JsonInvalid(BadRequest):
    """The body is not strict JSON (RFC 8259)."""

    code = "json-invalid"


class RequestInvalid(BadRequest):
    """A field, type or query parameter is off; `errors` lists location and reason."""

    code = "request-invalid"


class ConfigInvalid(BadRequest):
    """A study's specification has errors; `errors` lists all of them with file, line, key and reason."""

    code = "config-invalid"


class NameInvalid(BadRequest):
    """A study's name is not one OptunAPI allows."""

    code = "name-invalid"


class ValueInvalid(BadRequest):
    """A value does not fit the objectives or the parameters."""

    code = "value-invalid"


class KeyReused(BadRequest):
    """An idempotency key came again with another request."""

    code = "key-reused"


class TooLarge(BadRequest):
    """The body is over its limit."""

    code = "too-large"


class AccessDenied(OptunAPIError):
    """The caller may not do this."""


class NotAuthenticated(AccessDenied):
    """No token and one needed, or a wrong, expired or revoked one."""

    code = "not-authenticated"


class NotPermitted(AccessDenied):
    """The token's scope is too low."""

    code = "not-permitted"


class PeerNotPrivate(AccessDenied):
    """A private server was called from a public address."""

    code = "peer-not-private"


class HostUnknown(AccessDenied):
    """A private server was called by a name that is not its own."""

    code = "host-unknown"


class CrossSite(AccessDenied):
    """A web page of another site, or a prefetch, tried to change state."""

    code = "cross-site"


class NotFound(OptunAPIError):
    """There is no such thing here."""


class StudyNotFound(NotFound):
    """No study of this name."""

    code = "study-not-found"


class TrialNotFound(NotFound):
    """No trial of this number in the study."""

    code = "trial-not-found"


class ArtifactNotFound(NotFound):
    """No artifact of this name with the trial."""

    code = "artifact-not-found"


class TokenNotFound(NotFound):
    """No token of this id."""

    code = "token-not-found"


class RouteNotFound(NotFound):
    """No such path."""

    code = "route-not-found"


class MethodNotAllowed(OptunAPIError):
    """The path exists, the method does not."""

    code = "method-not-allowed"


class Conflict(OptunAPIError):
    """The state of the study or trial forbids it."""


class TrialFinished(Conflict):
    """The trial is closed with another result; `trial` is the stored one."""

    code = "trial-finished"


class TrialWaiting(Conflict):
    """The trial is queued and was never handed out."""

    code = "trial-waiting"


class LeaseLost(Conflict):
    """The trial was handed on to another worker."""

    code = "lease-lost"


class StudyPaused(Conflict):
    """The study hands out nothing until it is opened again."""

    code = "study-paused"


class StudyFinished(Conflict):
    """The study hands out nothing more; `finished_reason` says why."""

    code = "study-finished"


class StudyBusy(Conflict):
    """The study has running trials."""

    code = "study-busy"


class SpecConflict(Conflict):
    """The specification differs from the study's in a way its history cannot live with; `diff` says where."""

    code = "spec-conflict"


class StudyExists(Conflict):
    """A study of this name is there already."""

    code = "study-exists"


class TryLater(OptunAPIError):
    """The same request may succeed in `retry_after` seconds."""

    def __init__(self, detail: str, *, retry_after: float = 1.0, status: int | None = None) -> None:
        super().__init__(detail, status=status)
        self.retry_after = retry_after


class NoSlot(TryLater):
    """No trial or place is free now; one may become free."""

    code = "no-slot"


class RateLimited(TryLater):
    """Too many requests from this peer."""

    code = "rate-limited"


class StorageUnavailable(TryLater):
    """The study's database cannot be read or written now; nothing was changed."""

    code = "storage-unavailable"


class Superseded(StorageUnavailable):
    """Somebody else changed what this change built on; it has not happened, and may be tried again."""


class StorageClosed(StorageUnavailable):
    """The database was closed; looking the study up again opens it."""


class Standby(TryLater):
    """This server waits for the one that owns the database."""

    code = "standby"


class ServerUnavailable(TryLater):
    """No server answers. `retry_after` is infinite where trying again cannot help."""

    code = "server-unavailable"


class Internal(OptunAPIError):
    """A fault of the server; `request_id` is in its log."""

    code = "internal"


class UnexpectedReply(OptunAPIError):
    """What answers does not do so as an OptunAPI server does."""

    code = "unexpected-reply"


class TunnelFailed(OptunAPIError):
    """The SSH tunnel cannot be opened, or not be kept open."""

    code = "tunnel-failed"


class GatewayUnreachable(TunnelFailed):
    """No SSH server answers where the gateway should be."""

    code = "gateway-unreachable"


class GatewayTooOld(TunnelFailed):
    """The gateway and this machine have no algorithm in common that is still held to be safe."""

    code = "gateway-too-old"


class HostKeyRefused(TunnelFailed):
    """The gateway did not prove to be the one that known_hosts knows; nothing was sent to it."""


class HostKeyUnknown(HostKeyRefused):
    """Nothing is known of this gateway; `line` is what would have to be added to known_hosts."""

    code = "host-key-unknown"


class HostKeyChanged(HostKeyRefused):
    """The gateway has another host key than the known one."""

    code = "host-key-changed"


class HostKeyRevoked(HostKeyRefused):
    """The gateway's host key is marked as revoked in known_hosts."""

    code = "host-key-revoked"


class LoginRefused(TunnelFailed):
    """The gateway takes none of the keys; `tried` has their fingerprints."""

    code = "login-refused"


class ForwardingRefused(TunnelFailed):
    """The gateway lets this user in, but forwards nothing to that address."""

    code = "forwarding-refused"


class RemoteUnreachable(TunnelFailed):
    """Nothing answers behind the gateway at that address."""

    code = "remote-unreachable"
