"""Connections that send a small request in one piece.

Head and body in two pieces wait for each other on the network. And each time a thread waits for a
socket it lets go of Python's lock, which a training loop that holds on to it may not give back for
seconds: a lease is renewed in time if its request needs that lock once.
"""

import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

SMALL = 65_536  # what a socket takes without waiting
FRESH_SECONDS = 4.0  # servers close connections that were idle for 5 seconds, or more


class OnePiece(HTTPConnection):
    """Keeps what is sent until it is large, or the reply is asked for."""

    _kept = b""
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether the server has not closed it; without asking the system where it was just used."""
        if self.sock is not None and time.monotonic() - self._used_at < FRESH_SECONDS:
            return True
        return super().is_connected

    def send(self, data: Any) -> None:
        """Send now or soon."""
        if not isinstance(data, bytes) or len(self._kept) + len(data) > SMALL:
            self._flush()
            super().send(data)
        else:
            self._kept += data

    def getresponse(self) -> Any:
        """The reply to what was sent."""
        self._flush()
        return super().getresponse()

    def close(self) -> None:
        """Close the connection, and forget what it has not sent."""
        self._kept = b""
        super().close()

    def _flush(self) -> None:
        kept, self._kept = self._kept, b""
        if not kept:
            return
        if self.sock is None:
            self.connect()
        # Not when the reply was read: a thread that was kept from reading it may be late by seconds.
        self._used_at = time.monotonic()
        timeout, sent = self.sock.gettimeout(), 0
        self.sock.setblocking(False)
        try:
            sent = self.sock.send(kept)
        except BlockingIOError:
            pass
        finally:
            self.sock.settimeout(timeout)
        if sent < len(kept):
            super().send(kept[sent:])


class OnePiecePool(HTTPConnectionPool):
    """Connections to one server."""

    ConnectionCls = OnePiece


class OnePieceAdapter(HTTPAdapter):
    """For requests: http in one piece."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Use our connections."""
        super().init_poolmanager(*arguments, **options)
        pools = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {**pools, "http": OnePiecePool}
