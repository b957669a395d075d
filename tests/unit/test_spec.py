"""The settings of a specification, its version, and its changes."""

import json
from typing import Any

import pytest
from optuna.study import StudyDirection

from optunapi.engine.spec.diff import differences, incompatibilities
from optunapi.engine.spec.model import Limits, Objective, StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.errors import ConfigInvalid

LR = {"type": "float", "low": 1e-5, "high": 0.1, "log": True}
N = {"type": "int", "low": 1, "high": 3}
OPTIMIZER = {"type": "categorical", "choices": ["sgd", "adam"]}
BASE = {"optimizer": OPTIMIZER, "lr": LR}


def spec(parameters: Any = BASE, **settings: Any) -> StudySpec:
    return spec_from_mapping({"parameters": parameters, **settings})


def refusals(data: Any) -> dict[str, str]:
    with pytest.raises(ConfigInvalid) as caught:
        spec_from_mapping(data)
    return {error["key"]: error["reason"] for error in caught.value.extra["errors"]}


def test_a_setting_that_is_left_out_has_its_default() -> None:
    found = spec({})
    assert found.to_json() == {
        "description": None,
        "objectives": [{"name": "score", "direction": "minimize"}],
        "sampler": {"name": "tpe"},
        "pruner": {"name": "none"},
        "max_trials": None,
        "max_running": None,
        "max_duration": None,
        "max_failed_trials": None,
        "max_cost": None,
        "trial_timeout": None,
        "target": None,
        "lease": None,
        "max_attempts": 3,
        "avoid_duplicates": "running",
        "user_attrs": {},
        "enqueue": [],
        "parameters": {},
    }
    assert spec({}, description=None, objectives=[], sampler="", enqueue=None) == found


FULL = {
    "description": "all of it",
    "objectives": {"accuracy": "maximize", "latency": "minimize"},
    "sampler": {"name": "nsga2", "crossover": {"name": "sbx", "eta": 2.0}, "seed": 1},
    "max_trials": 200,
    "max_running": 16,
    "max_duration": "1.5h",
    "max_failed_trials": 20,
    "max_cost": 500,
    "trial_timeout": 90,
    "target": {"accuracy": 0.95},
    "lease": "5m",
    "max_attempts": 2,
    "avoid_duplicates": "all",
    "user_attrs": {"team": ["vision", None, {"size": 3}]},
    "enqueue": [{"optimizer": "sgd", "momentum": 1}, {"lr": 0.1}],
    "parameters": {
        **BASE,
        "n": N,
        "flag": {"type": "categorical", "choices": [True, None, 2, 2.5, "2"]},
        "momentum": {"type": "float", "low": 0, "high": 1, "when": {"optimizer": "sgd"}},
    },
}


def test_what_is_stored_reads_again_as_the_same_specification() -> None:
    first = spec_from_mapping(FULL)
    again = spec_from_mapping(json.loads(json.dumps(first.to_json(), allow_nan=False)))
    assert again == first
    assert again.version == first.version
    assert [p.name for p in again.parameters] == [p.name for p in first.parameters]
    assert first.limits == Limits(
        max_trials=200,
        max_running=16,
        max_duration=5_400.0,
        max_failed_trials=20,
        max_cost=500.0,
        trial_timeout=90.0,
        target={"accuracy": 0.95},
    )
    assert first.lease_seconds == 300
    assert json.dumps(first.enqueue) == '[{"optimizer": "sgd", "momentum": 1.0}, {"lr": 0.1}]'
    assert first.parameters[-1].when == {"optimizer": ("sgd",)}
    assert first.directions == [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]


def test_the_short_form_is_a_body_too() -> None:
    assert spec_from_mapping(BASE) == spec(BASE)
    assert spec_from_mapping({"name": "n", **N}) == spec({"n": N})


def test_parameters_may_be_a_list() -> None:
    assert spec([{"name": "n", **N}, {"name": "lr", **LR}]) == spec({"n": N, "lr": LR})


def test_objectives_may_be_written_as_the_study_shows_them() -> None:
    shown = [
        {"name": "accuracy", "direction": "maximize"},
        {"name": "latency", "direction": "minimize"},
    ]
    assert spec(objectives=shown) == spec(
        objectives={"accuracy": "maximize", "latency": "minimize"}
    )
    assert spec(direction="maximize").objectives == (Objective(name="score", direction="maximize"),)


