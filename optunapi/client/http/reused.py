"""Connections that stay open between requests, and that the server may have closed meanwhile.

Servers and proxies close a connection that was idle for some time, often for 2 seconds and more. If the
next request is on its way by then, it gets no reply, and nobody can tell whether it was received. That is
no fault of the server: `ReusedConnectionLost` says that a new connection is worth an immediate try.
"""

import ssl
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager

from optunapi.client.http.buffered import BufferedConnection
from optunapi.elapsed import elapsed

UNCHECKED_SECONDS = 4.0  # the check takes the GIL once more, and most servers wait for 5 and more
# Routers forget an idle connection without a word. So does a machine's network when it sleeps.
LONGEST_IDLE = 60.0
REQUEST_TIMEOUT = 408  # what some proxies send before they close an idle connection


class ReusedConnectionLost(ConnectionResetError):
    """A connection that had replied to an earlier request ended without a reply to this one."""


class ReusedConnection(HTTPConnection):
    """A connection that knows whether it has replied before."""

    _has_replied = False
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether the connection may be used again, as far as this side can tell."""
        idle = elapsed() - self._used_at
        if self.sock is None or idle > LONGEST_IDLE:
            return False
        return idle < UNCHECKED_SECONDS or bool(super().is_connected)

    def connect(self) -> None:
        """Open the connection."""
        self._has_replied = False
        super().connect()

    def send(self, data: Any) -> None:
        """Send the data."""
        try:
            super().send(data)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            if not self._has_replied:
                raise
            raise ReusedConnectionLost(str(error)) from None

    def getresponse(self) -> Any:
        """Return the reply.

        Raises:
            ReusedConnectionLost: there is none, but there was one to an earlier request.
        """
        has_replied = self._has_replied  # a failure closes the connection, and may open it again
        # Not when the reply was read: a thread that could not get the GIL may read it seconds late.
        self._used_at = elapsed()
        try:
            reply = super().getresponse()
        except OSError as error:
            if has_replied and not _is_slow(error):
                raise ReusedConnectionLost(str(error)) from None
            raise
        if has_replied and reply.status == REQUEST_TIMEOUT:
            reply.close()
            raise ReusedConnectionLost("it was idle for too long, says its other end")
        self._has_replied = True
        return reply


def _is_slow(error: OSError) -> bool:
    """Whether no reply came in time: the server may still be at work on it."""
    return isinstance(error, TimeoutError) and error.errno is None


class _Plain(ReusedConnection, BufferedConnection):
    pass


class _Encrypted(ReusedConnection, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


class ReusingAdapter(HTTPAdapter):
    """Makes requests use these connections, also to an HTTP proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Create the pools of connections to servers."""
        super().init_poolmanager(*arguments, **options)
        self._use_ours(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        if isinstance(manager, ProxyManager):  # and not one for SOCKS
            self._use_ours(manager)
        return manager

    def _use_ours(self, manager: PoolManager) -> None:
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _EncryptedPool}
