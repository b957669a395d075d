"""Exports that are imported again: into another study, on another server, through Optuna's own files."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from tests.api.any_life import EXPIRES_AT_ONCE, Call, Life, lives
from tests.api.wire import SPACE, Wire, wire_of
from tests.support import scaled

NDJSON = {"Content-Type": "application/x-ndjson"}
OURS = ("optunapi:", "artifacts:")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """Another server."""
    with wire_of(tmp_path_factory.mktemp("other")) as wire:
        yield wire


def export(wire: Wire, name: str) -> str:
    response = wire.request("GET", f"/studies/{name}/export")
    assert response.status_code == 200
    return response.text


def import_lines(wire: Wire, name: str, text: str) -> int:
    content = text.encode()
    path = f"/studies/{name}/import"
    count: int = wire.ok("POST", path, content=content, headers=NDJSON)["imported"]
    return count


def lines(text: str) -> list[dict[str, Any]]:
    """The lines without what differs from study to study."""
    found = [json.loads(line) for line in text.split("\n") if line]
    for line in found:
        line.pop("study")
        line.pop("study_uid", None)
    return found


def differing(these: list[dict[str, Any]], those: list[dict[str, Any]]) -> list[Any]:
    """The fields that differ, line by line."""
    assert len(these) == len(those)
    return [
        (place, name, one.get(name), other.get(name))
        for place, (one, other) in enumerate(zip(these, those, strict=True))
        for name in {**one, **other}
        if json.dumps(one.get(name)) != json.dumps(other.get(name))  # in the same order
    ]


def round_trip(wire: Wire, name: str, other: Wire) -> str:
    """Check that the study comes back on another server, as lines and as a body; return the copy's name."""
    text = export(wire, name)
    spec = wire.ok("GET", f"/studies/{name}/spec")["spec"]
    for key in ("enqueue", *LIMITS):
        spec.pop(key, None)
    copies = [other.put(spec) for _ in range(2)]
    assert import_lines(other, copies[0], text) == len(lines(text))
    if items := [json.loads(line) for line in text.split("\n") if line]:
        other.ok("POST", f"/studies/{copies[1]}/import", json={"items": items})
    for copy in copies:
        assert not differing(lines(export(other, copy)), lines(text))
    return copies[0]


LIMITS = ("max_trials", "max_running", "max_duration", "max_failed_trials", "max_cost", "target")


