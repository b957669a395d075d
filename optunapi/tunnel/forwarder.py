"""A port of this machine whose connections go on as channels of whatever session there is."""

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
LOOK_SECONDS = 1.0  # how long a blocked thread may overlook that it should end
JOIN_SECONDS = 5.0
RESET_AT_CLOSE = struct.pack("ii", 1, 0)

OpenChannel = Callable[[tuple[str, int]], Any]
log = logging.getLogger("optunapi.tunnel")


class Forwarder:
    """Listens on a loopback port and forwards each connection by a channel.

    `open_channel` is given the connection's source and returns a paramiko.Channel, or raises
    TunnelFailed, whereupon the connection is closed at once. The port stays open meanwhile.
    """

    def __init__(self, port: int, open_channel: OpenChannel) -> None:
        """Take the port, any free one for 0; connections are served from `start` on.

        Raises:
            TunnelFailed: somebody else has it.
        """
        try:
            self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        except OSError as error:
            raise TunnelFailed(
                f"Local port {port} cannot be used ({error.strerror}): take another one, or 0 for "
                "any that is free"
            ) from None
        self._listener.settimeout(LOOK_SECONDS)
        self.port: int = self._listener.getsockname()[1]
        self._open_channel = open_channel
        self._lock = Lock()
        self._connections: set[_Connection] = set()
        self._closing = Event()
        self._acceptor = Thread(target=self._accept, name="tunnel-accept", daemon=True)

    def start(self) -> None:
        """Serve connections until `close`."""
        self._acceptor.start()

    def close(self) -> None:
        """Give the port up and reset the connections; harmless if that was done."""
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor, where it can
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
                if not self._closing.wait(LOOK_SECONDS):
                    log.warning("A connection to the tunnel could not be taken: %s", error)
                continue
            connection = _Connection(client, source, self._open_channel, self._forget)
            with self._lock:
                self._connections.add(connection)
            connection.start()

    def _forget(self, connection: "_Connection") -> None:
        with self._lock:
            self._connections.discard(connection)


class _Connection(Thread):
    """One connection: this thread brings what the server sends, a second one what the client does.

    Each direction ends by itself, so that a client which has sent its last byte gets the answer.
    What ends otherwise is reset: a cut answer must not look like a whole one.
    """

    def __init__(
        self,
        client: socket.socket,
        source: tuple[str, int],
        open_channel: OpenChannel,
        ended: Callable[["_Connection"], None],
    ) -> None:
        super().__init__(name="tunnel-down", daemon=True)
        self._client = client
        self._client.settimeout(LOOK_SECONDS)
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._source = source
        self._open_channel = open_channel
        self._ended = ended
        self._channel: Any = None
        self._aborted = Event()

    def run(self) -> None:
        """Forward until both directions have ended or one has failed."""
        try:
            self._channel = self._open_channel(self._source)
        except TunnelFailed as error:
            log.info("A connection was closed: %s", error.detail)
            self._close()
            return
        if self._aborted.is_set():
            self._channel.close()  # which `abort` could not, as it came before
        up = Thread(target=self._guarded, args=(self._bring_up,), name="tunnel-up", daemon=True)
        up.start()
        self._guarded(self._bring_down)
        up.join()
        self._channel.close()
        self._close()

    def abort(self) -> None:
        """Cut both directions off."""
        self._aborted.set()
        with suppress(OSError):
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            self._client.shutdown(socket.SHUT_RD)  # wakes a thread that reads; sends nothing
        if self._channel is not None:
            self._channel.close()

    def _guarded(self, direction: Callable[[], None]) -> None:
        """Run one direction; if it fails, end the other as well."""
        try:
            direction()
        except (OSError, EOFError, paramiko.SSHException) as error:
            log.debug("A connection was cut off: %s", error)
            self.abort()

    def _bring_up(self) -> None:
        while data := self._read():
            self._channel.sendall(data)
        if not self._aborted.is_set():
            self._channel.shutdown_write()

    def _bring_down(self) -> None:
        while data := self._channel.recv(CHUNK):
            self._write(memoryview(data))
        if not self._channel.eof_received:
            raise EOFError("the channel was closed before its end")
        self._client.shutdown(socket.SHUT_WR)

    def _read(self) -> bytes:
        """What the client sent, nothing if it has sent its last byte or is cut off."""
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

    def _close(self) -> None:
        self._client.close()
        self._ended(self)
