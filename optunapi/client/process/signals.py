"""SIGTERM while a trial is open: schedulers send it before they kill, and the trial is given back."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from optunapi.client.process.forks import generation

Ask = Callable[[], None]

_open_blocks: list[Ask] = []
_former: Any = signal.SIG_DFL
_installed_in = 0


def _end(number: int, frame: FrameType | None) -> None:
    if generation() != _installed_in:
        # A fork, a data loader's worker for example, does with it what it would do without us.
        signal.signal(number, _former)
        os.kill(os.getpid(), number)
        return
    if not callable(_former):
        raise SystemExit(128 + number)
    _former(number, frame)
    for ask in tuple(_open_blocks):
        ask()


@contextmanager
def sigterm_ends_block(ask: Ask) -> Iterator[None]:
    """SIGTERM raises SystemExit in the block, where it would have killed the process at once.

    A handler that was there before is called instead. What it raises goes through the block; where it
    returns, the end of the process is its affair, and `ask` is called: end the block soon. That is in
    the middle of whatever the main thread does, so `ask` may take no lock.

    Only in the main thread, which alone gets signals. What was there before is there again after the
    last open block; a handler set within it stays.
    """
    enter_block(ask)
    try:
        yield
    finally:
        leave_block(ask)


def enter_block(ask: Ask) -> None:
    """Begin a block of `sigterm_ends_block`; blocks need not be nested."""
    global _former, _installed_in
    if threading.current_thread() is not threading.main_thread():
        return
    if generation() != _installed_in:  # what is open is the parent's
        _open_blocks.clear()
    present = signal.getsignal(signal.SIGTERM)
    if present is _end:
        _installed_in = generation()
    elif present == signal.SIG_DFL or (callable(present) and not _open_blocks):
        # While blocks are open, theirs may call ours: it came later, and knows ours as the former one.
        _former, _installed_in = present, generation()
        signal.signal(signal.SIGTERM, _end)
    _open_blocks.append(ask)


def leave_block(ask: Ask) -> None:
    """End a block of `sigterm_ends_block`."""
    if threading.current_thread() is not threading.main_thread():
        return
    if ask in _open_blocks:
        _open_blocks.remove(ask)
    if not _open_blocks and signal.getsignal(signal.SIGTERM) is _end:
        signal.signal(signal.SIGTERM, _former)
