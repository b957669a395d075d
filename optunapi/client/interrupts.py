"""SIGTERM while a trial is open: schedulers send it before they kill, and the trial is given back."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from optunapi.client.processes import generation

_open_blocks = 0
_installed_in = 0


def _end(number: int, _: FrameType | None) -> None:
    if generation() != _installed_in:
        # A fork, a data loader's worker for example, dies of it as it would without us.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    raise SystemExit(128 + number)


@contextmanager
def sigterm_ends_block() -> Iterator[None]:
    """SIGTERM raises SystemExit in the block, where it would have killed the process at once.

    Only in the main thread, which alone gets signals, and only where nobody else handles it: a handler
    of somebody's own is left alone. What was there before is there again after the last open block.
    """
    enter_block()
    try:
        yield
    finally:
        leave_block()


def enter_block() -> None:
    """Begin a block of `sigterm_ends_block`; blocks need not be nested."""
    global _open_blocks, _installed_in
    if threading.current_thread() is not threading.main_thread():
        return
    _open_blocks += 1
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        _installed_in = generation()
        signal.signal(signal.SIGTERM, _end)


def leave_block() -> None:
    """End a block of `sigterm_ends_block`."""
    global _open_blocks
    if threading.current_thread() is not threading.main_thread():
        return
    _open_blocks = max(0, _open_blocks - 1)
    if _open_blocks == 0 and signal.getsignal(signal.SIGTERM) is _end:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
