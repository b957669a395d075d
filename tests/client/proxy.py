"""A proxy in front of a real server that disturbs chosen requests as networks do."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal[
    "reset",  # the request never reaches the server
    "lose-reply",  # the server answers, and the reply is lost
    "truncate",  # half of the reply arrives
    "repeat",  # the server gets the request twice
    "stall",  # the server answers, and the connection stalls
    "bad-gateway",  # the proxy answers that it cannot reach the server
]


NO_REPLY = ("reset", "lose-reply", b"")


@dataclass
class Proxy:
    """The faults to come, and the method and path of each request so far.

    A fault in bytes is the whole answer; the server does not get the request. A connection that is used
    again and ends without a reply is tried anew at once: the second try is reset too.
    """

    url: str
    seen: list[tuple[str, str]] = field(default_factory=list)
    faults: list[tuple[str, Fault | bytes]] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None  # called when a reply is lost
    closes: bool = False  # whether each connection is closed after its first reply, without a word
    ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def disturb(self, path_end: str, *faults: Fault | bytes) -> None:
        """Disturb the next requests whose path ends like this, with one fault each."""
        with self._lock:
            self.faults += [(path_end, fault) for fault in faults]

    def calm(self) -> None:
        """Disturb no more requests."""
        with self._lock:
            self.faults.clear()

    def take(self, method: str, path: str, is_reused: bool) -> Fault | bytes | None:
        with self._lock:
            self.seen.append((method, path))
            for place, (path_end, fault) in enumerate(self.faults):
                if path.endswith(path_end):
                    del self.faults[place]
                    if is_reused and fault in NO_REPLY:
                        self.faults.insert(place, (path_end, "reset"))
                    return fault
            return None


@contextmanager
def proxy_before(server_url: str) -> Iterator[Proxy]:
    """Run a proxy during the block."""
    host, port = server_url.removeprefix("http://").split(":")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60
        is_reused = False  # whether its connection has had a request before

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.take(self.command, self.path.partition("?")[0], self.is_reused)
            self.is_reused = True
            self.close_connection |= proxy.closes
            if fault == "reset":
                return self.reset()
            if isinstance(fault, bytes):
                return self.answer_with(fault)
            if fault == "bad-gateway":
                return self.answer(502, [("Content-Type", "text/html")], b"<h1>Bad Gateway</h1>")
            try:
                reply = self.forward(body)
                if fault == "repeat":
                    reply = self.forward(body)
            except OSError:
                return self.reset()
            if fault == "lose-reply":
                proxy.meanwhile()
                return self.reset()
            if fault == "stall":
                proxy.ended.wait()
                return self.reset()
            if fault == "truncate":
                self.answer(*reply, cut=len(reply[2]) // 2)
                return self.reset()
            return self.answer(*reply)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one  # noqa: N815

        def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            upstream = http.client.HTTPConnection(host, int(port), timeout=60)
            try:
                upstream.request(self.command, self.path, body, dict(self.headers))
                reply = upstream.getresponse()
                return reply.status, reply.getheaders(), reply.read()
            except http.client.HTTPException as error:
                raise ConnectionError(str(error)) from error
            finally:
                upstream.close()

        def answer(
            self,
            status: int,
            headers: list[tuple[str, str]],
            content: bytes,
            cut: int | None = None,
        ) -> None:
            with suppress(OSError):
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:cut])

        def answer_with(self, raw: bytes) -> None:
            self.close_connection = True
            with suppress(OSError):
                self.wfile.write(raw)

        def reset(self) -> None:
            """Close the connection so that the other side gets an RST."""
            self.close_connection = True
            with suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def shutdown_request(self, request: Any) -> None:
            # The base class would end the connection properly first, and then there is no RST.
            self.close_request(request)

        def handle_error(self, *_: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy = Proxy(url=f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.ended.set()
            server.shutdown()
            thread.join()
