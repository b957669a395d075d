"""Writing changes to Optuna's tables, with one statement for all rows of a kind."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from optuna.trial import FrozenTrial, TrialState, create_trial

from optunapi.storage.encoding import Distributions, encode_float, internal_value, to_utc
from optunapi.storage.memory.changes import Difference
from optunapi.storage.tables.sqlite import Connection
from optunapi.storage.tables.statements import CHILDREN, Statements

Rows = list[tuple[Any, ...]]
Key = TypeVar("Key")
Value = TypeVar("Value")

_EMPTY = create_trial(state=TrialState.RUNNING)  # what a new trial is compared with


def save(
    connection: Connection,
    statements: Statements,
    distributions: Distributions,
    difference: Difference,
) -> None:
    """Write the difference within the connection's transaction.

    Deletions come first, and a new trial before the rows that belong to it. Each trial has one
    difference only, so nothing else depends on the order.
    """
    for study_id in difference.deleted:
        for sql in statements.delete_study:
            connection.execute(sql, [(study_id,)])
    if created := difference.created:
        connection.execute(statements.insert_study, [(study.id, study.name) for study in created])
        connection.execute(
            statements.insert_direction,
            [
                (direction.name, study.id, objective)
                for study in created
                for objective, direction in enumerate(study.directions)
            ],
        )
    for kind, study_id, key, value in difference.attrs:
        connection.execute(statements.upsert_study_attr[kind], [(study_id, key, json.dumps(value))])
    if difference.trials:
        _TrialRows(statements, distributions, difference.trials).save(connection)


class _TrialRows:
    """The rows that differ between trials before and after."""

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

    def save(self, connection: Connection) -> None:
        if self._inserts:
            connection.execute(self._statements.insert_trial, self._inserts)
        if self._updates:
            connection.execute(self._statements.update_trial, self._updates)
        for table, rows in self._clears.items():
            connection.execute(self._statements.clear_child[table], rows)
        for table in CHILDREN:
            if table in self._upserts:
                connection.execute(self._statements.upsert_child[table], self._upserts[table])

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
        old = _EMPTY if before is None else before
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
        """The entries to write. A changed trial shares the objects that were not changed.

        Rows are only inserted or overwritten: if an entry is gone, all are cleared and written again.
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
