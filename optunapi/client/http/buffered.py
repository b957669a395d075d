"""Connections that send a small request in one write.

The standard library writes the head and the body of a request separately, and on the network the second
waits for the first. Each write also releases Python's lock (the GIL), and a training loop that holds the
lock may not return it for seconds. A lease is renewed in time if its request needs the lock only once.
"""

from typing import Any

from urllib3.connection import HTTPConnection

SMALL = 65_536  # bytes that a socket accepts without waiting


class BufferedConnection(HTTPConnection):
    """Buffers what is sent until the buffer is large or the reply is read."""

    _unsent = b""  # `_buffer` is the standard library's

    def send(self, data: Any) -> None:
        """Send the data, now or with the next write."""
        if self.sock is None:  # now, while the time-out is the one for connecting
            self.connect()
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
