"""Reading studies and trials from Optuna's tables: row by row, in one pass, a broken row at a time."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optunapi.storage.databases import Session
from optunapi.storage.memory import Study
from optunapi.storage.rows import (
    DIRECTIONS,
    STATES,
    Distributions,
    LocalTimes,
    Shape,
    decode_float,
    to_local,
)
from optunapi.storage.statements import CHILDREN, Scope, Statements


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

    by_study: dict[int, list[FrozenTrial]] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    highest_id: int = 0


class Loader:
    """Reads one database."""

    def __init__(self, statements: Statements, distributions: Distributions) -> None:
        self._statements = statements
        self._distributions = distributions

    def everything(self, session: Session) -> tuple[list[Study], int]:
        """Every study with all its trials, and the highest trial id in use."""
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
    """One reading of trials: a trial's row first, then what belongs to it, table by table.

    Tables are read in the order their rows were written, which keeps parameters in the order they
    were suggested; a trial's own rows need not be neighbours.
    """

    def __init__(self, statements: Statements, distributions: Distributions) -> None:
        self._statements = statements
        self._distributions = distributions
        self._trials: dict[int, FrozenTrial] = {}
        self._study_ids: dict[int, int] = {}
        self._shapes: dict[int, Shape] = {}
        self._found = Trials()

    def run(self, session: Session, scope: Scope, parameters: tuple[Any, ...]) -> Trials:
        self._read_trials(session.query(self._statements.trials[scope], *parameters))
        readers: dict[str, Callable[..., None]] = {
            "trial_values": self._value,
            "trial_intermediate_values": self._intermediate_value,
            "trial_user_attributes": self._user_attr,
            "trial_system_attributes": self._system_attr,
        }
        for table in CHILDREN:
            rows = session.query(self._statements.children[table, scope], *parameters)
            if table == "trial_params":
                self._read_params(rows)
            else:
                self._read_children(table, rows, readers[table])
        for trial_id, shape in self._shapes.items():
            self._trials[trial_id].distributions = shape.distributions
        return self._found

    def _read_trials(self, rows: Iterator[tuple[Any, ...]]) -> None:
        decode, local = self._statements.decode_time, LocalTimes().of
        empty = self._distributions.empty.distributions
        by_study, study_ids, trials = self._found.by_study, self._study_ids, self._trials
        trial_id = 0
        for trial_id, number, study_id, state, start, complete in rows:
            study_ids[trial_id] = study_id
            siblings = by_study.setdefault(study_id, [])
            try:
                trial = FrozenTrial(
                    number=int(number),
                    state=STATES[state],
                    value=None,
                    datetime_start=local(decode(start)),
                    datetime_complete=local(decode(complete)),
                    params={},
                    distributions=empty,
                    user_attrs={},
                    system_attrs={},
                    intermediate_values={},
                    trial_id=trial_id,
                )
            except (KeyError, TypeError, ValueError) as error:
                self._report(trial_id, "trials", trial_id, error)
                continue
            trials[trial_id] = trial
            siblings.append(trial)
        self._found.highest_id = trial_id

    def _read_params(self, rows: Iterator[tuple[Any, ...]]) -> None:
        """The parameters: most rows of a study are theirs, so that a call for each would take longest."""
        trials, shapes = self._trials, self._shapes
        empty, add = self._distributions.empty, self._distributions.add
        for row, trial_id, name, value, text in rows:
            trial = trials.get(trial_id)
            if trial is None:
                self._pass_over(trial_id)
                continue
            try:
                shape = shapes.get(trial_id, empty)
                shapes[trial_id] = shape = shape.additions.get((name, text)) or add(
                    shape, name, text
                )
                distribution = shape.distributions[name]
                trial.params[shape.newest] = distribution.to_external_repr(value + 0.0)
            except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
                self._report(trial_id, "trial_params", row, error)

    def _read_children(
        self, table: str, rows: Iterator[tuple[Any, ...]], read: Callable[..., None]
    ) -> None:
        trials = self._trials
        for row, trial_id, *columns in rows:
            trial = trials.get(trial_id)
            if trial is None:
                self._pass_over(trial_id)
                continue
            try:
                read(trial, *columns)
            except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
                self._report(trial_id, table, row, error)

    def _pass_over(self, trial_id: int | None) -> None:
        """What a deleted trial left behind must not become a new one's."""
        self._found.highest_id = max(self._found.highest_id, trial_id or 0)

    def _report(self, trial_id: int, table: str, row: int, error: Exception) -> None:
        reason = f"{table} row {row}: {type(error).__name__}: {error}"
        self._found.broken.setdefault(self._study_ids[trial_id], reason)

    def _value(self, trial: FrozenTrial, objective: int, value: float | None, kind: str) -> None:
        values = trial.values or []
        if not 0 <= objective <= len(values):
            raise ValueError(f"objective {objective} follows {len(values) - 1}")
        trial.values = [*values[:objective], decode_float(value, kind), *values[objective + 1 :]]

    def _intermediate_value(
        self, trial: FrozenTrial, step: int, value: float | None, kind: str
    ) -> None:
        trial.intermediate_values[step] = decode_float(value, kind)

    def _user_attr(self, trial: FrozenTrial, key: str, text: str) -> None:
        trial.user_attrs[sys.intern(key)] = json.loads(text)

    def _system_attr(self, trial: FrozenTrial, key: str, text: str) -> None:
        trial.system_attrs[sys.intern(key)] = json.loads(text)


def assemble(head: Head, trials: Trials) -> Study:
    """A study with its trials; broken if a row of either is."""
    study = head.study()
    own = trials.by_study.get(head.id, [])
    study.broken = study.broken or trials.broken.get(head.id)
    for number, trial in enumerate(own):
        if trial.number != number and study.broken is None:
            study.broken = f"trials row {trial._trial_id}: number {trial.number}, not {number}"
    if study.broken is None:
        study.fill(own)
    return study
