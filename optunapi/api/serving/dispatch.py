"""From the event loop to the engine and back: no reply before what it shows is committed."""

from __future__ import annotations  # those of inner functions are made at every call otherwise

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from fastapi.concurrency import run_in_threadpool

from optunapi.engine.catalog import Catalog
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.errors import OptunAPIError, StorageClosed, StudyNotFound, Superseded

Value = TypeVar("Value")
Operation = Callable[[Study], tuple[Value, *tuple[Commit, ...]]]

TRIES = 20


@dataclass(frozen=True)
class Refusal:
    """An operation's error, and how often its study had been read again when it began."""

    study: Study
    reloads: int
    error: OptunAPIError


Outcome = tuple[Value | Refusal, *tuple[Commit, ...]]


class ShortCut(Protocol):
    """A quicker way to an operation's outcome, or None where it cannot be taken now."""

    async def __call__(self, operation: Operation[Value], /) -> Outcome[Value] | None:
        """Try it."""


async def settled(
    find: Callable[[], Study | None],
    operation: Operation[Value],
    *,
    absent: Value | None = None,
    short_cut: ShortCut | None = None,
) -> Value:
    """What `operation` makes of the study that `find` gives, once it is committed.

    Both run in a thread: they may read files, sample, or wait for a lock; unless the `short_cut` can be
    taken. When somebody outside wrote to the database first, or it was closed as idle, they run again
    on what there is now. `absent` is the answer where there is no study yet.
    """

    def run() -> Outcome[Value]:
        study = find()
        if study is None:
            return (cast(Value, absent),)
        return outcome_of(study, operation)

    async def quickly() -> Outcome[Value] | None:
        return None if short_cut is None else await short_cut(operation)

    return await in_thread(run, quickly)


def outcome_of(study: Study, operation: Operation[Value]) -> Outcome[Value]:
    """What the operation gives or refuses, with the commits that must be done before it may be told.

    Raises:
        Superseded, StorageClosed: it may succeed if it is tried again.
        StorageUnavailable: nobody knows now what the study is.
    """
    try:
        reloads = study.reloads()
        try:
            return operation(study)
        except (Superseded, StorageClosed, StudyNotFound):
            raise
        except OptunAPIError as error:
            return Refusal(study, reloads, error), study.committed()
    except StudyNotFound as error:  # deleted meanwhile: there may be another of its name
        raise Superseded(error.detail) from error


def at_once(catalog: Catalog, name: str) -> ShortCut:
    """The short cut of what neither samples nor depends on a configuration: on the event loop itself.

    A change of thread costs more than such an operation does. It is taken only while the study is open
    and nobody is inside: the event loop waits for no lock and no disk.
    """

    async def run(operation: Operation[Value]) -> Outcome[Value] | None:
        study = catalog.served(name)
        if study is None:
            return None
        try:
            with study.try_exclusive() as is_free:
                return outcome_of(study, operation) if is_free else None
        except StudyNotFound:  # deleted meanwhile: there may be another of its name
            return None

    return run


async def in_thread(
    run: Callable[[], Outcome[Value]],
    quickly: Callable[[], Awaitable[Outcome[Value] | None]] | None = None,
) -> Value:
    """What `run` gives, in a thread, once all that it rests on is committed; see `settled`."""
    for tries_left in reversed(range(TRIES)):
        try:
            found = None if quickly is None else await quickly()
            if found is None:
                found = await run_in_threadpool(run)
            return await _told(found)
        except (Superseded, StorageClosed):
            if not tries_left:
                raise
    raise AssertionError("not reached")


async def _told(found: Outcome[Value]) -> Value:
    outcome, *commits = found
    for commit in dict.fromkeys(commits):  # often they are one
        await commit
    if isinstance(outcome, Refusal):
        # A refusal may rest on another request's change that was on its way to the disk: if that
        # did not arrive, the refusal is not true.
        if outcome.study.is_gone() or outcome.study.reloads() != outcome.reloads:
            raise Superseded(outcome.error.detail) from outcome.error
        raise outcome.error
    return outcome
