"""From the event loop to the engine and back: no reply before what it shows is committed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from fastapi.concurrency import run_in_threadpool

from optunapi.engine.store import Commit
from optunapi.engine.study import LiveStudy
from optunapi.errors import OptunAPIError, StorageClosed, Superseded

Value = TypeVar("Value")
Operation = Callable[[LiveStudy], tuple[Value, *tuple[Commit, ...]]]

TRIES = 20


@dataclass(frozen=True)
class Refusal:
    """An operation's error, and how often its study had been read again when it began."""

    study: LiveStudy
    reloads: int
    error: OptunAPIError


async def settled(
    find: Callable[[], LiveStudy | None],
    operation: Operation[Value],
    *,
    absent: Value | None = None,
) -> Value:
    """What `operation` makes of the study that `find` gives, once it is committed.

    Both run in a thread: they may read files, sample, or wait for a lock. When somebody outside wrote
    to the database first, or it was closed as idle, they run again on what there is now. `absent` is
    the answer where there is no study yet.
    """

    def run() -> tuple[Value | Refusal, *tuple[Commit, ...]]:
        study = find()
        if study is None:
            return (cast(Value, absent),)
        reloads = study.reloads()
        try:
            return operation(study)
        except (Superseded, StorageClosed):
            raise
        except OptunAPIError as error:
            return Refusal(study, reloads, error), study.committed()

    return await in_thread(run)


async def in_thread(run: Callable[[], tuple[Value | Refusal, *tuple[Commit, ...]]]) -> Value:
    """What `run` gives, in a thread, once all that it rests on is committed; see `settled`."""
    for tries_left in reversed(range(TRIES)):
        try:
            return await _once(run)
        except (Superseded, StorageClosed):
            if not tries_left:
                raise
    raise AssertionError("not reached")


async def _once(run: Callable[[], tuple[Value | Refusal, *tuple[Commit, ...]]]) -> Value:
    outcome, *commits = await run_in_threadpool(run)
    for commit in commits:
        await commit
    if isinstance(outcome, Refusal):
        # A refusal may rest on another request's change that was on its way to the disk: if that
        # did not arrive, the refusal is not true.
        if outcome.study.reloads() != outcome.reloads:
            raise Superseded(outcome.error.detail) from outcome.error
        raise outcome.error
    return outcome
