"""Reading studies and trials from Optuna's tables: row by row, in one pass, a broken row at a time.

A study of 100,000 trials has a million rows: what is done for each counts.
"""

import gc
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optunapi.storage.encoding import (
    DIRECTIONS,
    STATES,
    Distributions,
    LocalTimes,
    Shape,
    decode_float,
    to_local,
)
from optunapi.storage.memory.model import Study
from optunapi.storage.tables.sqlite import Session
from optunapi.storage.tables.statements import CHILDREN, Scope, Statements

Rows = Iterator[tuple[Any, ...]]

# What a row that makes no sense raises.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(kw_only=True)
class Head:
    """A study without its trials."""

    id: int
    name: str
    directions: list[StudyDirection] = field(default_factory=list)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    broken: str | None = None

    def study(self) -> Study:
        """The study, still without trials."""
        study = Study(self.id, self.name, self.directions, self.user_attrs, self.system_attrs)
        study.broken = self.broken
        return study


@dataclass(kw_only=True)
class Trials:
    """What was read: per study its trials by ascending id, or the first row that cannot be read."""

    by_study: dict[int, list[FrozenTrial]] = field(default_factory=lambda: defaultdict(list))
    broken: dict[int, str] = field(default_factory=dict)
    highest_id: int = 0


class Loader:
    """Reads one database."""

    def __init__(self, statements: Statements, distributions: Distributions) -> None:
        self._statements = statements
        self._distributions = distributions

    def everything(self, session: Session) -> tuple[list[Study], int]:
        """Every study with all its trials, and the highest trial id in use."""
        with uncollected():
            heads = self.heads(session)
            trials = self.trials(session, Scope.ALL)
            return [assemble(head, trials) for head in heads.values()], trials.highest_id

    def study(self, session: Session, head: Head) -> Study:
        """One study with all its trials."""
        return assemble(head, self.trials(session, Scope.STUDY, head.id))

    def heads(self, session: Session) -> dict[int, Head]:
        """Every study without its trials."""
        heads = {
            study_id: Head(id=study_id, name=name)
            for study_id, name in session.query(self._statements.studies)
        }
        for row, study_id, direction in session.query(self._statements.directions):
            if (head := heads.get(study_id)) is not None:
                try:
                    head.directions.append(DIRECTIONS[direction])
                except KeyError:
                    head.broken = f"study_directions row {row}: no direction {direction!r}"
        for table, sql in self._statements.study_attrs.items():
            for row, study_id, key, text in session.query(sql):
                if (head := heads.get(study_id)) is None:
                    continue
                attrs = head.user_attrs if table == "study_user_attributes" else head.system_attrs
                try:
                    attrs[key] = json.loads(text)
                except (TypeError, ValueError) as error:
                    head.broken = f"{table} row {row}: {error}"
        for head in heads.values():
            if not head.directions and head.broken is None:
                head.broken = f"studies row {head.id}: it has no direction"
        return heads

    def starts(self, session: Session, trial_ids: list[int]) -> dict[int, tuple[int, int, Any]]:
        """Study, number and start of those of the trials that exist."""
        rows = session.query(self._statements.trials[Scope.AMONG], json.dumps(trial_ids))
        decode = self._statements.decode_time
        return {
            trial_id: (study_id, number, to_local(decode(start)))
            for trial_id, number, study_id, _, start, _ in rows
        }

    def trials(self, session: Session, scope: Scope, *parameters: Any) -> Trials:
        """The trials of a scope, whole."""
        return _Pass(self._statements, self._distributions).run(session, scope, parameters)


