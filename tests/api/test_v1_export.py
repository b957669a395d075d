"""Exports over v1: all trials of a study at one moment, sent in pieces."""

import csv
import io
import json
from datetime import datetime
from typing import Any

import httpx
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import create_trial

from optunapi.api.v1.export import CHUNK, FORMULA, cell_of
from tests.api.conftest import Refused
from tests.api.wire import SPACE, Wire
from tests.support import in_zone, scaled


def export(wire: Wire, name: str, file_format: str) -> httpx.Response:
    response = wire.request("GET", f"/studies/{name}/export?format={file_format}")
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}.{file_format}"'
    return response


def lines(wire: Wire, name: str) -> list[dict[str, Any]]:
    response = export(wire, name, "jsonl")
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.text == "" or response.text.endswith("\n")
    return [json.loads(line) for line in response.text.splitlines()]


def table(wire: Wire, name: str) -> list[dict[str, str]]:
    response = export(wire, name, "csv")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


def seconds_between(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


@pytest.fixture
def name(wire: Wire) -> str:
    """A study with a complete, a failed, a leased and a waiting trial."""
    name = wire.put(enqueue=[{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}])
    wire.ask(name, worker="w", user_attrs={"host": "gpu-03"})
    deep = {"a": [1, None]}
    constraints = {"memory": -0.5}
    wire.tell(name, 0, value=1.5, constraints=constraints, user_attrs={"deep": deep, "ok": True})
    wire.ask(name, worker="w")
    wire.tell(name, 1, state="fail", reason='said "no",\nand left')
    wire.ask(name, lease_seconds=3600)
    return name


def test_json_lines_are_the_trials_of_the_wire_open_ones_too(wire: Wire, name: str) -> None:
    found = lines(wire, name)
    for line in found:
        line.pop("kept", None)  # what no reply shows
    assert found == wire.ok("GET", f"/studies/{name}/trials")["items"]
    assert [trial["state"] for trial in found] == ["complete", "fail", "running", "waiting"]
    assert found[2]["lease"] is not None
    default = wire.request("GET", f"/studies/{name}/export")
    assert default.text == export(wire, name, "jsonl").text


def test_a_table_has_a_column_for_each_objective_parameter_and_attribute(
    wire: Wire, name: str
) -> None:
    rows = table(wire, name)
    assert list(rows[0]) == [
        *("number", "state", "values_score", "params_x", "params_n"),
        *("user_attrs_host", "user_attrs_deep", "user_attrs_ok"),
        "constraints_memory",
        *("created_at", "started_at", "finished_at", "duration"),
        *("worker", "attempt", "fail_reason"),
    ]
    trial = wire.trial(name, 0)
    assert rows[0] == {
        "number": "0",
        "state": "complete",
        "values_score": "1.5",
        "params_x": repr(trial["params"]["x"]),
        "params_n": "1",
        "user_attrs_host": "gpu-03",
        "user_attrs_deep": '{"a": [1, null]}',
        "user_attrs_ok": "true",
        "constraints_memory": "-0.5",
        **{key: trial[key] for key in ("created_at", "started_at", "finished_at")},
        "duration": str(seconds_between(trial["started_at"], trial["finished_at"])),
        "worker": "w",
        "attempt": "1",
        "fail_reason": "",
    }
    assert rows[1]["fail_reason"] == 'said "no",\nand left'
    assert (rows[1]["values_score"], rows[1]["constraints_memory"]) == ("", "")
    assert (rows[3]["state"], rows[3]["worker"], rows[3]["finished_at"]) == ("waiting", "", "")
    assert [row["duration"] == "" for row in rows] == [False, False, True, True]


def test_several_objectives_have_a_column_each(wire: Wire) -> None:
    name = wire.put(objectives={"accuracy": "maximize", "latency": "minimize"})
    wire.ask(name)
    wire.tell(name, 0, values=[0.5, 12])
    (row,) = table(wire, name)
    assert (row["values_accuracy"], row["values_latency"]) == ("0.5", "12.0")


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_carry_out_is_disarmed(wire: Wire, formula: str) -> None:
    name = wire.put({"parameters": {"c": {"type": "categorical", "choices": [formula]}}})
    wire.ask(name, worker=formula, user_attrs={"note": formula, "number": -1, formula: 1})
    wire.tell(name, 0, state="fail", reason=formula)
    (row,) = table(wire, name)
    for column in ("params_c", "user_attrs_note", "worker", "fail_reason"):
        assert row[column] == f"'{formula}"
    assert row["user_attrs_number"] == "-1"
    assert row[f"user_attrs_{formula}"] == "1"
    assert lines(wire, name)[0]["worker"] == formula


def test_a_null_a_text_and_an_absent_parameter_are_written_differently(wire: Wire) -> None:
    choices = [None, "null", "", True, "true", 7, 1.5, "1.5", "plain", "'=1", "=1", '"null"', "[]"]
    cells = ["null", '"null"', '""', "true", '"true"', "7", "1.5", '"1.5"', "plain"]
    cells += ['"\'=1"', "'=1", '"\\"null\\""', '"[]"']
    parameters = {
        "c": {"type": "categorical", "choices": choices},
        "kind": {"type": "categorical", "choices": ["with", "without"]},
        "d": {"type": "categorical", "choices": [None], "when": {"kind": "with"}},
    }
    name = wire.put({"parameters": parameters})
    for choice in choices:
        wire.ask(name, params={"c": choice, "kind": "with"}, user_attrs={"c": choice})
    wire.ask(name, params={"c": None, "kind": "without"})
    *rows, last = table(wire, name)
    assert [row["params_c"] for row in rows] == cells
    assert [row["user_attrs_c"] for row in rows] == cells
    assert {row["params_d"] for row in rows} == {"null"}
    assert (last["params_d"], last["user_attrs_c"]) == ("", "")


def test_a_parameter_that_only_the_queue_has_gets_a_column(wire: Wire) -> None:
    name = wire.put({"parameters": {}})
    wire.ok("POST", f"/studies/{name}/queue", json={"params": {"late": None}})
    (row,) = table(wire, name)
    assert row["params_late"] == "null"


def test_the_duration_counts_an_hour_that_the_clock_was_set_back(wire: Wire) -> None:
    with in_zone("America/New_York"):
        name = wire.put()
        item = {"params": {"x": 1, "n": 1}, "value": 1, "started_at": "2026-11-01T05:30:00Z"}
        items = [{**item, "finished_at": "2026-11-01T07:30:00.250Z"}]
        wire.ok("POST", f"/studies/{name}/import", json={"items": items})
        (row,) = table(wire, name)
        assert row["duration"] == "7200.25"


def read_cell(cell: str) -> Any:
    """The value of a cell, as the page about exports says."""
    if cell.startswith("'"):
        return cell[1:]
    try:
        return json.loads(cell)
    except ValueError:
        return cell


_scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats()
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_looking_like = st.builds(
    lambda before, value, after: before + json.dumps(value) + after,
    *(st.sampled_from(["", "'", '"', " ", "\t", "=", "+"]), _scalars | _texts),
    st.sampled_from(["", " ", '"', "\n"]),
)
_values = st.recursive(
    _scalars | _texts | _looking_like,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(_texts, of, max_size=3),
)


@settings(max_examples=scaled(300, 20_000), deadline=None)
@given(_values)
def test_a_cell_says_which_value_it_was(value: Any) -> None:
    cell = cell_of(value)
    assert cell != ""
    assert not cell.startswith(FORMULA) or not isinstance(value, str)
    assert repr(read_cell(cell)) == repr(value)


def test_an_unasked_study_has_no_lines_and_a_header_and_gets_no_file(wire: Wire) -> None:
    name = wire.configure("x: {type: float, low: 0, high: 1}")
    with wire.unchanged():
        assert lines(wire, name) == []
        assert export(wire, name, "csv").text.startswith("number,state,values_score,params_x,")


def test_many_trials_come_in_pieces_none_twice_and_none_missing(wire: Wire) -> None:
    count = 3 * CHUNK + 7
    name = wire.put()
    wire.ask(name)
    stored = optuna.load_study(study_name=name, storage=f"sqlite:///{wire.home}/db/{name}.db")
    x: dict[str, BaseDistribution] = {"x": FloatDistribution(-10, 10)}
    stored.add_trials(
        create_trial(params={"x": 0.5}, distributions=x, value=n) for n in range(1, count)
    )
    wire.ask(name)  # a write loads what others wrote
    assert [trial["number"] for trial in lines(wire, name)] == list(range(count + 1))
    assert [row["number"] for row in table(wire, name)] == [str(n) for n in range(count + 1)]
    pieces = []
    with wire.client.stream("GET", f"/optunapi/v1/studies/{name}/export") as response:
        pieces = list(response.iter_raw())
        assert "Content-Length" not in response.headers
    assert len(pieces) > 1


def test_infinities_and_halves_of_characters_are_no_obstacle(wire: Wire) -> None:
    name = wire.put(SPACE)
    wire.ask(name)
    stored = optuna.load_study(study_name=name, storage=f"sqlite:///{wire.home}/db/{name}.db")
    stored.add_trial(create_trial(value=float("-inf"), user_attrs={"n": [float("nan")]}))
    wire.ask(name)
    assert lines(wire, name)[1]["values"] == [None]
    assert table(wire, name)[1]["values_score"] == "-Infinity"
    assert table(wire, name)[1]["user_attrs_n"] == "[NaN]"


def test_another_format_is_refused(refused: Refused) -> None:
    refused("GET", "/studies/{s}/export?format=xml", 422, "request-invalid")
