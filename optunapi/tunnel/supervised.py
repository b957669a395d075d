"""A tunnel that reconnects when its SSH connection is lost, on the same local port."""

import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any

from optunapi.errors import GatewayUnreachable, HostKeyRefused, TunnelFailed
from optunapi.tunnel.forwarder import Forwarder
from optunapi.tunnel.gateways import Gateway, with_port
from optunapi.tunnel.logins import Keys
from optunapi.tunnel.ssh_connection import LoginOptions, SSHConnection

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
STEADY_SECONDS = 60.0  # after a connection that lasted this long, start with short delays again
CLOSE_SECONDS = 2.0
# Its own generator: drawing from `random` would change the numbers of a training that seeded it.
JITTER = random.SystemRandom()

log = logging.getLogger("optunapi.tunnel")


def delays() -> Iterator[float]:
    """Yield the seconds to wait before each attempt: doubling, with full jitter, at most 30."""
    for attempt in count():
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempt, 10))
        yield JITTER.uniform(0, longest)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Time-outs and delays, in seconds.

    `timeout` applies to a connection, an answer and a channel each; `keepalive` is the time between
    two checks that the gateway answers; `delays` are the waits before the attempts to reconnect.
    """

    timeout: float
    keepalive: float
    delays: Callable[[], Iterator[float]] = delays
    clock: Callable[[], float] = time.monotonic


class Tunnel:
    """An open tunnel. As a context manager it returns its URL and closes at the end of the block.

    While the SSH connection is lost, connections to the port are closed at once; a client that
    retries gets through when the tunnel has reconnected. The gateway's host key is checked each
    time. If it has changed, the tunnel ends for good: `error` says so, and `wait` raises it.
    """

    def __init__(
        self,
        *,
        find: Callable[[], Gateway],
        remote: tuple[str, int],
        keys: Keys,
        accept_new: bool,
        port: int,
        timing: Timing,
    ) -> None:
        self._find = find
        self._remote = remote
        self._keys = keys
        self._timing = timing
        self._process = os.getpid()
        self._lock = Lock()
        self._closing = Event()
        self._ended = Event()
        self._error: TunnelFailed | None = None
        self._connection: SSHConnection | None = None
        self._forwarder = Forwarder(port, self._channel)
        with ExitStack() as undo:
            undo.callback(self._forwarder.close)
            connection = self._connect(accept_new=accept_new)
            undo.callback(connection.close)
            connection.channel(remote, ("127.0.0.1", self.port), timing.timeout).close()
            undo.pop_all()
        keys.may_ask = False
        self._connection = connection
        self._supervisor = Thread(
            target=self._supervise, args=(connection,), name="tunnel-supervisor", daemon=True
        )
        self._forwarder.start()
        self._supervisor.start()

    @property
    def port(self) -> int:
        """The local port; it stays the same while the tunnel is open."""
        return self._forwarder.port

    @property
    def url(self) -> str:
        """The URL of the server behind the gateway, for programs on this machine."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connected(self) -> bool:
        """Whether there is an SSH connection now."""
        return self._connection is not None

    @property
    def error(self) -> TunnelFailed | None:
        """Why the tunnel ended by itself, or None."""
        return self._error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the tunnel ends; return False if it is still open after `timeout` seconds.

        Raises:
            TunnelFailed: the tunnel ended by itself.
        """
        ended = self._ended.wait(timeout)
        if self._error is not None:
            raise self._error.again()
        return ended

    def close(self) -> None:
        """Close the port, its connections and the SSH connection; may be called more than once."""
        if os.getpid() != self._process:
            return  # a forked child has the sockets but not the threads: the tunnel is its parent's
        self._closing.set()
        self._disconnect()
        # An attempt to reconnect ends by itself, and closes what it opened.
        self._supervisor.join(CLOSE_SECONDS)
        self._ended.set()

    def __enter__(self) -> str:
        return self.url

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _channel(self, source: tuple[str, int]) -> Any:
        connection = self._connection
        if connection is None:
            raise GatewayUnreachable("The SSH connection is lost, and not yet restored")
        return connection.channel(self._remote, source, self._timing.timeout)

    def _connect(self, *, accept_new: bool) -> SSHConnection:
        options = LoginOptions(keys=self._keys, accept_new=accept_new, timeout=self._timing.timeout)
        return SSHConnection.open(self._find(), options)

    def _disconnect(self) -> None:
        """Close the SSH connection and the local port."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._forwarder.close()

    def _supervise(self, connection: SSHConnection) -> None:
        try:
            self._keep_connected(connection)
        except HostKeyRefused as error:
            self._end(error)
        except Exception as error:
            log.exception("The tunnel's supervision failed")
            self._end(TunnelFailed(f"The tunnel's supervision failed: {error!r}"))

    def _keep_connected(self, connection: SSHConnection) -> None:
        """Reconnect whenever the connection is lost, until `close`."""
        timing = self._timing
        waits = timing.delays()
        while True:
            since = timing.clock()
            connection.wait_until_lost(timing.keepalive, timing.timeout)
            if self._closing.is_set():
                return
            self._connection = None
            connection.close()
            log.warning("%s: the SSH connection was lost; reconnecting", self.url)
            if timing.clock() - since >= STEADY_SECONDS:
                waits = timing.delays()
            new = self._reconnect(waits)
            if new is None:
                return
            connection = new
            log.warning("%s: the SSH connection is restored", self.url)

    def _reconnect(self, waits: Iterator[float]) -> SSHConnection | None:
        """Return a new connection, or None if the tunnel was closed; raises HostKeyRefused."""
        for seconds in waits:
            if self._closing.wait(seconds):
                break
            try:
                connection = self._connect(accept_new=False)
            except HostKeyRefused:
                raise
            except TunnelFailed as error:
                log.warning("%s: reconnecting failed: %s", self.url, error.detail)
                continue
            with self._lock:  # `close` may have run since, and would not see this connection
                if not self._closing.is_set():
                    self._connection = connection
                    return connection
            connection.close()
        return None

    def _end(self, error: TunnelFailed) -> None:
        """Give up because of `error`."""
        self._error = error
        log.error("The tunnel %s to %s has ended: %s", self.url, with_port(*self._remote), error)
        self._disconnect()
        self._ended.set()
