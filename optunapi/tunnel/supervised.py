"""A tunnel that stays: when its SSH session is lost it connects again, on the same local port."""

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
from optunapi.tunnel.sessions import Entry, Session

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
STEADY_SECONDS = 60.0  # a session that lasted so long was a good one: begin with short delays again
CLOSE_SECONDS = 2.0
# Not of `random` itself: a training that seeds it would find its numbers used up.
CHANCE = random.SystemRandom()

log = logging.getLogger("optunapi.tunnel")


def delays() -> Iterator[float]:
    """Seconds to wait before each attempt: doubling, with full jitter, up to half a minute."""
    for attempt in count():
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempt, 10))
        yield CHANCE.uniform(0, longest)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """When the session is asked whether it is alive, for how long to wait, how soon to try again.

    Seconds. `timeout` is for a connection, an answer and a channel each.
    """

    timeout: float
    keepalive: float
    delays: Callable[[], Iterator[float]] = delays
    clock: Callable[[], float] = time.monotonic


class Tunnel:
    """An open tunnel; as a context manager it gives its URL, and closes at the end of the block.

    While the session is lost, connections to the port are closed at once; a client that tries again
    comes through as soon as there is a new one. The gateway's host key is checked each time, and
    another key ends the tunnel for good: `error` then says so, and `wait` raises it.
    """

    def __init__(
        self,
        *,
        find: Callable[[], Gateway],
        remote: tuple[str, int],
        keys: Keys,
        accept_new: bool,
        port: int,
        pace: Pace,
    ) -> None:
        self._find = find
        self._remote = remote
        self._keys = keys
        self._pace = pace
        self._process = os.getpid()
        self._lock = Lock()
        self._closing = Event()
        self._ended = Event()
        self._error: TunnelFailed | None = None
        self._session: Session | None = None
        self._forwarder = Forwarder(port, self._channel)
        with ExitStack() as undo:
            undo.callback(self._forwarder.close)
            session = self._open(accept_new=accept_new)
            undo.callback(session.close)
            session.channel(remote, ("127.0.0.1", self.port), pace.timeout).close()
            undo.pop_all()
        keys.attended = False
        self._session = session
        self._supervisor = Thread(
            target=self._supervise, args=(session,), name="tunnel-supervisor", daemon=True
        )
        self._forwarder.start()
        self._supervisor.start()

    @property
    def port(self) -> int:
        """The local port, the same for as long as the tunnel is open."""
        return self._forwarder.port

    @property
    def url(self) -> str:
        """Where the server behind the gateway is for programs on this machine."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connected(self) -> bool:
        """Whether there is a session now."""
        return self._session is not None

    @property
    def error(self) -> TunnelFailed | None:
        """Why the tunnel has ended by itself, if it has."""
        return self._error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the tunnel has ended; False if it has not within `timeout` seconds.

        Raises:
            TunnelFailed: it ended by itself.
        """
        ended = self._ended.wait(timeout)
        if self._error is not None:
            raise self._error.again()
        return ended

    def close(self) -> None:
        """Close the port, cut off what goes through it, end the session; once is enough."""
        if os.getpid() != self._process:
            return  # a fork has the sockets but not the threads: it is its parent's tunnel
        self._closing.set()
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()
        self._forwarder.close()
        # An attempt to connect ends by itself, and closes what it has opened.
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
        session = self._session
        if session is None:
            raise GatewayUnreachable("the SSH session is lost, and a new one not yet there")
        return session.channel(self._remote, source, self._pace.timeout)

    def _open(self, *, accept_new: bool) -> Session:
        entry = Entry(keys=self._keys, accept_new=accept_new, timeout=self._pace.timeout)
        return Session.open(self._find(), entry)

    def _supervise(self, session: Session) -> None:
        try:
            self._keep(session)
        except HostKeyRefused as error:
            self._end(error)
        except Exception as error:
            log.exception("The tunnel's supervision has failed")
            self._end(TunnelFailed(f"The tunnel's supervision has failed: {error!r}"))

    def _keep(self, session: Session) -> None:
        """Have a session at all times, until `close`."""
        pace = self._pace
        waits = pace.delays()
        while True:
            since = pace.clock()
            session.wait_until_lost(pace.keepalive, pace.timeout)
            if self._closing.is_set():
                return
            self._session = None
            session.close()
            log.warning("The SSH session was lost; %s tries to get a new one", self.url)
            if pace.clock() - since >= STEADY_SECONDS:
                waits = pace.delays()
            new = self._reconnect(waits)
            if new is None:
                return
            session = new
            log.warning("%s has a new SSH session", self.url)

    def _reconnect(self, waits: Iterator[float]) -> Session | None:
        """A new session, None if the tunnel was closed meanwhile; raises HostKeyRefused."""
        for seconds in waits:
            if self._closing.wait(seconds):
                break
            try:
                session = self._open(accept_new=False)
            except HostKeyRefused:
                raise
            except TunnelFailed as error:
                log.warning("No new SSH session yet: %s", error.detail)
                continue
            with self._lock:
                if not self._closing.is_set():
                    self._session = session
                    return session
            session.close()
        return None

    def _end(self, error: TunnelFailed) -> None:
        """Give up, and say why."""
        self._error = error
        log.error("The tunnel %s to %s has ended: %s", self.url, with_port(*self._remote), error)
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()
        self._forwarder.close()
        self._ended.set()