def test_a_bare_target_is_the_only_objectives() -> None:
    assert spec(target=0.5).limits.target == {"score": 0.5}
    assert spec(target=-1, objectives={"loss": "minimize"}).limits.target == {"loss": -1.0}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("90s", 90),
        ("5m", 300),
        ("12h", 43_200),
        ("2d", 172_800),
        ("1 h", 3600),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(given: Any, seconds: float) -> None:
    assert spec(max_duration=given).limits.max_duration == seconds


def test_avoid_duplicates_takes_what_yaml_makes_of_off() -> None:
    assert spec(avoid_duplicates=False).avoid_duplicates == "off"


@pytest.mark.parametrize(
    ("settings", "key", "words"),
    [
        ({"max_trails": 3}, "max_trails", 'did you mean "max_trials"?'),
        ({"max_trials": 0}, "max_trials", "0 is below 1"),
        ({"max_trials": 2.5}, "max_trials", "2.5 is not a whole number"),
        ({"max_trials": "3"}, "max_trials", '"3" is not a whole number'),
        ({"max_trials": True}, "max_trials", "true is not a whole number"),
        ({"max_trials": 2**60}, "max_trials", "is above 9007199254740992"),
        ({"max_running": -1}, "max_running", "below 1"),
        ({"max_failed_trials": [1]}, "max_failed_trials", "[1] is not a whole number"),
        ({"max_cost": 0}, "max_cost", "0 is not above 0"),
        ({"max_duration": "12 hours"}, "max_duration", "such as 90, 90s, 5m, 12h or 2d"),
        ({"max_duration": "90"}, "max_duration", '"90" is not a duration'),
        ({"max_duration": 0}, "max_duration", "not a duration above zero"),
        ({"max_duration": "99999999d"}, "max_duration", "the most allowed"),
        ({"max_duration": True}, "max_duration", "true is not a duration"),
        ({"trial_timeout": -5}, "trial_timeout", "not a duration above zero"),
        ({"lease": 31_536_001}, "lease", "above 31536000"),
        ({"max_attempts": 0}, "max_attempts", "below 1"),
        ({"avoid_duplicates": "never"}, "avoid_duplicates", "Allowed: off, running, all"),
        ({"avoid_duplicates": True}, "avoid_duplicates", "true is not a value"),
        ({"description": 3}, "description", "3 is not a text: put it in quotes"),
        ({"user_attrs": [1]}, "user_attrs", "[1] is not a mapping"),
        ({"user_attrs": {"a": float("nan")}}, "user_attrs.a", "not a finite number"),
        ({"user_attrs": {"a": {1}}}, "user_attrs.a", "a set is not a JSON value"),
        ({"user_attrs": {1: 1}}, "user_attrs", "1 is not a text that can be a key"),
        ({"direction": "maximise"}, "direction", 'did you mean "maximize"?'),
        ({"direction": "maximize", "objectives": {"a": "minimize"}}, "direction", "leave it or"),
        ({"objectives": "maximize"}, "objectives", "not a mapping of names to directions"),
        ({"objectives": {"a": "up"}}, "objectives.a", '"up" is not a direction'),
        ({"objectives": {"": "minimize"}}, "objectives.", "is not a name"),
        ({"objectives": {"a": None}}, "objectives.a", "null is not a direction"),
        ({"objectives": [{"name": "a"}]}, "objectives.0", "`direction` is missing"),
        ({"objectives": [{"direction": "minimize"}]}, "objectives.0", "`name` is missing"),
        ({"objectives": ["a"]}, "objectives.0", '"a" is not a mapping'),
        (
            {"objectives": [{"name": "a", "direction": "minimize"}] * 2},
            "objectives.1.direction",
            "two objectives called",
        ),
        ({"target": {"scores": 1}}, "target.scores", 'did you mean "score"?'),
        ({"target": "low"}, "target", '"low" is not a number'),
        ({"target": {"score": "1"}}, "target.score", '"1" is not a number'),
        (
            {"target": 1, "objectives": {"a": "minimize", "b": "minimize"}},
            "target",
            "several objectives need one",
        ),
        ({"enqueue": {"lr": 0.1}}, "enqueue", "is not a list"),
        ({"enqueue": [0.1]}, "enqueue.0", "0.1 is not a mapping"),
        ({"enqueue": [{"lrr": 0.1}]}, "enqueue.0.lrr", 'no parameter "lrr"; did you mean "lr"?'),
        ({"enqueue": [{"lr": 1}]}, "enqueue.0.lr", "1 is not a number from 1e-05 to 0.1"),
        ({"enqueue": [{}, {"optimizer": "sgdd"}]}, "enqueue.1.optimizer", 'one of "sgd", "adam"'),
    ],
    ids=str,
)
def test_a_setting_that_is_wrong_is_refused_at_its_key(
    settings: dict[str, Any], key: str, words: str
) -> None:
    assert words in refusals({"parameters": BASE, **settings})[key]


