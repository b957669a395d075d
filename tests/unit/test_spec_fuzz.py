"""Any input is read or refused, and a specification that is read can be used."""

import json
from typing import Any

import optuna
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optunapi.engine.pruners.registry import PRUNERS, make_pruner
from optunapi.engine.samplers.make import make_sampler
from optunapi.engine.samplers.registry import SAMPLERS
from optunapi.engine.spec.diff import differences
from optunapi.engine.spec.files import spec_from_yaml
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import SETTINGS, spec_from_mapping
from optunapi.errors import ConfigInvalid
from tests.support import scaled

optuna.logging.set_verbosity(optuna.logging.WARNING)

WORDS = [
    *SETTINGS,
    *(f"{key}" for key in ("parameters", "name", "type", "low", "high", "step", "log", "when")),
    *("choices", "float", "int", "categorical", "minimize", "maximize", "seed", "wrapped"),
    *("search_space", "x0", "crossover", "reference_points", "mutation", "<<", "=", "12h", "1e-5"),
    *("x", "y", "", " ", "off", "yes", "nan", "\x00", "é", "🙂"),
    *SAMPLERS,
    *PRUNERS,
]
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.integers(),
    st.sampled_from([2**53, -(2**53), 10**400, 1e308, -1e308, 5e-324, 0.1, 1e-5]),
    st.floats(),
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.one_of(
        st.lists(below, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), below, max_size=5),
    ),
    max_leaves=20,
)
VALID: dict[str, Any] = {
    "description": "all of it",
    "objectives": {"accuracy": "maximize"},
    "sampler": {"name": "tpe", "seed": 42},
    "pruner": {"name": "patient", "patience": 3, "wrapped": {"name": "median"}},
    "max_trials": 200,
    "max_duration": "12h",
    "max_cost": 500,
    "target": {"accuracy": 0.95},
    "lease": 300,
    "avoid_duplicates": "running",
    "user_attrs": {"team": ["vision"]},
    "enqueue": [{"optimizer": "sgd", "lr": 0.01}],
    "parameters": {
        "optimizer": {"type": "categorical", "choices": ["sgd", "adam", 1, None]},
        "lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
        "layers": {"type": "int", "low": 1, "high": 9, "step": 2},
        "momentum": {"type": "float", "low": 0, "high": 0.9, "step": 0.1, "when": {"layers": [1]}},
    },
}


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here]
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, below in entries:
            found += paths(below, (*here, key))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """The valid specification with one to three of its values replaced, or entries added."""
    spec: Any = VALID
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths(spec)))
        here = spec
        for key in path:
            here = here[key]
        if isinstance(here, dict) and draw(st.booleans()):
            spec = replaced(spec, path, here | {draw(st.sampled_from(WORDS)): draw(VALUES)})
        else:
            spec = replaced(spec, path, draw(VALUES))
    return spec


def check(spec: StudySpec) -> None:
    """An accepted specification makes a sampler and a pruner, and its JSON reads as the same one."""
    wire = json.loads(json.dumps(spec.to_json(), allow_nan=False))
    again = spec_from_mapping(wire)
    assert differences(spec, again) == []
    assert again.version == spec.version
    make_pruner(spec.pruner)
    if spec.sampler["name"] != "gp":
        make_sampler(spec.problem, seed_shift=1)


def check_refusal(refusal: ConfigInvalid, *, file: str | None) -> None:
    errors = refusal.extra["errors"]
    assert errors
    for error in errors:
        assert error["file"] == file
        assert file or error["line"] is None
        assert error.keys() == {"file", "line", "key", "reason"}
        assert error["reason"]
        assert error["line"] is None or error["line"] >= 1
    json.dumps(errors, allow_nan=False).encode()


THOROUGH = settings(
    max_examples=scaled(300, 5_000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@THOROUGH
@given(st.one_of(mutated(), st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=6)))
def test_any_json_body_is_read_or_refused(body: Any) -> None:
    if not isinstance(body, dict):
        return
    try:
        spec = spec_from_mapping(body)
    except ConfigInvalid as refusal:
        check_refusal(refusal, file=None)
    else:
        check(spec)


@THOROUGH
@given(st.one_of(mutated(), VALUES))
def test_any_yaml_value_is_read_or_refused(value: Any) -> None:
    check_yaml(yaml.safe_dump(value, allow_unicode=True, sort_keys=False))


@THOROUGH
@given(st.data())
def test_any_damaged_yaml_text_is_read_or_refused(data: st.DataObject) -> None:
    text = yaml.safe_dump(VALID, sort_keys=False, default_flow_style=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        noise = st.text(alphabet="abx01:-,.[]{}&*!|>%@`#'\"?<= \n\t\x00é~", max_size=8)
        text = text[:start] + data.draw(noise) + text[end:]
    check_yaml(text)


@THOROUGH
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    check_yaml(content)


def check_yaml(text: str | bytes) -> None:
    try:
        spec = spec_from_yaml(text, "some.yaml")
    except ConfigInvalid as refusal:
        check_refusal(refusal, file="some.yaml")
    else:
        check(spec)
