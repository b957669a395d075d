"""A study's trials as text: a JSON document a line, or a table for spreadsheets."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from optunapi.api.http.replies import strict_json
from optunapi.api.wire import trial_of
from optunapi.engine.reports.snapshot import Snapshot

# A spreadsheet takes a text that begins so for a formula, and would carry it out.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
LAST_COLUMNS = (
    *("created_at", "started_at", "finished_at"),
    *("worker", "attempt", "fail_reason"),
)


def json_lines(snapshot: Snapshot, trials: Iterable[FrozenTrial]) -> bytes:
    """Some of the snapshot's trials, each as the wire shows it."""
    return b"".join(strict_json(trial_of(snapshot.view(trial))) + b"\n" for trial in trials)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a table has a column for, besides what every trial has."""

    objectives: tuple[str, ...]
    params: tuple[str, ...]
    user_attrs: tuple[str, ...]

    def header(self) -> bytes:
        """The first line."""
        return _lines(
            [
                [
                    "number",
                    "state",
                    *(f"values_{name}" for name in self.objectives),
                    *(f"params_{name}" for name in self.params),
                    *(f"user_attrs_{name}" for name in self.user_attrs),
                    *LAST_COLUMNS,
                ]
            ]
        )

    def rows(self, snapshot: Snapshot, trials: Iterable[FrozenTrial]) -> bytes:
        """A line for each of these trials."""
        return _lines(self._row(trial_of(snapshot.view(trial))) for trial in trials)

    def _row(self, trial: dict[str, Any]) -> list[str]:
        values = trial["values"] or [None] * len(self.objectives)
        cells = [
            trial["number"],
            trial["state"],
            *values,
            *(trial["params"].get(name) for name in self.params),
            *(trial["user_attrs"].get(name) for name in self.user_attrs),
            *(trial[name] for name in LAST_COLUMNS),
        ]
        return [_cell(cell) for cell in cells]


def columns_of(snapshot: Snapshot) -> Columns:
    """The space's parameters in their order, then others and attributes as trials brought them."""
    params = {parameter.name: None for parameter in snapshot.spec.parameters}
    user_attrs: dict[str, None] = {}
    for trial in snapshot.trials:
        params |= dict.fromkeys(trial.params)
        user_attrs |= dict.fromkeys(trial.user_attrs)
    return Columns(
        objectives=tuple(objective.name for objective in snapshot.spec.objectives),
        params=tuple(params),
        user_attrs=tuple(user_attrs),
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return strict_json(value).decode()


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", errors="replace")
