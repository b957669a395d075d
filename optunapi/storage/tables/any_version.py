"""All that is stored in a database of any version of Optuna's schema, in the same form for each."""

import json
import math
import sqlite3
import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

from optuna.distributions import CategoricalDistribution, json_to_distribution

INFINITE = 3.4e38  # older schemas stored the largest float of 32 bits for infinity

Rows = list[tuple[Any, ...]]


def contents(connection: sqlite3.Connection) -> dict[str, Rows]:
    """The rows by what they are, each kind in the order of its values."""

    def query(columns: str, table: str) -> Iterable[Any]:
        return connection.execute(f"SELECT {columns} FROM {table}")  # nosec B608

    def has(table: str, column: str) -> bool:
        return any(row[1] == column for row in connection.execute(f"PRAGMA table_info({table})"))

    def floats(columns: str, table: str, type_column: str) -> Rows:
        kind = type_column if has(table, type_column) else "NULL"
        rows = query(f"{columns}, {kind}", table)
        return [(*row, _float(value, kind)) for *row, value, kind in rows]

    number = (
        "(SELECT value_json FROM trial_system_attributes AS a"
        " WHERE a.trial_id = trials.trial_id AND a.key = '_number')"
    )
    if has("trials", "number"):
        number = "number"
    if has("trials", "value"):  # before a study could have several objectives
        values = floats("trial_id, 0, value", "trials", "value_type")
        reports = floats("trial_id, step, value", "trial_values", "value_type")
    else:
        values = floats("trial_id, objective, value", "trial_values", "value_type")
        reports = floats(
            "trial_id, step, intermediate_value",
            "trial_intermediate_values",
            "intermediate_value_type",
        )
    directions = (
        query("study_id, 0, direction", "studies")
        if has("studies", "direction")
        else query("study_id, objective, direction", "study_directions")
    )
    found: dict[str, Iterable[tuple[Any, ...]]] = {
        "studies": query("study_id, study_name", "studies"),
        "directions": directions,
        "trials": (
            (*row, None if number is None else int(number))
            for *row, number in query(
                f"trial_id, study_id, state, datetime_start, datetime_complete, {number}", "trials"
            )
        ),
        # A trial without a value had a row without one.
        "values": (row for row in values if row[-1] is not None),
        "intermediate values": reports,
        "parameters": query("trial_id, param_name, param_value", "trial_params"),
        "distributions": (
            (*row, _distribution(written))
            for *row, written in query("trial_id, param_name, distribution_json", "trial_params")
        ),
    }
    for owner in ("study", "trial"):
        for kind in ("user", "system"):
            rows = query(f"{owner}_id, key, value_json", f"{owner}_{kind}_attributes")
            # The number of a trial was an attribute.
            found[f"{kind} attributes of {owner}s"] = (row for row in rows if row[1] != "_number")
    return {what: sorted(rows, key=repr) for what, rows in found.items()}


def _float(value: float | None, kind: str | None) -> float | None:
    """A float as the newest schema has it; None for NaN and for none."""
    if kind in ("INF_POS", "INF_NEG"):
        return math.inf if kind == "INF_POS" else -math.inf
    if value is None or math.isnan(value):
        return None
    return value if abs(value) < INFINITE else math.copysign(math.inf, value)


@cache
def _distribution(written: str) -> tuple[Any, ...]:
    """What a distribution means, whichever of Optuna's classes it was written from."""
    with warnings.catch_warnings(action="ignore"):  # some classes are deprecated
        made: Any = json_to_distribution(written)
    if isinstance(made, CategoricalDistribution):
        return ("categorical", json.dumps(made.choices))
    return (type(made.low).__name__, made.low, made.high, made.log, made.step)
