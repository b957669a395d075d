"""The standard streams as a shell, a service manager or a full disk leaves them: every command runs."""

import io
import os
import sys
from contextlib import suppress
from typing import Any, BinaryIO, cast

STANDARD = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class _Messages(io.RawIOBase):
    """Standard error. What cannot be written is dropped: a lost message must not end a command."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream

    def writable(self) -> bool:
        """Whether it can be written to: always."""
        return True

    def fileno(self) -> int:
        """The number of its descriptor."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def write(self, data: Any) -> int:
        """Write all of `data`, or drop it."""
        left = memoryview(data)
        with suppress(OSError):
            while left and (written := self._stream.write(left)):
                left = left[written:]
        return len(data)


def prepare_streams() -> None:
    """Make the standard streams usable.

    A closed one is opened on the null device: else the next file or socket would get its number, and would
    receive what is printed there. Standard error takes every message, and no text is beyond an encoding.
    """
    for number, (name, mode) in enumerate(STANDARD):
        try:
            os.fstat(number)
        except OSError:
            _open_null(number)
        if getattr(sys, name) is None:
            stream = open(number, mode, closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)  # Python's own reference keeps it open
    buffer = getattr(sys.stderr, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if isinstance(raw, io.FileIO) and raw.fileno() == 2:  # not what a test put in its place
        messages, encoding = cast(BinaryIO, _Messages(raw)), sys.stderr.encoding
        sys.stderr = io.TextIOWrapper(messages, encoding, "backslashreplace", write_through=True)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Drop what standard output still holds and could not write: Python would try again at its end."""
    if sys.stdout is sys.__stdout__:
        _open_null(1)


def _open_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
