"""A local port; each connection to it is forwarded through a channel of the SSH connection."""

import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any

import paramiko  # type: ignore[import-untyped]

from optunapi.errors import TunnelFailed

CHUNK = 64 * 1024
POLL_SECONDS = 1.0  # how often a blocked thread checks whether it should end
JOIN_SECONDS = 5.0
RESET_AT_CLOSE = struct.pack("ii", 1, 0)

OpenChannel = Callable[[tuple[str, int]], Any]
log = logging.getLogger("optunapi.tunnel")


class Forwarder:
    """Listens on a loopback port and forwards each connection through a channel.

    `open_channel` takes the connection's source address and returns a paramiko.Channel. If it
    raises TunnelFailed, the connection is closed at once and the port stays open.
    """

    def __init__(self, port: int, open_channel: OpenChannel) -> None:
        """Bind the port (0 picks a free one); connections are accepted after `start`.

        Raises:
            TunnelFailed: the port is in use.
        """
        try:
            self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        except OSError as error:
            raise TunnelFailed(
                f"Local port {port} cannot be used ({error.strerror}): choose another port, or 0 "
                "for any free one"
            ) from None
        self._listener.settimeout(POLL_SECONDS)
        self.port: int = self._listener.getsockname()[1]
        self._open_channel = open_channel
        self._lock = Lock()
        self._connections: set[_Forwarding] = set()
        self._closing = Event()
        self._acceptor = Thread(target=self._accept, name="tunnel-accept", daemon=True)

    def start(self) -> None:
        """Accept connections until `close`."""
        self._acceptor.start()

    def close(self) -> None:
        """Release the port and reset its connections; may be called more than once."""
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor on most platforms
        if self._acceptor.is_alive():
            self._acceptor.join(JOIN_SECONDS)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.abort()
        for connection in connections:
            connection.join(JOIN_SECONDS)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, source = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if not self._closing.wait(POLL_SECONDS):
                    log.warning("The tunnel could not accept a connection: %s", error)
                continue
            connection = _Forwarding(client, source, self._open_channel, self._forget)
            with self._lock:
                self._connections.add(connection)
            connection.start()

    def _forget(self, connection: "_Forwarding") -> None:
        with self._lock:
            self._connections.discard(connection)


class _Forwarding(Thread):
    """One forwarded connection: this thread copies from server to client, a second one the reverse.

    Each direction ends independently, so that a client that has finished sending still gets the
    answer. If a direction fails, the connection is reset: a cut answer must not look complete.
    """

    def __init__(
        self,
        client: socket.socket,
        source: tuple[str, int],
        open_channel: OpenChannel,
        ended: Callable[["_Forwarding"], None],
    ) -> None:
        super().__init__(name="tunnel-down", daemon=True)
        self._client = client
        self._client.settimeout(POLL_SECONDS)
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._source = source
        self._open_channel = open_channel
        self._ended = ended
        self._channel: Any = None
        self._aborted = Event()

    def run(self) -> None:
        """Forward until both directions end or one fails."""
        try:
            self._channel = self._open_channel(self._source)
        except TunnelFailed as error:
            log.info("A connection to the tunnel was closed: %s", error.detail)
            self._close()
            return
        if self._aborted.is_set():
            self._close_channel()  # `abort` ran before there was a channel to close
        up = Thread(target=self._guarded, args=(self._copy_up,), name="tunnel-up", daemon=True)
        up.start()
        self._guarded(self._copy_down)
        up.join()
        self._close_channel()
        self._close()

    def abort(self) -> None:
        """Cut off both directions."""
        self._aborted.set()
        with suppress(OSError):
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            self._client.shutdown(socket.SHUT_RD)  # wakes the reading thread; sends nothing
        if self._channel is not None:
            self._close_channel()

    def _guarded(self, direction: Callable[[], None]) -> None:
        """Run one direction; if it fails, end the other one too."""
        try:
            direction()
        except (OSError, EOFError, paramiko.SSHException) as error:
            log.debug("A forwarded connection was cut off: %s", error)
            self.abort()

    def _copy_up(self) -> None:
        while data := self._read():
            self._channel.sendall(data)
        if not self._aborted.is_set():
            self._channel.shutdown_write()

    def _copy_down(self) -> None:
        while data := self._channel.recv(CHUNK):
            self._write(memoryview(data))
        if not self._channel.eof_received:
            raise EOFError("the channel was closed before its end")
        self._client.shutdown(socket.SHUT_WR)

    def _read(self) -> bytes:
        """Return what the client sent; empty if it finished sending or was cut off."""
        while not self._aborted.is_set():
            with suppress(TimeoutError):
                return self._client.recv(CHUNK)
        return b""

    def _write(self, data: memoryview) -> None:
        while data:
            if self._aborted.is_set():
                raise EOFError("the connection was cut off")
            with suppress(TimeoutError):
                data = data[self._client.send(data) :]

    def _close_channel(self) -> None:
        # If the SSH connection is lost at this moment, it cannot send the message that closes the channel.
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()

    def _close(self) -> None:
        self._client.close()
        self._ended(self)
