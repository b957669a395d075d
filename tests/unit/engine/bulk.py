"""Requests for many trials, over the study of `support.Life`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optunapi.engine.lifecycle import Result
from optunapi.engine.trials.imports import ImportedTrial
from optunapi.engine.trials.queue import QueuedPoint
from optunapi.engine.values import Told
from optunapi.errors import OptunAPIError
from tests.unit.engine.support import STATES, Life, Seen, done, request


def enqueue(
    life: Life, *points: Mapping[str, Any], key: str | None = None, **fields: Any
) -> list[Seen]:
    queued = [QueuedPoint(params=point, **fields) for point in points]
    views = done(life.study.queue.add(queued, key=key, digest=repr(queued)))
    return [Seen(view) for view in views]


def ask_many(life: Life, count: int, worker: str | None = None, **fields: Any) -> list[Seen]:
    asked = request(worker, **fields)
    asked = replace(asked, digest=f"{count} {asked.digest}")
    return [Seen(view) for view in done(life.study.ask_many(asked, count))]


def result(state: str = "complete", *values: float, **fields: Any) -> Result:
    return Result(state=STATES[state], values=values or None, **fields)


def item(*values: float, state: str = "complete", **fields: Any) -> ImportedTrial:
    """A trial that was finished elsewhere."""
    params = {name: value for name, value in fields.items() if name in ("x", "n")}
    told = {k: v for k, v in fields.items() if k in ("reason", "constraints", "user_attrs")}
    rest = {k: v for k, v in fields.items() if k not in params and k not in told}
    return ImportedTrial(params=params, result=result(state, *values, **told), **rest)


def import_(life: Life, *items: ImportedTrial, key: str | None = None) -> int:
    return done(life.study.import_trials(items, key=key, digest=repr(items)))


def tell_many(life: Life, *results: tuple[int, Result]) -> list[Seen | OptunAPIError]:
    outcomes = done(life.study.tell_many(results))
    return [Seen(each.view, each.ignored) if isinstance(each, Told) else each for each in outcomes]


def numbers(trials: list[Seen]) -> list[int]:
    return [trial.number for trial in trials]
