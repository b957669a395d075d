"""Garbage collection in a process that keeps millions of objects and must not stop to check them all.

CPython's full collection checks every container while all threads wait: beside a study of 100,000 trials
that takes a second or more. So whatever survives a full collection is frozen, and the next one checks only
newer objects. Reference counting frees frozen objects as before; only cycles among them stay, until
`unfreeze`.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OLDEST = 2


@contextmanager
def frozen_survivors() -> Iterator[None]:
    """Let each full collection in the block check only what was created since the one before."""
    gc.freeze()
    gc.callbacks.append(_freeze)
    try:
        yield
    finally:
        gc.callbacks.remove(_freeze)
        unfreeze()


def unfreeze() -> None:
    """Let the next full collection check everything. Call it when something large was released."""
    gc.unfreeze()


def _freeze(phase: str, info: dict[str, Any]) -> None:
    if phase == "stop" and info["generation"] == OLDEST:
        gc.freeze()
