"""Garbage collection in a process that keeps millions of objects, and may not stop to look at them all.

CPython's full collection looks at every container there is while all threads wait, for a second and
more beside a study of 100,000 trials. What has survived one is therefore set aside: the next looks at
what came since. Reference counts free what is set aside as before; only cycles among it stay, until it
is taken back.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OLDEST = 2


@contextmanager
def survivors_set_aside() -> Iterator[None]:
    """Inside the block a full collection looks only at what came since the one before."""
    gc.freeze()
    gc.callbacks.append(_set_aside)
    try:
        yield
    finally:
        gc.callbacks.remove(_set_aside)
        take_back()


def take_back() -> None:
    """Let the next full collection look at everything: something large has been let go."""
    gc.unfreeze()


def _set_aside(phase: str, info: dict[str, Any]) -> None:
    if phase == "stop" and info["generation"] == OLDEST:
        gc.freeze()
