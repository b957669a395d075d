"""One request to a server and its reply, in two steps.

send        turns a refusal, or any reply of something else, into an exception
_exchange   sends over this process's connections, again if one was lost between two requests, and turns
            network failures into exceptions
"""

import math
import re
import socket
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

from optunapi.client.http.problems import error_of
from optunapi.client.http.proxies import DirectAtHome, proxy_hint
from optunapi.client.http.reused import ReusedConnectionLost, ReusingAdapter
from optunapi.client.optuna_types.scalars import json_of
from optunapi.client.process.forks import PerProcess
from optunapi.errors import OptunAPIError, RouteNotFound, ServerUnavailable

CONNECTIONS_KEPT = 64
CONNECT_SECONDS = 10.0
# OpenSSL's reasons, by version, when the reply to a TLS handshake is plain HTTP.
PLAIN_HTTP = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
API = "/optunapi"
V1 = f"{API}/v1"
SERVER_ID = re.compile(r"[0-9a-f]{8,64}")  # part of a folder's name
# What a POST does that changes nothing when it arrives twice. Any other needs a key for that.
REPEATABLE = frozenset({"tell", "report", "renew", "release", "suggest", "stop", "spec"})


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request to v1."""

    method: str
    path: tuple[str, ...]  # parts below v1, not quoted
    body: Mapping[str, Any] | None = None  # sent as JSON
    content: bytes | Path | None = None  # sent as it is; a file is read again for each attempt
    content_type: str = "application/json"
    query: Mapping[str, str | float] = field(default_factory=dict)
    more_headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None  # the idempotency key
    # Some keys of the reply. A reply without them is not from an OptunAPI server, whatever its status.
    fields: tuple[str, ...] = ()
    timeout: float | None = None  # seconds; by default the session's
    patience: float = 0.0  # seconds beyond the timeout, when the server is asked to wait

    @property
    def url_path(self) -> str:
        """The quoted path of the URL."""
        for part in self.path:
            if part in ("", ".", "..") or "/" in part:
                raise ValueError(f"{part!r} cannot be a name in a URL")
        return "/".join((V1, *(quote(part, safe="") for part in self.path)))

    @property
    def is_repeatable(self) -> bool:
        """Whether the request does the same if it arrives twice."""
        return self.method != "POST" or self.key is not None or self.path[-1] in REPEATABLE

    @property
    def headers(self) -> dict[str, str]:
        """The headers."""
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
            yield json_of(self.body).encode()
        else:
            yield self.content


class Session:
    """The connections to one server. Safe across threads and forks."""

    def __init__(self, url: str, *, token: str | None, timeout: float, verify: bool | str) -> None:
        self.url, in_url = address_of(url)
        token = (token or in_url or "").strip()
        if not all("!" <= character <= "~" for character in token):
            raise ValueError("the token has characters that are not visible ASCII ones")
        self.timeout = timeout
        self._auth = _bearer(token) if token else None
        self._verify = verify
        self._pools = PerProcess(_new_pool)
        self.server_id: str | None = None  # of the last server that sent one

    def send(self, request: Request) -> Any:
        """Send a request once; return the reply's decoded JSON, or None if it has no content.

        Raises:
            OptunAPIError: the server refuses.
            UnexpectedReply: something else than an OptunAPI server answers.
            ServerUnavailable: the server was not reached.
        """
        with request.opened() as content:
            timeout = (request.timeout or self.timeout) + request.patience
            reply = self._exchange(
                request.method,
                request.url_path,
                timeout,
                request.is_repeatable,
                data=content,
                headers=request.headers,
                params=request.query,
            )
        if reply.status_code == 204 and not request.fields:
            return None
        document = _json(reply)
        if not reply.ok:
            raise self._refusal(reply, document)
        if isinstance(document, dict) and all(name in document for name in request.fields):
            return document
        if document is None and "json" in reply.headers.get("Content-Type", ""):
            raise ServerUnavailable(f"{self.url}: the reply was cut off", retry_after=0.0)
        raise self._refusal(reply, None)

    def _refusal(self, reply: requests.Response, document: Any) -> OptunAPIError:
        error = error_of(
            self.url, reply.status_code, document, reply.headers, hint=proxy_hint(self.url)
        )
        if isinstance(error, RouteNotFound) and urlsplit(self.url).path:
            return RouteNotFound(
                f"{error.detail}: write the server's URL as http://HOST:PORT, and a path only if a proxy "
                "in front of the server adds one",
                status=error.status,
            )
        return error

    def is_alive(self) -> bool:
        """Whether an OptunAPI server answers now."""
        try:
            reply = self._exchange("GET", f"{API}/ping", self.timeout)
        except ServerUnavailable:
            return False
        return reply.ok and "alive" in str(_json(reply))

    def identify(self, timeout: float) -> str | None:
        """Return the id of the server that answers now, or None if it sends none.

        Raises:
            UnexpectedReply: something else than an OptunAPI server answers.
            ServerUnavailable, RateLimited: the server is not reached.
        """
        reply = self._exchange("GET", f"{API}/ping", min(timeout, self.timeout))
        found = _server_id(reply)
        if found is None and "alive" not in str(_json(reply)):
            raise error_of(self.url, reply.status_code, None, reply.headers)
        return found

    @contextmanager
    def stream(
        self, request: Request, *, silence: float, media_type: str
    ) -> Iterator[Iterator[bytes]]:
        """The reply's content as it arrives; the server may send nothing for `silence` seconds.

        Raises: as `send`. A reply of another media type is not from an OptunAPI server.
        """
        options: dict[str, Any] = {
            "headers": request.headers,
            "params": request.query,
            "stream": True,
        }
        with self._exchange(request.method, request.url_path, silence, **options) as reply:
            if not reply.ok:
                with _network_errors(self.url):
                    document = _json(reply)
                raise self._refusal(reply, document)
            if not reply.headers.get("Content-Type", "").startswith(media_type):
                raise self._refusal(reply, None)

            def chunks() -> Iterator[bytes]:
                with _network_errors(self.url):
                    yield from reply.iter_content(chunk_size=None)

            yield chunks()

    def _exchange(
        self, method: str, path: str, timeout: float, is_repeatable: bool = True, **options: Any
    ) -> requests.Response:
        """Send a request; return its reply.

        It is sent a second time if a connection that had been open before ends without a reply. A request
        that may not arrive twice has a connection of its own.
        """

        def exchange(pool: requests.Session) -> requests.Response:
            reply = pool.request(
                method,
                f"{self.url}{path}",
                auth=self._auth,
                timeout=(min(timeout, CONNECT_SECONDS), timeout),
                allow_redirects=False,  # requests would turn a redirected POST into a GET
                verify=self._verify,
                **options,
            )
            self.server_id = _server_id(reply) or self.server_id
            return reply

        with _network_errors(self.url):
            if is_repeatable:
                try:
                    return exchange(self._pools.get())
                except requests.ConnectionError as error:
                    if not isinstance(_innermost(error), ReusedConnectionLost):
                        raise
                content: Any = options.get("data")
                if hasattr(content, "seek"):
                    content.seek(0)
            # Not another one that is open: if the server was restarted, all of them are lost.
            with _new_pool() as pool:
                return exchange(pool)


def address_of(url: str) -> tuple[str, str | None]:
    """Return the server's URL in its normal form, and the token that it had as a password.

    Raises:
        ValueError: the URL is not one of a server.
    """
    try:
        parts = urlsplit(url.strip())
        name, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, an address with one bracket
        name = None
    if not name or parts.scheme.lower() not in ("http", "https"):
        raise ValueError(f"{url!r} is not the URL of a server: write it as http://HOST:PORT")
    host = f"[{name}]" if ":" in name else name
    where = host if port is None else f"{host}:{port}"
    token = parts.password or parts.username
    address = urlunsplit((parts.scheme.lower(), where, parts.path.rstrip("/"), "", ""))
    requests.Request("GET", address).prepare()
    return address, unquote(token) if token else None


def _bearer(token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Return an `auth` that sends the token. With any `auth`, requests does not read ~/.netrc."""

    def add_token(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return add_token


def _new_pool() -> requests.Session:
    pool = DirectAtHome()
    # With cookies, a session would not be safe across threads.
    pool.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        pool.mount(scheme, ReusingAdapter(pool_maxsize=CONNECTIONS_KEPT))
    return pool


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    """Raise `ServerUnavailable` for what requests and urllib3 raise in the block."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        reason = _innermost(error)
        speaks_http = getattr(reason, "reason", None) in PLAIN_HTTP
        # Trying again makes no certificate and no URL valid, and no server speak TLS.
        is_final = speaks_http or isinstance(reason, ssl.SSLCertVerificationError | ValueError)
        is_unknown = isinstance(reason, socket.gaierror | urllib3.exceptions.NameResolutionError)
        is_refused = isinstance(reason, ConnectionRefusedError)
        if proxy := proxy_hint(url):
            hint = f". {proxy}"
        elif speaks_http:
            hint = ": what listens there does not speak https. Write http:// if it is the server"
        elif is_refused:
            hint = ": no server listens there. `optunapi serve` starts one"
        elif is_unknown:
            hint = ": check the name of the host"
        else:
            hint = ""
        unavailable = ServerUnavailable(
            f"{url} was not reached: {reason or type(error).__name__}{hint}",
            retry_after=math.inf if is_final else 0.0,
        )
        is_unconnected = isinstance(error, requests.ConnectTimeout)
        unavailable.is_unsent = is_unknown or is_refused or is_unconnected
        raise unavailable from error


def _innermost(error: BaseException) -> BaseException:
    """Return the cause inside the layers that requests and urllib3 wrap around an error."""
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


def _server_id(reply: requests.Response) -> str | None:
    found = reply.headers.get("X-OptunAPI-Server", "")
    return found if SERVER_ID.fullmatch(found) else None


def _json(reply: requests.Response) -> Any:
    try:
        return reply.json()
    except (ValueError, RecursionError):
        return None
