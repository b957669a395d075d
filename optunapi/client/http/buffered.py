"""Connections that send a small request in one write.

The standard library writes the head and the body of a request separately, and on the network the second
waits for the first. Each write also releases Python's lock (the GIL), and a training loop that holds the
lock may not return it for seconds. A lease is renewed in time if its request needs the lock only once.
"""

import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

SMALL = 65_536  # bytes that a socket accepts without waiting
FRESH_SECONDS = 4.0  # servers close connections that were idle for 5 seconds or more


class BufferedConnection(HTTPConnection):
    """Buffers what is sent until the buffer is large or the reply is read."""

    _unsent = b""  # `_buffer` is the standard library's
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether the server has not closed the connection. A recently used one is not checked."""
        if self.sock is not None and time.monotonic() - self._used_at < FRESH_SECONDS:
            return True
        return super().is_connected

    def send(self, data: Any) -> None:
        """Send the data, now or with the next write."""
        if not isinstance(data, bytes) or len(self._unsent) + len(data) > SMALL:
            self._flush()
            super().send(data)
        else:
            self._unsent += data

    def getresponse(self) -> Any:
        """Return the reply, after sending what is buffered."""
        self._flush()
        return super().getresponse()

    def close(self) -> None:
        """Close the connection and drop what is buffered."""
        self._unsent = b""
        super().close()

    def _flush(self) -> None:
        data, self._unsent = self._unsent, b""
        if not data:
            return
        if self.sock is None:
            self.connect()
        # Not when the reply was read: a thread that could not get the GIL may read it seconds late.
        self._used_at = time.monotonic()
        timeout, sent = self.sock.gettimeout(), 0
        self.sock.setblocking(False)
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            pass
        finally:
            self.sock.settimeout(timeout)
        if sent < len(data):
            super().send(data[sent:])


class BufferedPool(HTTPConnectionPool):
    """Buffered connections to one server."""

    ConnectionCls = BufferedConnection


class BufferedAdapter(HTTPAdapter):
    """Makes requests use buffered connections for http URLs."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Create the pools."""
        super().init_poolmanager(*arguments, **options)
        pools = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {**pools, "http": BufferedPool}
