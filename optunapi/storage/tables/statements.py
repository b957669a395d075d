"""The SQL for Optuna's tables: made once from the reflected tables, then run without SQLAlchemy.

A statement takes its parameters by position, in the order in which the columns are named here.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
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

        self.studies = self._select(studies, "study_id", "study_name")
        self.directions = self._select(
            *(directions, "study_direction_id", "study_id", "direction"),
            order=("study_id", "objective"),
        )
        self.study_attrs = {
            kind: self._select(tables[name], *_key(tables[name]), "study_id", "key", "value_json")
            for kind, name in STUDY_ATTRS.items()
        }
        times = ("datetime_start", "datetime_complete")
        self.trials = {
            scope: self._select(
                *(self._trials, "trial_id", "number", "study_id", "state", *times), scope=scope
            )
            for scope in Scope
        }
        self.children = {
            (name, scope): self._select(
                tables[name], *_key(tables[name]), "trial_id", *columns, scope=scope
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
            self._trials, "trial_id", "number", "study_id", "state", *times
        )
        changed: dict[str, Any] = {name: bind(f"new_{name}") for name in ("state", *times)}
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
        self.delete_study = [
            *(
                self._sql(delete(tables[name]).where(self._of_study(tables[name])))
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

    def _sql(self, statement: Executable) -> str:
        return str(statement.compile(dialect=self._dialect))  # type: ignore[attr-defined]

    def _select(
        self, table: Table, *columns: str, scope: Scope = Scope.ALL, order: Sequence[str] = ()
    ) -> str:
        """Rows in the order in which they were written, unless another is given."""
        statement = select(*(table.c[name] for name in columns))
        if scope is Scope.NEWER:
            statement = statement.where(table.c.trial_id > bind("after"))
        elif scope is Scope.AMONG:
            ids = func.json_each(bind("ids")).table_valued("value")
            statement = statement.where(table.c.trial_id.in_(select(ids.c.value)))
        elif scope is Scope.STUDY:
            statement = statement.where(self._of_study(table))
        return self._sql(statement.order_by(*(table.c[name] for name in order or _key(table))))

    def _of_study(self, table: Table) -> ColumnElement[bool]:
        """Whether a row belongs to a trial of the study with this id."""
        trials = self._trials.c
        return table.c.trial_id.in_(select(trials.trial_id).where(trials.study_id == bind("id")))

    def _insert(self, table: Table, *columns: str) -> str:
        return self._sql(insert(table).values({name: bind(name) for name in columns}))

    def _upsert(self, table: Table, unique: tuple[str, ...], others: tuple[str, ...]) -> str:
        statement = sqlite.insert(table).values({c: bind(c) for c in (*unique, *others)})
        return self._sql(
            statement.on_conflict_do_update(
                index_elements=list(unique), set_={c: statement.excluded[c] for c in others}
            )
        )


def _key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


def _unchanged(value: Any) -> Any:
    return value
