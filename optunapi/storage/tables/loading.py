"""Reading studies and trials from Optuna's tables, each table in one pass.

A row that cannot be read makes its study unusable, and no other. A study of 100,000 trials has a million
rows, so the time spent on each row counts.
"""

import gc
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
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
from optunapi.storage.tables.sqlite import Connection
from optunapi.storage.tables.statements import STUDY_ATTRS, Scope, Statements

Rows = Iterator[tuple[Any, ...]]

# What reading a row raises if it holds what Optuna would not have written.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(kw_only=True)
class Trials:
    """What was read: by study its trials by ascending id, or the first row that cannot be read."""

    by_study: dict[int, list[FrozenTrial]] = field(default_factory=lambda: defaultdict(list))
    broken: dict[int, str] = field(default_factory=dict)
    highest_id: int = 0


class Loader:
    """Reads one database, within the transaction of the connection it is given."""

    def __init__(self, statements: Statements, distributions: Distributions) -> None:
        self._statements = statements
        self._distributions = distributions

    def everything(self, connection: Connection) -> tuple[list[Study], int]:
        """Every study with all its trials, and the highest trial id in use."""
        with _without_garbage_collection():
            studies = list(self.studies(connection).values())
            trials = self.trials(connection, Scope.ALL)
            for study in studies:
                _add_trials(study, trials)
            return studies, trials.highest_id

    def load_trials(self, connection: Connection, study: Study) -> None:
        """Add all its trials to a study that `studies` returned."""
        _add_trials(study, self.trials(connection, Scope.STUDY, study.id))

    def studies(self, connection: Connection) -> dict[int, Study]:
        """Every study by its id, without trials."""
        directions: dict[int, list[StudyDirection]] = defaultdict(list)
        broken = {}
        for row, study_id, direction in connection.query(self._statements.directions):
            try:
                directions[study_id].append(DIRECTIONS[direction])
            except KeyError:
                broken[study_id] = f"study_directions row {row}: no direction {direction!r}"
        studies = {
            study_id: Study(study_id, name, directions[study_id])
            for study_id, name in connection.query(self._statements.studies)
        }
        for kind, table in STUDY_ATTRS.items():
            for row, study_id, key, text in connection.query(self._statements.study_attrs[kind]):
                if (study := studies.get(study_id)) is None:
                    continue
                try:
                    study.attrs[kind][key] = json.loads(text)
                except (TypeError, ValueError) as error:
                    broken[study_id] = f"{table} row {row}: {error}"
        for study_id, study in studies.items():
            study.broken = broken.get(study_id)
            if not study.directions and study.broken is None:
                study.broken = f"studies row {study_id}: it has no direction"
        return studies

    def starts(
        self, connection: Connection, trial_ids: list[int]
    ) -> dict[int, tuple[int, int, Any]]:
        """Study, number and start of those of the trials that exist."""
        rows = connection.query(self._statements.trials[Scope.AMONG], json.dumps(trial_ids))
        decode = self._statements.decode_time
        return {
            trial_id: (study_id, number, to_local(decode(start)))
            for trial_id, number, study_id, _, start, _ in rows
        }

    def trials(self, connection: Connection, scope: Scope, *parameters: Any) -> Trials:
        """The trials of a scope, with everything that belongs to them."""
        return _Reading(self._statements, self._distributions).run(connection, scope, parameters)


class _Reading:
    """One reading of trials: first the tables of what belongs to them, then their own table.

    Tables are read in the order in which their rows were written, which keeps parameters in the order in
    which they were suggested. A trial's rows are mostly neighbours in a table, but need not be.
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

    def run(self, connection: Connection, scope: Scope, parameters: tuple[Any, ...]) -> Trials:
        def rows(table: str) -> Rows:
            return connection.query(self._statements.children[table, scope], *parameters)

        self._read_params(rows("trial_params"))
        self._read_values(rows("trial_values"))
        self._read_reports(rows("trial_intermediate_values"))
        for table, attrs in (
            ("trial_user_attributes", self._user_attrs),
            ("trial_system_attributes", self._system_attrs),
        ):
            self._read_attrs(table, rows(table), attrs)
        return self._trials(connection.query(self._statements.trials[scope], *parameters))

    def _read_params(self, rows: Rows) -> None:
        """Read the parameters, most of a study's rows."""
        found, shapes = self._params, self._shapes
        empty, add = self._distributions.empty, self._distributions.add
        current: int | None = None
        params, shape = {}, empty
        for row, trial_id, name, value, text in rows:
            if trial_id != current:
                current = trial_id
                params, shape = found.setdefault(trial_id, {}), shapes.get(trial_id, empty)
            try:
                usual_name, usual_text, usual = shape.usual
                is_usual = text == usual_text and name == usual_name
                shapes[trial_id] = shape = usual if is_usual else add(shape, name, text)
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
        """Read the trials themselves, and give each what was read for it."""
        found = Trials()
        decode = self._statements.decode_time
        started, completed = LocalTimes().of, LocalTimes().of
        params, shapes, empty = self._params, self._shapes, self._distributions.empty
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
                    distributions=shapes.pop(trial_id, empty).distributions,
                    user_attrs=user_attrs.pop(trial_id, {}),
                    system_attrs=system_attrs.pop(trial_id, {}),
                    intermediate_values=reports.pop(trial_id, {}),
                    trial_id=trial_id,
                )
            except UNREADABLE as error:
                found.broken.setdefault(study_id, _reason("trials", trial_id, error))
            else:
                found.by_study[study_id].append(trial)
        # A new trial must not get the id of a deleted one whose rows were left behind.
        left = (*params, *values, *reports, *user_attrs, *system_attrs)
        found.highest_id = max((trial_id, *filter(None, left)))
        return found


def _reason(table: str, row: int, error: Exception) -> str:
    return f"{table} row {row}: {type(error).__name__}: {error}"


def _add_trials(study: Study, trials: Trials) -> None:
    """Add the study's trials; it is broken if a row of either is."""
    own = trials.by_study.get(study.id, [])
    study.broken = study.broken or trials.broken.get(study.id)
    for number, trial in enumerate(own):
        if trial.number != number and study.broken is None:
            study.broken = f"trials row {trial._trial_id}: number {trial.number}, not {number}"
    if study.broken is None:
        try:
            study.load(own)
        except UNREADABLE as error:  # constraints that are not numbers
            study.broken = f"its trials cannot be ranked: {type(error).__name__}: {error}"


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause garbage collection: the block creates very many objects, and no cycles of them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