@pytest.mark.parametrize(
    ("parameters", "key", "words"),
    [
        ({"lr": LR | {"lwo": 1}}, "parameters.lr.lwo", 'unknown key "lwo"; did you mean "low"?'),
        ({"lr": LR | {"type": "real"}}, "parameters.lr.type", "Allowed: categorical, int, float"),
        ({"": LR}, "parameters.", "is not a name: it is empty"),
        ({" lr": LR}, "parameters. lr", "begins or ends with a space"),
        ({"l\nr": LR}, "parameters.l\nr", "cannot be printed"),
        ({"l" * 256: LR}, f"parameters.{'l' * 256}", "a name may have 255 characters"),
        ({"lr": LR | {"name": 3}}, "parameters.lr.name", "3 is not a text"),
        ({"a": LR | {"name": "b"}, "b": LR}, "parameters.b", 'two parameters called "b"'),
        ([{"name": "a", **LR}, {"name": "a", **LR}], "parameters.a", 'two parameters called "a"'),
        ({"lr": [LR]}, "parameters.lr", "is not a parameter: a mapping"),
        ({"lr": LR | {"when": "adam"}}, "parameters.lr.when", '"adam" is not a mapping'),
        ({"lr": LR | {"when": {"n": 1}}}, "parameters.lr.when.n", "there is no parameter"),
        ({"lr": LR | {"when": {"lr": 1}}}, "parameters.lr.when.lr", "must come before"),
        (
            {"lr": LR | {"when": {"optimizer": "sgd"}}, "optimizer": OPTIMIZER},
            "parameters.lr.when.optimizer",
            "must come before",
        ),
        (
            {"optimizer": OPTIMIZER, "lr": LR | {"when": {"optimizer": "rms"}}},
            "parameters.lr.when.optimizer",
            '"rms" is impossible: "optimizer" is one of "sgd", "adam"',
        ),
        (
            {"optimizer": OPTIMIZER, "lr": LR | {"when": {"optimizer": ["sgd", 3]}}},
            "parameters.lr.when.optimizer.1",
            "3 is impossible",
        ),
        (
            {"optimizer": OPTIMIZER, "lr": LR | {"when": {"optimizer": []}}},
            "parameters.lr.when.optimizer",
            "at least one is needed",
        ),
    ],
    ids=str,
)
def test_a_parameter_that_is_wrong_is_refused_at_its_key(
    parameters: Any, key: str, words: str
) -> None:
    assert words in refusals({"parameters": parameters})[key]


def test_an_error_in_one_setting_hides_no_check_of_another() -> None:
    errors = refusals(
        {
            "parameters": BASE,
            "objectives": {"a": "minimize", "b": "minimize"},
            "max_trials": "many",
            "sampler": "cmaes",
            "pruner": "median",
            "target": {"c": 1},
            "enqueue": [{"lr": 2}],
        }
    )
    assert errors.keys() == {"max_trials", "sampler", "pruner", "target.c", "enqueue.0.lr"}


def test_a_queued_point_may_not_fix_a_parameter_that_its_condition_leaves_out() -> None:
    momentum = {"type": "float", "low": 0, "high": 1, "when": {"optimizer": "sgd"}}
    points = [{"optimizer": "adam", "momentum": 0.5}, {"momentum": 0.5}]
    errors = refusals({"parameters": BASE | {"momentum": momentum}, "enqueue": points})
    reason = '"momentum" needs optimizer = "sgd" in the same point'
    assert errors == {"enqueue.0.momentum": reason, "enqueue.1.momentum": reason}


def test_a_define_by_run_study_queues_any_name() -> None:
    assert spec({}, enqueue=[{"anything": 1, "else": None}]).enqueue == (
        {"anything": 1, "else": None},
    )
    assert (
        "is not a single value"
        in refusals({"parameters": {}, "enqueue": [{"anything": [1]}]})["enqueue.0.anything"]
    )


def test_an_empty_body_is_refused() -> None:
    assert "`parameters: {}` makes a define-by-run study" in refusals({})[""]
    assert "is a setting of the study" in refusals({"direction": "minimize"})["direction"]


def test_a_body_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert any("deeper than 40" in reason for reason in refusals({"a": endless}).values())
    assert any(
        "more than 100000 values" in reason for reason in refusals({"a": [0] * 200_000}).values()
    )


# Changes.


