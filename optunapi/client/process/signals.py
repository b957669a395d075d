"""SIGTERM while a trial is open: schedulers send it before they kill, and the trial is given back.

In a block, SIGTERM raises SystemExit where it would have killed the process at once. If the program has
a handler of its own, that is called instead. An exception that it raises leaves the block; if it returns,
the program decides when to end, and the block's callback is called so that the block ends soon.

Only the main thread gets signals; in other threads a block does nothing. After the last block, the
former handler is installed again. A handler that was set within a block stays.
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from optunapi.client.process.forks import generation

_callbacks: list[Callable[[], None]] = []  # of the open blocks
_former: Any = signal.SIG_DFL
_installed_in = 0


def _handle(number: int, frame: FrameType | None) -> None:
    if generation() != _installed_in:
        # A fork, such as a data loader's worker, does what it would do without us.
        signal.signal(number, _former)
        os.kill(os.getpid(), number)
        return
    if not callable(_former):
        raise SystemExit(128 + number)
    _former(number, frame)
    for callback in tuple(_callbacks):
        callback()


def enter_block(callback: Callable[[], None]) -> None:
    """Begin a block. Blocks need not be nested.

    `callback` interrupts the main thread wherever that is, so it may take no lock.
    """
    global _former, _installed_in
    if threading.current_thread() is not threading.main_thread():
        return
    if generation() != _installed_in:  # the open blocks are the parent's
        _callbacks.clear()
    present = signal.getsignal(signal.SIGTERM)
    if present is _handle:
        _installed_in = generation()
    elif present == signal.SIG_DFL or (callable(present) and not _callbacks):
        # Not while blocks are open: a handler set within one may call ours, its former one, and the two
        # would call each other without end.
        _former, _installed_in = present, generation()
        signal.signal(signal.SIGTERM, _handle)
    _callbacks.append(callback)


def leave_block(callback: Callable[[], None]) -> None:
    """End the block that was begun with this callback."""
    if threading.current_thread() is not threading.main_thread():
        return
    if callback in _callbacks:
        _callbacks.remove(callback)
    if not _callbacks and signal.getsignal(signal.SIGTERM) is _handle:
        signal.signal(signal.SIGTERM, _former)
