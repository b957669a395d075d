"""HTTP to one server, in three layers, each of which adds one thing to the one below it.

send      tries again, until there is an answer or the time is up
_attempt  makes a problem document, and whatever else is no answer, an exception
_exchange sends one request over this process's connections and reads its reply
"""

import json
import math
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests
import urllib3
from requests.auth import AuthBase

from optunapi.client.http.one_piece import OnePieceAdapter
from optunapi.client.http.problems import error_of
from optunapi.client.http.retries import Retries
from optunapi.client.optuna_types.scalars import plain
from optunapi.client.process.forks import PerProcess
from optunapi.errors import ServerUnavailable

CONNECTIONS_KEPT = 64
CONNECT_SECONDS = 10.0
API = "/optunapi"
V1 = f"{API}/v1"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request. `path` is below v1, in parts that need no quoting.

    `body` goes as JSON, `content` as it is; a path's file is read anew at each try. `fields` are some
    that its reply has: without them it is no reply of an OptunAPI server, whatever its status says.
    `timeout` is in seconds, the session's unless given.
    """

    method: str
    path: tuple[str, ...]
    body: Mapping[str, Any] | None = None
    content: bytes | Path | None = None
    content_type: str = "application/json"
    query: Mapping[str, str | float] = field(default_factory=dict)
    more_headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    fields: tuple[str, ...] = ()
    timeout: float | None = None

    @property
    def place(self) -> str:
        """The path of the URL."""
        for part in self.path:
            if part in ("", ".", "..") or "/" in part:
                raise ValueError(f"{part!r} cannot be a name in a URL")
        return "/".join((V1, *(quote(part, safe="") for part in self.path)))

    @property
    def headers(self) -> dict[str, str]:
        """What HTTP says of it."""
        found = dict(self.more_headers)
        if self.key is not None:
            found["Idempotency-Key"] = self.key
        if self.body is not None or self.content is not None:
            found["Content-Type"] = self.content_type
        return found

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The body as requests takes it."""
        if isinstance(self.content, Path):
            with self.content.open("rb") as file:
                yield file
        elif self.body is not None:
            yield json.dumps(self.body, default=plain, allow_nan=False).encode()
        else:
            yield self.content


class Bearer(AuthBase):
    """The token, as a header. As an `auth` it also keeps requests from reading ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Session:
    """The connections to one server. Safe across threads and forks."""

    def __init__(
        self, url: str, *, token: str | None, timeout: float, retries: Retries, verify: bool | str
    ) -> None:
        self.url, in_url = address_of(url)
        token = (token or in_url or "").strip()
        if not all("!" <= character <= "~" for character in token):
            raise ValueError("the token has characters that none has: blanks, or other than ASCII")
        self._auth = Bearer(token) if token else None
        self._timeout = timeout
        self._retries = retries
        self._verify = verify
        self._pools = PerProcess(_new_pool)

    def send(
        self, request: Request, *, first: Callable[[], None] | None = None, once: bool = False
    ) -> Any:
        """The content of the server's reply; `first` is called before each try, as a part of it.

        Raises:
            OptunAPIError: the server refuses.
            ServerUnavailable: it was not reached in time; with `once`, at the first try.
        """

        def attempt() -> Any:
            if first is not None:
                first()
            return self._attempt(request)

        return self._attempt(request) if once else self._retries.run(attempt)

    def is_alive(self) -> bool:
        """Whether an OptunAPI server answers, now."""
        try:
            reply = self._exchange("GET", f"{API}/ping", self._timeout)
            return reply.ok and "alive" in str(reply.json())
        except (ServerUnavailable, ValueError):
            return False

    @contextmanager
    def stream(self, request: Request, *, silence: float) -> Iterator[Iterator[bytes]]:
        """The reply's content as it comes; it may pause for `silence` seconds.

        Raises: as `send`, at once.
        """
        with _as_unavailable(self.url):
            reply = self._exchange(
                request.method, request.place, silence, headers=request.headers, stream=True
            )
        with reply:
            if not reply.ok:
                raise error_of(self.url, reply.status_code, _json(reply), reply.headers)

            def chunks() -> Iterator[bytes]:
                with _as_unavailable(self.url):
                    yield from reply.iter_content(chunk_size=None)

            yield chunks()

    def _attempt(self, request: Request) -> Any:
        with request.opened() as content:
            reply = self._exchange(
                request.method,
                request.place,
                request.timeout or self._timeout,
                data=content,
                headers=request.headers,
                params=request.query,
            )
        if reply.status_code == 204 and not request.fields:
            return None
        document = _json(reply)
        if not reply.ok:
            raise error_of(self.url, reply.status_code, document, reply.headers)
        if isinstance(document, dict) and all(name in document for name in request.fields):
            return document
        if document is None and "json" in reply.headers.get("Content-Type", ""):
            raise ServerUnavailable(f"{self.url}: the reply was cut off", retry_after=0.0)
        raise error_of(self.url, reply.status_code, None, reply.headers)

    def _exchange(
        self, method: str, place: str, timeout: float, **options: Any
    ) -> requests.Response:
        with _as_unavailable(self.url):
            return self._pools.get().request(
                method,
                f"{self.url}{place}",
                auth=self._auth,
                timeout=(min(timeout, CONNECT_SECONDS), timeout),
                allow_redirects=False,  # a redirected POST becomes a GET
                verify=self._verify,
                **options,
            )


def address_of(url: str) -> tuple[str, str | None]:
    """The server's URL as it is compared and shown, and the token that stood in it as a password.

    Raises:
        ValueError: it is no URL of a server.
    """
    parts = urlsplit(url.strip())
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no server's URL: write it as http://HOST:PORT")
    port = parts.port  # raises ValueError where it is no number
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = host if port is None else f"{host}:{port}"
    token = parts.password or parts.username
    address = urlunsplit((parts.scheme.lower(), where, parts.path.rstrip("/"), "", ""))
    requests.Request("GET", address).prepare()
    return address, unquote(token) if token else None


def _new_pool() -> requests.Session:
    pool = requests.Session()
    # With cookies a session would not be safe across threads.
    pool.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        pool.mount(scheme, OnePieceAdapter(pool_maxsize=CONNECTIONS_KEPT))
    return pool


@contextmanager
def _as_unavailable(url: str) -> Iterator[None]:
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        reason = _innermost(error)
        # A certificate will not become valid by asking again, nor a URL.
        is_final = isinstance(reason, ssl.SSLCertVerificationError | ValueError)
        raise ServerUnavailable(
            f"{url} was not reached: {reason or type(error).__name__}",
            retry_after=math.inf if is_final else 0.0,
        ) from error


def _innermost(error: BaseException) -> BaseException:
    """What lies at the bottom of the layers that requests and urllib3 wrap around an error."""
    while True:
        inside = getattr(error, "reason", None) or next(
            (each for each in error.args if isinstance(each, BaseException)), None
        )
        if isinstance(inside, BaseException):
            error = inside
        elif isinstance(error.__cause__, OSError):
            error = error.__cause__
        else:
            return error


def _json(reply: requests.Response) -> Any:
    try:
        return reply.json()
    except (ValueError, RecursionError):
        return None