def test_the_version_is_twelve_digits_that_a_description_does_not_change() -> None:
    first = spec()
    assert len(first.version) == 12
    assert int(first.version, 16) >= 0
    assert first.version == spec(description="d", user_attrs={"a": 1}).version
    assert first.version == spec(sampler={"name": "tpe", "n_startup_trials": 10}).version
    assert first.version == spec(dict(reversed(BASE.items()))).version


@pytest.mark.parametrize(
    "other",
    [
        spec(BASE | {"lr": LR | {"high": 0.2}}),
        spec({"lr": LR}),
        spec(BASE | {"n": N}),
        spec(BASE | {"lr": LR | {"when": {"optimizer": "sgd"}}}),
        spec(direction="maximize"),
        spec(sampler="random"),
        spec(sampler={"name": "tpe", "n_startup_trials": 11}),
        spec(pruner="median"),
        spec(max_trials=9),
        spec(target=1),
        spec(lease=9),
        spec(max_attempts=9),
        spec(avoid_duplicates="all"),
        spec(enqueue=[{"lr": 0.01}]),
    ],
    ids=lambda other: str(differences(spec(), other)),
)
def test_a_setting_that_changes_the_trials_changes_the_version(other: StudySpec) -> None:
    assert other.version != spec().version
    assert differences(spec(), other) != []


def test_one_and_one_point_zero_are_different_choices() -> None:
    whole, point = (spec({"c": {"type": "categorical", "choices": [one, 2]}}) for one in (1, 1.0))
    assert whole.version != point.version
    assert differences(whole, point) == [
        {"key": "parameters.c.choices", "old": [1, 2], "new": [1.0, 2]}
    ]


def test_trials_with_one_do_not_allow_true() -> None:
    old, new = (
        spec({"c": {"type": "categorical", "choices": choices}})
        for choices in ([1, 0], [True, False])
    )
    (found,) = incompatibilities(old, new)
    assert found["key"] == "parameters.c.choices"


def test_each_difference_is_listed_by_itself() -> None:
    old = spec(max_trials=10, user_attrs={"a": 1})
    new = spec(
        {"lr": LR | {"high": 0.2, "low": 1e-6}, "n": N},
        sampler={"name": "tpe", "seed": 1},
        user_attrs={"a": 2},
    )
    assert {d["key"]: (d["old"], d["new"]) for d in differences(old, new)} == {
        "max_trials": (10, None),
        "sampler": ({"name": "tpe"}, {"name": "tpe", "seed": 1}),
        "user_attrs": ({"a": 1}, {"a": 2}),
        "parameters.lr.high": (0.1, 0.2),
        "parameters.lr.low": (1e-5, 1e-6),
        "parameters.optimizer": (OPTIMIZER, None),
        "parameters.n": (None, N | {"log": False, "step": 1}),
    }


def test_the_same_specification_with_defaults_filled_in_does_not_differ() -> None:
    stated = spec(
        dict(reversed(BASE.items())),
        direction="minimize",
        sampler={"name": "tpe", "multivariate": None, "constant_liar": True},
        pruner="none",
        max_attempts=3,
        avoid_duplicates="running",
    )
    assert differences(spec(), stated) == []


def test_trials_allow_other_bounds_parameters_limits_and_samplers() -> None:
    new = spec(
        {"lr": LR | {"low": 1e-9, "high": 9}, "n": N},
        sampler="random",
        pruner="median",
        max_trials=3,
        enqueue=[{"n": 1}],
    )
    assert incompatibilities(spec(), new) == []


@pytest.mark.parametrize(
    ("new", "key", "before", "after"),
    [
        (
            spec(BASE | {"optimizer": OPTIMIZER | {"choices": ["adam", "sgd"]}}),
            "parameters.optimizer.choices",
            ["sgd", "adam"],
            ["adam", "sgd"],
        ),
        (spec(BASE | {"lr": N}), "parameters.lr.type", "float", "int"),
        (spec(BASE | {"lr": LR | {"log": False}}), "parameters.lr.log", True, False),
        (
            spec(direction="maximize"),
            "objectives",
            [{"name": "score", "direction": "minimize"}],
            [{"name": "score", "direction": "maximize"}],
        ),
    ],
    ids=str,
)
def test_trials_do_not_allow_another_kind_of_parameter_or_objective(
    new: StudySpec, key: str, before: Any, after: Any
) -> None:
    (found,) = incompatibilities(spec(), new)
    assert (found["key"], found["old"], found["new"]) == (key, before, after)
    assert "cannot change" in found["reason"] or "are fixed" in found["reason"]
