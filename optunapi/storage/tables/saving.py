"""Writing what changed to Optuna's tables, with one statement for all rows of a kind."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from optuna.trial import FrozenTrial

from optunapi.storage.encoding import Distributions, encode_float, internal_value, to_utc
from optunapi.storage.memory.changes import Written
from optunapi.storage.memory.trials import running_trial
from optunapi.storage.tables.sqlite import Session
from optunapi.storage.tables.statements import CHILDREN, Statements

Rows = list[tuple[Any, ...]]
Key = TypeVar("Key")
Value = TypeVar("Value")

_NOTHING = running_trial(datetime.min)


def save(
    session: Session, statements: Statements, distributions: Distributions, written: Written
) -> None:
    """Write it within the session's transaction.

    Deletions come first and insertions of trials before what belongs to them; within a trial there
    is one difference only, so nothing else depends on order.
    """
    for study_id in written.deleted:
        for sql in statements.delete_study:
            session.execute(sql, [(study_id,)])
    if written.created:
        session.execute(
            statements.insert_study, [(study_id, name) for study_id, name, _ in written.created]
        )
        session.execute(
            statements.insert_direction,
            [
                (direction.name, study_id, objective)
                for study_id, _, directions in written.created
                for objective, direction in enumerate(directions)
            ],
        )
    for table, attrs in written.study_attrs.items():
        if attrs:
            session.execute(
                statements.upsert_study_attr[table],
                [(study_id, key, json.dumps(value)) for study_id, key, value in attrs],
            )
    if written.trials:
        _Difference(statements, distributions, written.trials).save(session)


class _Difference:
    """The rows by which trials differ from what they were."""

    def __init__(
        self,
        statements: Statements,
        distributions: Distributions,
        trials: list[tuple[int, FrozenTrial | None, FrozenTrial]],
    ) -> None:
        self._statements = statements
        self._distributions = distributions
        self._inserts: Rows = []
        self._updates: Rows = []
        self._clears: dict[str, Rows] = defaultdict(list)
        self._upserts: dict[str, Rows] = defaultdict(list)
        for study_id, before, after in trials:
            self._add(study_id, before, after)

    def save(self, session: Session) -> None:
        if self._inserts:
            session.execute(self._statements.insert_trial, self._inserts)
        if self._updates:
            session.execute(self._statements.update_trial, self._updates)
        for table, rows in self._clears.items():
            session.execute(self._statements.clear_child[table], rows)
        for table in CHILDREN:
            if table in self._upserts:
                session.execute(self._statements.upsert_child[table], self._upserts[table])

    def _add(self, study_id: int, before: FrozenTrial | None, after: FrozenTrial) -> None:
        encode = self._statements.encode_time
        trial_id = after._trial_id
        row = (
            after.state.name,
            encode(to_utc(after.datetime_start)),
            encode(to_utc(after.datetime_complete)),
        )
        if before is None:
            self._inserts.append((trial_id, after.number, study_id, *row))
        elif (
            before.state != after.state
            or before.datetime_start != after.datetime_start
            or before.datetime_complete != after.datetime_complete
        ):
            self._updates.append((*row, trial_id))
        old = _NOTHING if before is None else before
        for name, value in self._changed("trial_params", trial_id, old.params, after.params):
            distribution = after.distributions[name]
            self._upserts["trial_params"].append(
                (
                    trial_id,
                    name,
                    internal_value(distribution, value),
                    self._distributions.encode(distribution),
                )
            )
        for table, was, floats in (
            ("trial_values", _numbered(old.values), _numbered(after.values)),
            ("trial_intermediate_values", old.intermediate_values, after.intermediate_values),
        ):
            for key, value in self._changed(table, trial_id, was, floats):
                self._upserts[table].append((trial_id, key, *encode_float(value)))
        for table, had, attrs in (
            ("trial_user_attributes", old.user_attrs, after.user_attrs),
            ("trial_system_attributes", old.system_attrs, after.system_attrs),
        ):
            for name, value in self._changed(table, trial_id, had, attrs):
                self._upserts[table].append((trial_id, name, json.dumps(value)))

    def _changed(
        self, table: str, trial_id: int, before: Mapping[Key, Value], after: Mapping[Key, Value]
    ) -> Iterable[tuple[Key, Value]]:
        """What must be written: copies share the objects they did not change.

        Rows are only ever added or overwritten, so if one went all are written anew.
        """
        if before is after:
            return ()
        if before and not before.keys() <= after.keys():
            self._clears[table].append((trial_id,))
            before = {}
        if not before:
            return after.items()
        return [(k, v) for k, v in after.items() if k not in before or before[k] is not v]


def _numbered(values: list[float] | None) -> dict[int, float]:
    return dict(enumerate(values)) if values else {}