@pytest.mark.parametrize(
    "media_type",
    [
        "application/x-ndjson",
        "application/jsonl; charset=utf-8",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "text/plain",
        "",
        None,
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_an_exported_file_is_imported_as_any_program_sends_it(
    wire: Wire, other: Wire, media_type: str | None, count: int
) -> None:
    name = wire.put()
    for number in range(count):
        wire.ask(name)
        wire.tell(name, number, value=number)
    text, path = export(wire, name), f"/studies/{other.put()}/import"
    headers = {} if media_type is None else {"Content-Type": media_type}
    found = other.ok("POST", path, content=text.encode(), headers=headers)
    assert found == {"imported": count}
    body = json.dumps({"items": [json.loads(line) for line in text.splitlines()]}, indent=1)
    if "json" not in (media_type or ""):
        assert other.ok("POST", path, content=body.encode(), headers=headers) == found


def test_what_says_that_it_is_json_is_one_object_with_items(wire: Wire) -> None:
    path, headers = f"/studies/{wire.put()}/import", {"Content-Type": "application/json"}
    point = b'{"params": {"x": 1}, "values": [1]}'
    for content, status, code in [
        (point, 422, "request-invalid"),
        (point + b"\n" + point, 400, "json-invalid"),
        (b"", 400, "json-invalid"),
    ]:
        wire.refused("POST", path, status, code, content=content, headers=headers)
    wire.refused("POST", path, 400, "json-invalid", content=b"")
    wire.refused("POST", path, 422, "request-invalid", content=b"{}")


def test_an_empty_export_is_taken(wire: Wire, other: Wire) -> None:
    round_trip(wire, wire.put(), other)


def test_trials_in_every_state_come_back_as_they_were(wire: Wire, other: Wire) -> None:
    name = wire.put({**SPACE, "enqueue": [{"n": 1}, {"n": 2}]})
    path = f"/studies/{name}/trials"
    wire.ask(name, worker="w", user_attrs={"deep": {"a/b~": [1, None, 2**70]}, "ü\u2028": "x"})
    wire.ok("POST", f"{path}/0/report", json={"step": 3, "value": 0.25})
    wire.ok("PUT", f"{path}/0/artifacts/model.pt", content=b"bytes")
    wire.tell(name, 0, value=1.5, constraints={"memory": 2.5}, user_attrs={"cost": 3})
    for _ in range(4):
        wire.ask(name)
    wire.tell(name, 1, state="fail", reason='said "no",\nand left')
    wire.tell(name, 2, state="pruned", value=2)
    lease = wire.ask(name, worker="held", lease_seconds=3600)["lease"]["id"]
    wire.ok("POST", f"{path}/4/stop")
    released = wire.ask(name, lease_seconds=60)
    body = {"lease": released["lease"]["id"]}
    wire.ok("POST", f"{path}/{released['number']}/release", json=body)
    wire.ok("POST", f"/studies/{name}/queue", json={"params": {"n": 7}, "user_attrs": {"q": 1}})
    copy = round_trip(wire, name, other)
    states = [line["state"] for line in lines(export(other, copy))]
    assert set(states) == {"complete", "fail", "pruned", "running", "waiting"}
    listed = other.ok("GET", f"/studies/{copy}/trials/0/artifacts")["items"]
    assert [each["filename"] for each in listed] == ["model.pt"]
    other.refused("GET", f"/studies/{copy}/trials/0/artifacts/model.pt", 404, "artifact-not-found")
    # The worker goes on at the other server, and the queue is handed out.
    assert other.tell(copy, 5, state="fail", lease=lease)["state"] == "fail"
    again = other.ask(copy)
    assert (again["number"], again["params"]) == (released["number"], released["params"])
    assert other.ask(copy)["params"]["n"] == 7


def test_attempts_retried_cancelled_and_late_trials_come_back(wire: Wire, other: Wire) -> None:
    two = {"objectives": {"loss": "minimize", "size": "maximize"}, "max_attempts": 2}
    name = wire.put({**SPACE, **two})
    path = f"/studies/{name}/trials"
    soon: dict[str, Any] = {"lease_seconds": EXPIRES_AT_ONCE}
    asked = [wire.ask(name, worker="w", **soon) for _ in range(2)]
    assert [each["attempt"] for each in asked] == [1, 2]
    held = {"lease": asked[1]["lease"]["id"]}
    wire.ok("POST", f"{path}/0/report", json={"step": 0, "value": None, "infinity": "-", **held})
    wire.tell(name, 0, state="fail", reason="long " * 1500, **held)
    retried = wire.request("POST", f"{path}/0/retry").json()
    assert (retried["number"], retried["retry_of"]) == (1, 0)
    lost = [wire.ask(name, **soon)["attempt"] for _ in range(2)]
    assert lost == [1, 2]
    assert wire.ask(name, worker="other")["number"] == 2  # and the retried one has failed
    late = wire.tell(name, 1, values=[0.5, -1e308], constraints={"a/b~": 1e-308})
    assert late["user_attrs"] == {"late_for": 1}
    wire.ask(name, worker="to be cancelled")
    wire.ok("DELETE", f"{path}/4")
    wire.ask(name, **soon)
    assert wire.ask(name, lease_seconds=3600)["attempt"] == 2
    found = lines(export(wire, name))
    assert [(line["state"], line["attempt"], line["fail_reason"]) for line in found] == [
        ("fail", 2, "long " * 1500),
        ("fail", 2, "lease-expired"),
        ("running", 1, None),
        ("complete", 2, None),
        ("fail", 1, "cancelled"),
        ("running", 2, None),
    ]
    copy = round_trip(wire, name, other)
    assert other.trial(copy, 1)["retry_of"] == 0
    assert other.trial(copy, 3)["user_attrs"] == {"late_for": 1}
    # The third expired lease would be one too many here too.
    other.ok("POST", f"/studies/{copy}/trials/5/release", json={"lease": found[5]["lease"]["id"]})
    assert other.ask(copy, **soon)["attempt"] == 3
    assert other.ask(copy)["number"] == 6
    assert other.trial(copy, 5)["fail_reason"] == "lease-expired"


@pytest.mark.parametrize("own", [{"deep": [0]}, [0], "0", 0.0, True, None])
def test_late_for_is_a_users_own_attribute_where_it_names_no_trial(
    wire: Wire, other: Wire, own: Any
) -> None:
    name, fork = wire.put(), wire.new_name()
    wire.tell(name, wire.ask(name)["number"], value=1, user_attrs={"late_for": own})
    assert wire.request("POST", f"/studies/{name}/fork", json={"name": fork}).status_code == 201
    copy = round_trip(wire, name, other)
    for trial in (wire.trial(fork, 0), other.trial(copy, 0)):
        assert json.dumps(trial["user_attrs"]) == json.dumps({"late_for": own})


def test_parameters_of_former_specifications_and_suggested_ones_come_back(
    wire: Wire, other: Wire
) -> None:
    name = wire.put()
    wire.tell(name, wire.ask(name, params={"x": 9.5})["number"], value=1)
    narrow = {"parameters": {"x": {"type": "float", "low": -1, "high": 1}}}
    wire.ok("POST", f"/studies/{name}/spec", json=narrow)
    wire.ask(name)
    body = {"name": "more", "distribution": {"type": "categorical", "choices": [None, 1.5, "a"]}}
    wire.ok("POST", f"/studies/{name}/trials/1/suggest", json=body)
    wire.tell(name, 1, value=2)
    text = export(wire, name)
    assert [line["distributions"].keys() for line in lines(text)] == [set(), {"more"}]
    copy = other.put(narrow)
    import_lines(other, copy, text)
    assert [other.trial(copy, n)["params"] for n in (0, 1)] == [
        wire.trial(name, n)["params"] for n in (0, 1)
    ]


def test_numbers_of_other_trials_are_those_of_the_new_study(wire: Wire) -> None:
    name = wire.put()
    items = [
        {"params": {}, "value": 1},
        {"params": {}, "value": 2, "user_attrs": {"late_for": 0}},
        {"params": {}, "value": 3, "user_attrs": {"late_for": 9}},
    ]
    wire.ok("POST", f"/studies/{name}/import", json={"items": items})
    copy = wire.put()
    wire.ask(copy)
    import_lines(wire, copy, export(wire, name))
    assert [wire.trial(copy, n)["user_attrs"] for n in range(1, 4)] == [{}, {"late_for": 1}, {}]


@pytest.mark.parametrize(
    "change",
    [
        {"state": "done"},
        {"values": [1, 2]},
        {"values": [None]},
        {"params": {"x": "text"}},
        {"params": {"other": 1}},
        {"distributions": {"x": {"type": "int", "low": 0}}},
        {"not_finite": {"/values/3": "NaN"}},
        {"not_finite": {"": "NaN"}},
        {"not_finite": {"/values": "Infinity"}},
        {"not_finite": [1]},
        {"finished_at": None},
        {"started_at": "1960-01-01T00:00:00Z"},
        {"kept": {"record": {"expiries": "many"}}},
        {"kept": {"system_attrs": {"fixed_params": 3}}},
        {"kept": {"distributions": {"x": {"type": "categorical", "choices": []}}}},
    ],
)
def test_a_line_that_is_no_trial_refuses_all_and_changes_nothing(
    wire: Wire, change: dict[str, Any]
) -> None:
    name = wire.put()
    wire.tell(name, wire.ask(name)["number"], value=1)
    good = json.loads(export(wire, name))
    text = "\n".join(json.dumps(each) for each in (good, {**good, **change}))
    with wire.unchanged(name):
        path = f"/studies/{name}/import"
        response = wire.request("POST", path, content=text.encode(), headers=NDJSON)
        assert response.status_code == 422, response.text
        assert response.json()["errors"][0]["location"][-2:] != []


def test_a_line_that_is_not_json_is_named(wire: Wire) -> None:
    name = wire.put()
    wire.tell(name, wire.ask(name)["number"], value=1)
    text = export(wire, name) + "\nnumber,state\n"
    with wire.unchanged(name):
        path = f"/studies/{name}/import"
        response = wire.request("POST", path, content=text.encode(), headers=NDJSON)
    assert response.json()["code"] == "json-invalid"
    assert response.json()["detail"].startswith("line 3: ")


# Studies that lived on a server

THREE_DATABASES = settings(
    max_examples=scaled(15, 600),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example needs three databases
    suppress_health_check=list(HealthCheck),
)


@THREE_DATABASES
@given(life=lives(max_size=scaled(25, 50)), is_forked=st.booleans(), is_narrowed=st.booleans())
def test_a_study_comes_back_whatever_its_workers_and_its_owner_did(
    wire: Wire,
    other: Wire,
    life: tuple[dict[str, Any], list[Call]],
    is_forked: bool,
    is_narrowed: bool,
) -> None:
    spec, calls = life
    name = wire.put(spec)
    lived = Life(client=wire.client, study=name)
    for place, call in enumerate(calls):
        if place == len(calls) // 2 and is_narrowed and "n" in spec["parameters"]:
            narrow = {"n": {"type": "int", "low": 1, "high": 2}}
            body = {**spec, "parameters": {**spec["parameters"], **narrow}}
            wire.ok("POST", f"/studies/{name}/spec", json=body)
        reply = lived.send(call)
        assert reply.status_code < 500, (call, reply.text)
    if is_forked:
        name, parent = wire.new_name(), name
        reply = wire.request("POST", f"/studies/{parent}/fork", json={"name": name})
        assert reply.status_code == 201, reply.text
    for line in lines(export(wire, name)):
        event(line["state"])
        event(f"attempt {min(line['attempt'], 3)}")
        event(f"reason {str(line['fail_reason'])[:15]}")
        for what in ("retry_of", "artifacts", "constraints", "not_finite", "distributions"):
            event(f"{what}: {bool(line.get(what))}")
    round_trip(wire, name, other)


# Studies of Optuna with anything in them

_finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
_anything = st.floats(width=32)
_numbers = _anything.filter(lambda value: value == value)
_constraints = st.dictionaries(st.sampled_from(["a", "b/c"]), _numbers, max_size=2)
_directions = st.sampled_from(["minimize", "maximize"])
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
_texts = _text | st.sampled_from(["long " * 1500, "=1+1", "two\nlines"])
_scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | _anything | _texts
_json = st.recursive(
    _scalars, lambda of: st.lists(of, max_size=3) | st.dictionaries(_text, of, max_size=3)
)
DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "f": FloatDistribution(-1, 1),
    "log": FloatDistribution(1e-8, 1, log=True),
    "stepped": FloatDistribution(0, 1, step=0.25),
    "i": IntDistribution(1, 2**53),
    "c": CategoricalDistribution([None, True, "a", 2.5, "1", math.inf]),
    '=odd, "name"\n': CategoricalDistribution(["only"]),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "f": st.floats(-1, 1, allow_subnormal=False),
    "log": st.floats(1e-8, 1),
    "stepped": st.sampled_from([0.0, 0.25, 1.0]),
    "i": st.integers(1, 2**53),
    "c": st.sampled_from([None, True, "a", 2.5, "1", math.inf]),
    '=odd, "name"\n': st.just("only"),
}


@st.composite
def optuna_trials(draw: st.DrawFn, n_objectives: int) -> FrozenTrial:
    state = draw(st.sampled_from(list(TrialState)))
    names = draw(st.sets(st.sampled_from(sorted(DISTRIBUTIONS))))
    params = {name: draw(VALUES[name]) for name in names}
    system_attrs: dict[str, Any] = {f"constraints:{k}": v for k, v in draw(_constraints).items()}
    if draw(st.booleans()):
        system_attrs["constraints"] = draw(st.lists(_numbers, max_size=2))  # a constraints_func's
    if draw(st.booleans()):
        system_attrs |= {"nsga2:generation": 3, "odd": draw(_json)}
    if state == TrialState.WAITING and draw(st.booleans()):
        system_attrs["fixed_params"] = draw(st.dictionaries(st.sampled_from("fi"), _finite))
    has_values = state == TrialState.COMPLETE or (
        state == TrialState.PRUNED and draw(st.booleans())
    )
    several = st.lists(_numbers, min_size=n_objectives, max_size=n_objectives)
    return create_trial(
        state=state,
        values=draw(several) if has_values else None,
        params=params,
        distributions={name: DISTRIBUTIONS[name] for name in names},
        user_attrs=draw(st.dictionaries(_text, _json, max_size=3)),
        system_attrs=system_attrs,
        intermediate_values=draw(st.dictionaries(st.integers(0, 2**31), _anything, max_size=3)),
    )


@THREE_DATABASES
@given(data=st.data(), directions=st.lists(_directions, min_size=1, max_size=3))
def test_a_study_of_optuna_comes_back_and_optuna_sees_equal_trials(
    wire: Wire, other: Wire, data: st.DataObject, directions: list[Any]
) -> None:
    name = wire.new_name()
    storage = _storage(wire, name)
    made = optuna.create_study(study_name=name, storage=storage, directions=directions)
    trials = data.draw(st.lists(optuna_trials(len(directions)), min_size=1, max_size=5))
    made.add_trials(trials)
    wire.study(name)
    text = export(wire, name)
    objectives = {f"o{place}": direction for place, direction in enumerate(directions)}
    copy = other.put({"parameters": {}, "objectives": objectives})
    assert import_lines(other, copy, text) == len(trials)
    assert not differing(lines(export(other, copy)), lines(text))
    # And back once more, into a file that Optuna reads.
    third = wire.put({"parameters": {}, "objectives": objectives})
    import_lines(wire, third, export(other, copy))
    assert not differing(lines(export(wire, third)), lines(text))
    seen = [_comparable(trial) for trial in _load(wire, name)]
    assert [_comparable(trial) for trial in _load(other, copy)] == seen
    assert [_comparable(trial) for trial in _load(wire, third)] == seen


def _storage(wire: Wire, name: str) -> str:
    return f"sqlite:///{Path(wire.home) / 'db' / name}.db"


def _load(wire: Wire, name: str) -> list[FrozenTrial]:
    return optuna.load_study(study_name=name, storage=_storage(wire, name)).get_trials()


def _comparable(trial: FrozenTrial) -> Any:
    system = {k: v for k, v in trial.system_attrs.items() if not k.startswith(OURS)}
    times = (trial.datetime_start, trial.datetime_complete)
    written = json.dumps(
        [trial.user_attrs, system, trial.params, trial.intermediate_values], sort_keys=True
    )
    return trial.number, trial.state, repr(trial.values), times, trial.distributions, written
