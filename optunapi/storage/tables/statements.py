"""The SQL for Optuna's tables: made once from the reflected tables, then run without SQLAlchemy.

A statement takes its parameters by position, in the order in which the columns are named here.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any, cast

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Executable,
    MetaData,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy import bindparam as bind
from sqlalchemy.dialects import sqlite

from optunapi.storage.memory.model import AttrKind

CHILDREN = {
    "trial_params": ("param_name", "param_value", "distribution_json"),
    "trial_values": ("objective", "value", "value_type"),
    "trial_intermediate_values": ("step", "intermediate_value", "intermediate_value_type"),
    "trial_user_attributes": ("key", "value_json"),
    "trial_system_attributes": ("key", "value_json"),
}
STUDY_ATTRS: dict[AttrKind, str] = {
    "user": "study_user_attributes",
    "system": "study_system_attributes",
}


class Scope(Enum):
    """Which trials a statement reads. Each but ALL takes one parameter."""

    ALL = auto()
    NEWER = auto()  # ids above the parameter
    AMONG = auto()  # ids in the parameter, a JSON list
    STUDY = auto()  # trials of the study with this id


class Statements:
    """Every statement the storage runs on one kind of database."""

    def __init__(self, engine: Engine) -> None:
        metadata = MetaData()
        metadata.reflect(engine)
        self._dialect = engine.dialect
        tables = metadata.tables
        self._trials = tables["trials"]
        studies, directions = tables["studies"], tables["study_directions"]

        self.studies = self._sql(
            select(studies.c.study_id, studies.c.study_name).order_by(studies.c.study_id)
        )
        self.directions = self._sql(
            select(
                directions.c.study_direction_id, directions.c.study_id, directions.c.direction
            ).order_by(directions.c.study_id, directions.c.objective)
        )
        self.study_attrs = {
            kind: self._sql(
                select(
                    *_key(tables[name]), *_columns(tables[name], "study_id", "key", "value_json")
                )
            )
            for kind, name in STUDY_ATTRS.items()
        }
        self.trials = {
            scope: self._sql(
                self._within(
                    select(
                        *_columns(
                            self._trials,
                            *("trial_id", "number", "study_id", "state"),
                            *("datetime_start", "datetime_complete"),
                        )
                    ),
                    self._trials,
                    scope,
                ).order_by(self._trials.c.trial_id)
            )
            for scope in Scope
        }
        self.children = {
            (name, scope): self._sql(
                self._within(
                    select(*_key(tables[name]), *_columns(tables[name], "trial_id", *columns)),
                    tables[name],
                    scope,
                ).order_by(*_key(tables[name]))
            )
            for name, columns in CHILDREN.items()
            for scope in Scope
        }

        self.insert_study = self._insert(studies, "study_id", "study_name")
        self.insert_direction = self._insert(directions, "direction", "study_id", "objective")
        self.upsert_study_attr = {
            kind: self._upsert(tables[name], ("study_id", "key"), ("value_json",))
            for kind, name in STUDY_ATTRS.items()
        }
        self.insert_trial = self._insert(
            self._trials,
            *("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"),
        )
        changed: dict[str, Any] = {
            c: bind(f"new_{c}") for c in ("state", "datetime_start", "datetime_complete")
        }
        self.update_trial = self._sql(
            update(self._trials).values(changed).where(self._trials.c.trial_id == bind("id"))
        )
        self.upsert_child = {
            name: self._upsert(tables[name], ("trial_id", columns[0]), columns[1:])
            for name, columns in CHILDREN.items()
        }
        self.clear_child = {
            name: self._sql(delete(tables[name]).where(tables[name].c.trial_id == bind("id")))
            for name in CHILDREN
        }
        of_study = select(self._trials.c.trial_id).where(self._trials.c.study_id == bind("id"))
        self.delete_study = [
            *(
                self._sql(delete(tables[name]).where(tables[name].c.trial_id.in_(of_study)))
                for name in (*CHILDREN, "trial_heartbeats")
            ),
            *(
                self._sql(delete(tables[name]).where(tables[name].c.study_id == bind("id")))
                for name in ("trials", *STUDY_ATTRS.values(), "study_directions", "studies")
            ),
        ]
        version = tables["alembic_version"].c.version_num
        self.rewrite_version = self._sql(update(version.table).values(version_num=version))

        time = cast(DateTime, self._trials.c.datetime_start.type.dialect_impl(self._dialect))
        self.encode_time: Callable[[datetime | None], Any] = (
            time.bind_processor(self._dialect) or _unchanged
        )
        self.decode_time: Callable[[Any], datetime | None] = (
            time.result_processor(self._dialect, None) or _unchanged
        )

    def _sql(self, statement: Executable, columns: Sequence[str] | None = None) -> str:
        compiled = statement.compile(dialect=self._dialect, column_keys=columns)  # type: ignore[attr-defined]
        return str(compiled)

    def _insert(self, table: Table, *columns: str) -> str:
        return self._sql(insert(table).values({c: bind(c) for c in columns}))

    def _upsert(self, table: Table, unique: tuple[str, ...], others: tuple[str, ...]) -> str:
        statement = sqlite.insert(table).values({c: bind(c) for c in (*unique, *others)})
        return self._sql(
            statement.on_conflict_do_update(
                index_elements=list(unique), set_={c: statement.excluded[c] for c in others}
            )
        )

    def _within(self, statement: Any, table: Table, scope: Scope) -> Any:
        id_ = table.c.trial_id
        if scope is Scope.NEWER:
            return statement.where(id_ > bind("after"))
        if scope is Scope.AMONG:
            ids = func.json_each(bind("ids")).table_valued("value")
            return statement.where(id_.in_(select(ids.c.value)))
        if scope is Scope.STUDY:
            trials = self._trials
            of_study = select(trials.c.trial_id).where(trials.c.study_id == bind("study"))
            return statement.where(id_.in_(of_study))
        return statement


def _key(table: Table) -> list[Column[Any]]:
    return list(table.primary_key.columns)


def _columns(table: Table, *names: str) -> list[Column[Any]]:
    return [table.c[name] for name in names]


def _unchanged(value: Any) -> Any:
    return value
