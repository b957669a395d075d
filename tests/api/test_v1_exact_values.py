"""A value is seen as it was acknowledged: in replies, in exports, in Optuna, after a restart."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import optuna
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.api.wire import Wire, wire_of
from tests.support import scaled

WIDE = 2**62
CHOICES: list[list[Any]] = [
    [None, True, 1.5, "1", "1.5", "", "null", "true", "NaN", 2**53 + 1, 10**30, -7],
    [False, 1, "0", "False", 5e-324, 1e308, "\U0001f600", "e\u0301", "\u00e9", "a\0b", "\u2028"],
    [1.0, -0.0, 2**63, 2**64 - 1, -(2**63), "1e3", 1e22, 0.1, 0.30000000000000004, " ", "x" * 500],
]
SPACE: dict[str, Any] = {
    "sampler": {"name": "random"},
    "parameters": {
        "float": {"type": "float", "low": -1e307, "high": 1e307},
        "small": {"type": "float", "low": 0, "high": 1e-300},
        "log": {"type": "float", "low": 5e-324, "high": 1e300, "log": True},
        "stepped": {"type": "float", "low": 0.1, "high": 0.9, "step": 0.1},
        "int": {"type": "int", "low": -WIDE, "high": WIDE},
        "thousands": {"type": "int", "low": 0, "high": 10**18, "step": 1000},
        **{f"c{i}": {"type": "categorical", "choices": each} for i, each in enumerate(CHOICES)},
    },
}

FLOATS = [
    0.0,
    5e-324,
    -5e-324,
    2.2250738585072014e-308,
    2.225073858507201e-308,
    sys.float_info.max,
    -sys.float_info.max,
    1e308,
    0.1,
    0.1 + 0.2,
    1 / 3,
    1e16,
    1e22,
    1e23,
    9007199254740993.0,
    123456789012345680.0,
]
INTEGERS = [
    0,
    -1,
    2**31,
    2**53 - 1,
    2**53,
    2**53 + 1,
    -(2**53) - 1,
    2**53 + 2,
    10**18,
    WIDE,
    1 - WIDE,
]
STEPS = [0, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 2, 2**63 - 1]
TEXTS = [
    "",
    " ",
    "a\0b",
    "\x7f\x1b",
    "é",
    "e\u0301",
    "\U0001f600",
    "\u2028",
    "\ufeff",
    "x" * 5000,
    '"\\/',
    "null",
]
SCALARS = [
    *(None, True, False, 1, 1.0, -1, -0.0, 0, 0.0, 10**400, -(2**64), 2**53 + 1),
    *FLOATS,
    *TEXTS,
]

_float = st.sampled_from(FLOATS) | st.floats(allow_nan=False, allow_infinity=False)
_text = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_name = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_integer = st.sampled_from(INTEGERS) | st.integers(-WIDE, WIDE)
_json = st.recursive(
    st.sampled_from(SCALARS) | st.integers() | _float | _text,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(_name | st.just("a\0"), of, max_size=3),
    max_leaves=6,
)
PARAMS: dict[str, st.SearchStrategy[Any]] = {
    "float": st.floats(-1e307, 1e307) | st.sampled_from([0.0, 5e-324, 0.1 + 0.2, 1e307]),
    "small": st.floats(0, 1e-300),
    "log": st.floats(5e-324, 1e300),
    "stepped": st.sampled_from([0.1, 0.2, 0.1 + 2 * 0.1, 0.1 + 6 * 0.1]),
    "int": _integer,
    "thousands": st.integers(0, 10**15).map(lambda n: n * 1000),
    **{f"c{i}": st.sampled_from(each) for i, each in enumerate(CHOICES)},
}
# How a trial is made: asked for, queued, or imported.
DOORS = ("ask", "queue", "import")


@st.composite
def trials(draw: st.DrawFn) -> dict[str, Any]:
    """What is sent about one trial."""
    return {
        "door": draw(st.sampled_from(DOORS)),
        "params": draw(st.fixed_dictionaries({}, optional=PARAMS)),
        "user_attrs": draw(st.dictionaries(_name, _json, max_size=3)),
        "constraints": draw(st.dictionaries(_name, _float, max_size=2)),
        "reports": draw(
            st.dictionaries(st.sampled_from(STEPS) | st.integers(0, 2**63 - 1), _float, max_size=3)
        ),
        "value": draw(_float),
    }


def extremes() -> Iterator[dict[str, Any]]:
    """Trials that have every value above at least once."""
    empty: dict[str, Any] = {"params": {}, "user_attrs": {}, "constraints": {}, "reports": {}}
    for place, value in enumerate(FLOATS):
        yield {
            **empty,
            "door": DOORS[place % 3],
            "value": value,
            "constraints": {"": value, "é": -value},
            "reports": dict.fromkeys(STEPS[place % 2 :: 2], value),
        }
    for place, each in enumerate(INTEGERS):
        yield {**empty, "door": DOORS[place % 3], "value": 0.5, "params": {"int": each}}
    for i, choices in enumerate(CHOICES):
        for place, choice in enumerate(choices):
            yield {**empty, "door": DOORS[place % 3], "value": 1.5, "params": {f"c{i}": choice}}
    nested: Any = SCALARS
    for _ in range(20):
        nested = {"": [nested], "a": {}, "b": []}
    attrs: dict[str, Any] = {f"{place}": value for place, value in enumerate(SCALARS)}
    attrs |= {"": nested, "\U0001f600": SCALARS, "n" * 512: {"a\0": {}}}
    for door in DOORS:
        yield {**empty, "door": door, "value": 2.5, "user_attrs": attrs}


def sent(wire: Wire, name: str, trial: dict[str, Any]) -> int | None:
    """Send a trial; return its number, or None if its parameters were refused with a reason."""
    params, attrs = trial["params"], trial["user_attrs"]
    path = f"/studies/{name}"
    result = {"value": trial["value"], "constraints": trial["constraints"]}
    if trial["door"] == "import":
        steps = {str(step): value for step, value in trial["reports"].items()}
        item = {**result, "params": params, "user_attrs": attrs, "intermediate_values": steps}
        response = wire.request("POST", f"{path}/import", json={"items": [item]})
    elif trial["door"] == "queue":
        body = {"params": params, "user_attrs": attrs}
        response = wire.request("POST", f"{path}/queue", json=body)
    else:
        body = {"params": params, "user_attrs": attrs}
        response = wire.request("POST", f"{path}/trials", json=body)
    if response.status_code == 422:
        assert_refusal_is_right(response, params)
        return None
    assert response.status_code == 201, response.text
    if trial["door"] == "import":
        (last,) = wire.ok("GET", f"{path}/trials?order=-number&limit=1")["items"]
        return int(last["number"])
    number = int(response.json()["number"])
    asked = wire.ask(name) if trial["door"] == "queue" else response.json()
    assert asked["number"] == number
    assert params.keys() <= asked["params"].keys()
    assert not differing({**expected(trial), "params": asked["params"]}, trial)
    trial["params"] = asked["params"]  # the sampled ones too
    for step, value in trial["reports"].items():
        body = {"step": step, "value": value}
        wire.ok("POST", f"{path}/trials/{number}/report", json=body)
    assert not differing(wire.tell(name, number, **result), trial)
    return number


def assert_refusal_is_right(response: httpx.Response, params: dict[str, Any]) -> None:
    """Only an integer that no float holds may be refused, and the reason names the limit."""
    inexact = [
        n for n in ("int", "thousands") if n in params and int(float(params[n])) != params[n]
    ]
    assert inexact, response.text
    detail = response.json()["detail"]
    assert "2^53" in detail, detail


def expected(trial: dict[str, Any]) -> dict[str, Any]:
    """What is to be seen of a trial. A zero has no sign in a column of numbers."""
    return {
        "params": {
            name: value + 0.0 if type(value) is float and name[0] != "c" else value
            for name, value in trial["params"].items()
        },
        "user_attrs": trial["user_attrs"],
        "constraints": trial["constraints"],
        "intermediate_values": {str(s): v + 0.0 for s, v in trial["reports"].items()},
        "values": [trial["value"] + 0.0],
    }


def differing(shown: dict[str, Any], trial: dict[str, Any]) -> list[Any]:
    """The fields of a trial that are not exactly what was sent, types and signs of zeros included."""
    wanted = expected(trial)
    given = {name: shown["params"].get(name) for name in wanted["params"]}
    shown = {**shown, "params": given}
    return [
        (field, shown[field], value)
        for field, value in wanted.items()
        if written(shown[field]) != written(value)
    ]


def written(value: Any) -> str:
    """The value as JSON, which tells 1 from 1.0 and true, and 0.0 from -0.0."""
    return json.dumps(value, sort_keys=True)


def as_shown(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {
        "params": trial.params,
        "user_attrs": trial.user_attrs,
        "constraints": trial.constraints,
        "intermediate_values": {str(s): v for s, v in trial.intermediate_values.items()},
        "values": trial.values,
    }


def assert_all_seen(wire: Wire, name: str, sent_trials: dict[int, dict[str, Any]]) -> None:
    """Check the trials as they are listed, exported and shown alone."""
    listed = wire.ok("GET", f"/studies/{name}/trials?limit=1000")["items"]
    text = wire.request("GET", f"/studies/{name}/export").text
    exported = [json.loads(line) for line in text.split("\n") if line]
    assert [line["number"] for line in exported] == [each["number"] for each in listed]
    for number, trial in sent_trials.items():
        assert not differing(listed[number], trial)
        assert not differing(exported[number], trial)
    number, trial = next(iter(sent_trials.items()))
    assert not differing(wire.trial(name, number), trial)


def check(home: Path, trials: list[dict[str, Any]], study_attrs: dict[str, Any]) -> None:
    """Send trials to a server, and look at them in every way: there, at the next one, and with Optuna."""
    with wire_of(home) as wire:
        name = wire.put(SPACE)
        found = {n: trial for trial in trials if (n := sent(wire, name, trial)) is not None}
        wire.ok("PATCH", f"/studies/{name}", json={"user_attrs": study_attrs})
        assert_all_seen(wire, name, found)
    with wire_of(home) as wire:
        assert_all_seen(wire, name, found)
        assert written(wire.study(name)["user_attrs"]) == written(study_attrs)
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{home / 'db' / name}.db")
    seen = study.get_trials(deepcopy=False)
    for number, trial in found.items():
        assert not differing(as_shown(seen[number]), trial)
    assert written(study.user_attrs) == written(study_attrs)


def test_extreme_values_are_seen_exactly_as_they_were_sent(tmp_path: Path) -> None:
    check(tmp_path, list(extremes()), {"": SCALARS, "\U0001f600": {"a\0": -0.0}})


@settings(
    max_examples=scaled(2, 50),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example starts two servers
    suppress_health_check=list(HealthCheck),
)
@given(
    made=st.lists(trials(), min_size=scaled(10, 60), max_size=scaled(15, 120)),
    study_attrs=st.dictionaries(_name, _json, max_size=3),
)
def test_any_value_is_seen_exactly_as_it_was_sent(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[dict[str, Any]],
    study_attrs: dict[str, Any],
) -> None:
    check(tmp_path_factory.mktemp("home"), made, study_attrs)


@pytest.mark.parametrize("path", ["trials", "queue", "import"])
def test_an_integer_that_no_float_holds_is_refused_with_the_limit(wire: Wire, path: str) -> None:
    name = wire.put(SPACE)
    item = {"params": {"int": 2**53 + 1}}
    body = {"items": [{**item, "value": 1}]} if path == "import" else item
    with wire.unchanged(name):
        document = wire.refused("POST", f"/studies/{name}/{path}", 422, "value-invalid", json=body)
    assert "9007199254740993 is not a whole number" in document["detail"]
    assert "each up to 2^53" in document["detail"]