class _Pass:
    """One reading of trials: what belongs to them table by table, then their own rows.

    Tables are read in the order their rows were written, which keeps parameters in the order they
    were suggested. A trial's rows in a table are mostly neighbours, but need not be.
    """

    def __init__(self, statements: Statements, distributions: Distributions) -> None:
        self._statements = statements
        self._distributions = distributions
        self._params: dict[int, dict[str, Any]] = {}
        self._shapes: dict[int, Shape] = {}
        self._values: dict[int, list[float]] = {}
        self._reports: dict[int, dict[int, float]] = {}
        self._user_attrs: dict[int, dict[str, Any]] = {}
        self._system_attrs: dict[int, dict[str, Any]] = {}
        self._broken: dict[int, str] = {}  # by trial, its first row that cannot be read

    def run(self, session: Session, scope: Scope, parameters: tuple[Any, ...]) -> Trials:
        readers: dict[str, Callable[[Rows], None]] = {
            "trial_params": self._read_params,
            "trial_values": self._read_values,
            "trial_intermediate_values": self._read_reports,
            "trial_user_attributes": self._read_user_attrs,
            "trial_system_attributes": self._read_system_attrs,
        }
        for table in CHILDREN:
            readers[table](session.query(self._statements.children[table, scope], *parameters))
        return self._trials(session.query(self._statements.trials[scope], *parameters))

    def _read_params(self, rows: Rows) -> None:
        """The parameters: most rows of a study are theirs."""
        found, shapes = self._params, self._shapes
        nothing, add = self._distributions.empty, self._distributions.add
        present: int | None = None
        params, shape = {}, nothing
        for row, trial_id, name, value, text in rows:
            if trial_id != present:
                present = trial_id
                params, shape = found.setdefault(trial_id, {}), shapes.get(trial_id, nothing)
            try:
                then_name, then_text, then = shape.usual
                is_usual = text == then_text and name == then_name
                shapes[trial_id] = shape = then if is_usual else add(shape, name, text)
                params[shape.newest] = shape.decode(value + 0.0)
            except UNREADABLE as error:
                self._report(trial_id, "trial_params", row, error)

    def _read_values(self, rows: Rows) -> None:
        for row, trial_id, objective, value, kind in rows:
            values = self._values.setdefault(trial_id, [])
            try:
                if not 0 <= objective <= len(values):
                    raise ValueError(f"objective {objective} follows {len(values) - 1}")
                values[objective : objective + 1] = [decode_float(value, kind)]
            except UNREADABLE as error:
                self._report(trial_id, "trial_values", row, error)

    def _read_reports(self, rows: Rows) -> None:
        for row, trial_id, step, value, kind in rows:
            reports = self._reports.setdefault(trial_id, {})
            try:
                reports[step] = decode_float(value, kind)
            except UNREADABLE as error:
                self._report(trial_id, "trial_intermediate_values", row, error)

    def _read_user_attrs(self, rows: Rows) -> None:
        self._read_attrs("trial_user_attributes", rows, self._user_attrs)

    def _read_system_attrs(self, rows: Rows) -> None:
        self._read_attrs("trial_system_attributes", rows, self._system_attrs)

    def _read_attrs(self, table: str, rows: Rows, found: dict[int, dict[str, Any]]) -> None:
        for row, trial_id, key, text in rows:
            attrs = found.setdefault(trial_id, {})
            try:
                attrs[sys.intern(key)] = json.loads(text)
            except UNREADABLE as error:
                self._report(trial_id, table, row, error)

    def _report(self, trial_id: int, table: str, row: int, error: Exception) -> None:
        self._broken.setdefault(trial_id, _reason(table, row, error))

    def _trials(self, rows: Rows) -> Trials:
        """The trials, each with what was read of it."""
        found = Trials()
        decode = self._statements.decode_time
        started, completed = LocalTimes().of, LocalTimes().of
        params, shapes, nothing = self._params, self._shapes, self._distributions.empty
        values, reports = self._values, self._reports
        user_attrs, system_attrs = self._user_attrs, self._system_attrs
        broken, trial_id = self._broken, 0
        for trial_id, number, study_id, state, start, complete in rows:
            if trial_id in broken:
                found.broken.setdefault(study_id, broken[trial_id])
            try:
                trial = FrozenTrial(
                    number=int(number),
                    state=STATES[state],
                    value=None,
                    values=values.pop(trial_id, None),
                    datetime_start=started(decode(start)),
                    datetime_complete=completed(decode(complete)),
                    params=params.pop(trial_id, {}),
                    distributions=shapes.pop(trial_id, nothing).distributions,
                    user_attrs=user_attrs.pop(trial_id, {}),
                    system_attrs=system_attrs.pop(trial_id, {}),
                    intermediate_values=reports.pop(trial_id, {}),
                    trial_id=trial_id,
                )
            except UNREADABLE as error:
                found.broken.setdefault(study_id, _reason("trials", trial_id, error))
            else:
                found.by_study[study_id].append(trial)
        # What a deleted trial left behind must not become a new one's.
        left = (*params, *values, *reports, *user_attrs, *system_attrs)
        found.highest_id = max((trial_id, *filter(None, left)))
        return found


def _reason(table: str, row: int, error: Exception) -> str:
    return f"{table} row {row}: {type(error).__name__}: {error}"


def assemble(head: Head, trials: Trials) -> Study:
    """A study with its trials; broken if a row of either is."""
    study = head.study()
    own = trials.by_study.get(head.id, [])
    study.broken = study.broken or trials.broken.get(head.id)
    for number, trial in enumerate(own):
        if trial.number != number and study.broken is None:
            study.broken = f"trials row {trial._trial_id}: number {trial.number}, not {number}"
    if study.broken is None:
        try:
            study.fill(own)
        except UNREADABLE as error:  # constraints that are no numbers
            study.broken = f"its trials cannot be ranked: {type(error).__name__}: {error}"
    return study


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection in the block, which makes very many objects and no cycles of them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
