"""Servers behind a tunnel: small TCP servers on loopback, each with one behaviour."""

import contextlib
import hashlib
import socket
import socketserver
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

Habit = Callable[[socket.socket], None]
CHUNK = 64 * 1024


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 128
    allow_reuse_address = True


@contextmanager
def serving(habit: Habit) -> Iterator[int]:
    """Serve each connection with `habit` until the block ends, and yield the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            habit(self.request)

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side finishes sending."""
    parts = []
    while part := connection.recv(CHUNK):
        parts.append(part)
    return b"".join(parts)


def echo(connection: socket.socket) -> None:
    """Send back what arrives, until the client finishes sending."""
    try:
        while part := connection.recv(CHUNK):
            connection.sendall(part)
    except ConnectionError:
        pass  # the client was cut off


def digest_at_the_end(connection: socket.socket) -> None:
    """Answer only after the client has finished sending."""
    connection.sendall(hashlib.sha256(read_all(connection)).hexdigest().encode())


def exchange(port: int, content: bytes) -> bytes:
    """Send `content` over a new connection, finish sending, and read the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)


def is_echoed(port: int, content: bytes = b"hello") -> bool:
    """Return whether a new connection to an `echo` works."""
    try:
        return exchange(port, content) == content
    except OSError:
        return False


def slow_way_to(port: int) -> Habit:
    """Forward what the client sends, at half a megabyte per second, and everything in return."""

    def bring_back(client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := server.recv(CHUNK):
                client.sendall(part)

    def pass_on(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            back = Thread(target=bring_back, args=(client, server))
            back.start()
            with contextlib.suppress(OSError):
                while part := client.recv(CHUNK // 4):
                    time.sleep(len(part) / 500_000)
                    server.sendall(part)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            back.join()

    return pass_on
