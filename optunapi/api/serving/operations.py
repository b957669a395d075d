"""What a request does in the engine, and its value once everything it rests on is committed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, TypeVarTuple

from fastapi.concurrency import run_in_threadpool

from optunapi.engine.catalog import Catalog
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.errors import (
    ConfigChanging,
    OptunAPIError,
    StorageClosed,
    StudyNotFound,
    Superseded,
    TrialNotFound,
)
from optunapi.telemetry.context import request_id

Value = TypeVar("Value")
Ts = TypeVarTuple("Ts")

TRIES = 20
WRITING_SECONDS = 5.0
SHORTEST_WAIT = 0.05


@dataclass(frozen=True)
class Refusal:
    """The error of an operation, and how often its study had been reloaded when the operation began."""

    study: Study
    reloads: int
    error: OptunAPIError

    @property
    def is_outdated(self) -> bool:
        """Whether the study was reloaded or deleted since, so that the error may no longer be true."""
        return self.study.is_gone() or self.study.reloads() != self.reloads


# A value, with the commits that have to be done before it may be shown.
Operation = Callable[[Study], tuple[Value, *tuple[Commit, ...]]]
Outcome = tuple[Value | Refusal, *tuple[Commit, ...]]
Work = Callable[[Catalog], Outcome[Value]]


@dataclass(frozen=True, slots=True)
class Call(Generic[Value]):
    """An operation on one study: `find` looks the study up, `absent` is the value where there is none."""

    name: str
    operation: Operation[Value]
    find: Callable[[Catalog, str], Study | None]
    absent: Any = None
    request_id: str | None = field(default_factory=request_id.get)

    def __call__(self, catalog: Catalog) -> Outcome[Value]:
        """Find the study and run the operation; this may read files, sample, or wait for a lock."""
        study = self.find(catalog, self.name)
        if study is None:
            return (self.absent,)
        return outcome_of(study, self.operation)


def in_study(uid: str | None, operation: Operation[Value]) -> Operation[Value]:
    """The operation, on the study with this uid alone; on any if `uid` is None.

    The check and the operation have the same `Study`, which is never another one's: nothing can come
    between them. The operation raises StudyReplaced for another study.
    """
    if uid is None:
        return operation

    def checked(study: Study) -> tuple[Value, *tuple[Commit, ...]]:
        study.check_uid(uid)
        return operation(study)

    return checked


def study_with_trials(catalog: Catalog, name: str) -> Study:
    """The study.

    Raises:
        TrialNotFound: the study was never asked from.
        StudyNotFound, ConfigInvalid: as `Catalog.find`.
    """
    study = catalog.find(name)
    if study is None:
        raise no_trials(name)
    return study


def no_trials(name: str) -> TrialNotFound:
    """The error for a trial of a study that was never asked from."""
    return TrialNotFound(f"study {name!r} has no trials yet: ask first")


def outcome_of(study: Study, operation: Operation[Value]) -> Outcome[Value]:
    """What the operation returns, or the error it raises, with the commits that it rests on.

    Raises:
        Superseded, StorageClosed: it may succeed if it is tried again.
        StorageUnavailable: the state of the study is not known.
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


async def in_thread(catalog: Catalog, work: Work[Value]) -> Outcome[Value]:
    """Do the work in a thread."""
    return await run_in_threadpool(work, catalog)


async def settled(attempt: Callable[[*Ts], Awaitable[Outcome[Value]]], *arguments: *Ts) -> Value:
    """Return the value of `attempt(*arguments)` once it is committed, or raise its error.

    The attempt is repeated when another process wrote to the database first, when the database was
    closed as idle, and when the file of a new study is being written, for `WRITING_SECONDS` at most.
    """
    deadline = None
    for tries_left in reversed(range(TRIES)):
        try:
            outcome, *commits = await attempt(*arguments)
            for commit in dict.fromkeys(commits):  # often they are the same
                await commit
            if not isinstance(outcome, Refusal):
                return outcome
            # A refusal may rest on another request's change that was not committed yet. If that
            # commit failed, the refusal is not true.
            if outcome.is_outdated:
                raise Superseded(outcome.error.detail) from outcome.error
            raise outcome.error
        except (Superseded, StorageClosed):
            if not tries_left:
                raise
        except ConfigChanging as error:
            now = time.monotonic()
            deadline = deadline or now + WRITING_SECONDS
            if not tries_left or now >= deadline:
                raise
            await asyncio.sleep(min(max(error.retry_after, SHORTEST_WAIT), deadline - now))
    raise AssertionError("not reached")
