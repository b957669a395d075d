"""Configuration files: every form they may have, and the errors of invalid ones."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from optunapi.engine.documents import yaml_reader as config_yaml
from optunapi.engine.spec.files import read_config, spec_from_yaml
from optunapi.engine.spec.model import Objective, StudySpec
from optunapi.errors import ConfigInvalid
from tests.support import ROOT

X = FloatDistribution(-10, 10)
N = IntDistribution(1, 3)


def space(text: str) -> dict[str, Any]:
    return {p.name: p.distribution for p in spec_from_yaml(text).parameters}


def errors_of(text: str | bytes) -> list[tuple[int | None, str, str]]:
    with pytest.raises(ConfigInvalid) as caught:
        spec_from_yaml(text, "study.yaml")
    errors = caught.value.extra["errors"]
    assert all(error["file"] == "study.yaml" for error in errors)
    return [(error["line"], error["key"], error["reason"]) for error in errors]


def only_error(text: str | bytes) -> tuple[int | None, str, str]:
    (error,) = errors_of(text)
    return error


# Forms.


def test_the_short_form_of_0_1_is_a_mapping_of_parameters_with_empty_settings() -> None:
    entry = "{name: x, type: float, choices: , low: -10, high: 10, step: , log: False}"
    assert space(f"x: {entry}") == {"x": X}


def test_settings_that_do_not_apply_may_stand_empty_in_the_short_form() -> None:
    text = "opt: {name: opt, type: categorical, choices: [a, b], low: , high: , step: '', log: no}"
    assert space(text) == {"opt": CategoricalDistribution(["a", "b"])}


def test_the_name_wins_over_the_heading_and_may_be_left_out() -> None:
    text = (
        "learning_rate: {name: rate, type: int, low: 1, high: 3}\nn: {type: int, low: 1, high: 3}"
    )
    assert space(text) == {"rate": N, "n": N}


def test_a_list_of_parameters_is_the_list_form() -> None:
    text = "- {name: x, type: float, low: -10, high: 10}\n- {name: n, type: int, low: 1, high: 3}"
    assert list(space(text).items()) == [("x", X), ("n", N)]


def test_blocks_without_headings_begin_with_their_name() -> None:
    text = """
# Categorical parameter
name    : optimizer
type    : categorical
choices :
          - RMSprop
          - Adam

# Floating point parameter
name : x
type : float
low  : -10
high : 10

name : n
type : int
low : 1
high : 3
"""
    optimizer = CategoricalDistribution(["RMSprop", "Adam"])
    assert list(space(text).items()) == [("optimizer", optimizer), ("x", X), ("n", N)]


def test_a_single_block_without_heading_is_one_parameter() -> None:
    assert space("name: n\ntype: int\nlow: 1\nhigh: 3") == {"n": N}


def test_a_parameter_called_name_is_no_block() -> None:
    assert space("name: {type: int, low: 1, high: 3}") == {"name": N}


def test_a_short_form_parameter_may_be_called_parameters_or_as_a_setting() -> None:
    text = "parameters: {type: int, low: 1, high: 3}\ntarget: {type: int, low: 1, high: 3}"
    assert space(text) == {"parameters": N, "target": N}


@pytest.mark.parametrize("name", ["type", "low", "choices", "name", "parameters", "when", "log"])
def test_a_long_form_parameter_may_have_any_settings_name(name: str) -> None:
    assert space(f"parameters: {{{name}: {{type: int, low: 1, high: 3}}}}") == {name: N}


def test_empty_parameters_are_a_define_by_run_study() -> None:
    assert spec_from_yaml("parameters: {}") == StudySpec()


@pytest.mark.parametrize("value", ["", "~", "null", "''", "[]"])
def test_parameters_without_a_value_are_an_error_since_the_file_may_be_half_written(
    value: str,
) -> None:
    line, key, reason = only_error(f"max_trials: 5\nparameters: {value}")
    assert (line, key) == (2, "parameters")
    assert reason == "it has no value: `parameters: {}` makes a define-by-run study"


@pytest.mark.parametrize("number", ["1e-5", "'1e-5'", "1.0e-5", "0.00001", "1_0e-6", "+1E-5"])
def test_a_number_may_be_written_in_any_way(number: str) -> None:
    text = f"lr: {{type: float, low: {number}, high: '1e1', log: true}}"
    assert space(text) == {"lr": FloatDistribution(1e-5, 10.0, log=True)}


def test_whole_numbers_may_be_written_as_floats() -> None:
    assert space("n: {type: int, low: 1.0, high: 3e0, step: '1'}") == {"n": N}


def test_numbers_written_as_text_stay_text_among_choices() -> None:
    distribution = space("c: {type: categorical, choices: [1e-5, 1.0e-5, '1', ~, no, 2024-01-01]}")
    assert distribution["c"].choices == ("1e-5", 1e-5, "1", None, False, "2024-01-01")


def test_every_parameter_is_asked_in_the_order_of_the_file() -> None:
    names = ["z", "a", "m", "b"]
    text = "\n".join(f"{name}: {{type: int, low: 1, high: 3}}" for name in names)
    assert list(space(text)) == names


def test_aliases_and_merged_mappings_are_expanded() -> None:
    text = """
x: &range {type: float, low: -10, high: 10}
y: *range
z: {high: 5, <<: *range}
w: {<<: [{log: false}, *range]}
"""
    assert space(text) == {"x": X, "y": X, "z": FloatDistribution(-10, 5), "w": X}


def test_the_long_form_of_the_documentation_is_read_whole() -> None:
    spec = spec_from_yaml("""
description: CIFAR-10, ResNet-18
objectives:
  accuracy: maximize
  latency: minimize
sampler: {name: tpe, seed: 42}
max_trials: 200
max_running: 16
max_duration: 12h
max_failed_trials: 20
max_cost: 500
trial_timeout: 6h
target: {accuracy: 0.95}
lease: 5m
max_attempts: 3
avoid_duplicates: off
user_attrs: {team: vision}
enqueue:
  - {optimizer: sgd, lr: 0.1}
parameters:
  optimizer: {type: categorical, choices: [sgd, adam]}
  lr: {type: float, low: 1e-5, high: 1e-1, log: true}
  momentum: {type: float, low: 0.0, high: 0.99, when: {optimizer: sgd}}
""")
    assert spec.objectives == (
        Objective(name="accuracy", direction="maximize"),
        Objective(name="latency", direction="minimize"),
    )
    assert spec.sampler == {"name": "tpe", "seed": 42}
    assert spec.limits.max_duration == 43_200
    assert spec.limits.trial_timeout == 21_600
    assert (spec.limits.max_trials, spec.limits.max_running) == (200, 16)
    assert (spec.limits.max_failed_trials, spec.limits.max_cost) == (20, 500)
    assert spec.limits.target == {"accuracy": 0.95}
    assert (spec.lease_seconds, spec.max_attempts) == (300, 3)
    assert spec.avoid_duplicates == "off"
    assert spec.user_attrs == {"team": "vision"}
    assert spec.enqueue == ({"optimizer": "sgd", "lr": 0.1},)
    assert spec.parameters[2].when == {"optimizer": ("sgd",)}


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda f: f.name)
def test_the_files_of_this_project_are_right(file: Path) -> None:
    assert read_config(file).parameters


def test_the_paraboloid_of_0_1_is_in_its_short_form() -> None:
    spec = read_config(ROOT / "config" / "optunapi-test.yaml")
    assert [(p.name, p.distribution) for p in spec.parameters] == [("x", X), ("y", X)]
    assert spec.objectives == (Objective(name="score", direction="minimize"),)


def test_a_byte_order_mark_and_windows_lines_are_taken() -> None:
    assert spec_from_yaml(b"\xef\xbb\xbfn:\r\n  type: int\r\n  low: 1\r\n  high: 3\r\n").parameters


# Errors.


def test_all_errors_of_a_file_come_at_once_with_file_line_and_key(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("""\
direktion: minimize
sampler: {name: tpo}
max_trials: many
parameters:
  lr:
    type: flot
    low: 1
  layers:
    type: int
    low: 4
    high: 2
""")
    with pytest.raises(ConfigInvalid) as caught:
        read_config(file)
    errors = caught.value.extra["errors"]
    assert [(error["file"], error["line"], error["key"]) for error in errors] == [
        ("broken.yaml", 1, "direktion"),
        ("broken.yaml", 2, "sampler.name"),
        ("broken.yaml", 3, "max_trials"),
        ("broken.yaml", 6, "parameters.lr.type"),
        ("broken.yaml", 10, "parameters.layers.low"),
    ]
    assert 'did you mean "direction"?' in errors[0]["reason"]
    assert errors[2]["reason"] == '"many" is not a whole number'
    assert errors[3]["reason"].startswith('"flot" is not a type; did you mean "float"? Allowed: ')
    assert errors[4]["reason"] == "4 is above `high`, 2"
    assert caught.value.detail.startswith("broken.yaml, line 1: direktion: unknown key")
    assert "4 more errors" in caught.value.detail
    assert str(tmp_path) not in caught.value.detail


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("", None, "", "`parameters: {}` makes a define-by-run study"),
        ("# nothing\n", None, "", "there is nothing in it"),
        ("{}", 1, "", "there is nothing in it"),
        ("just words", 1, "", '"just words" is neither a mapping nor a list'),
        ("x: {type: int\ny: 3", 2, "", "it is not YAML: while parsing a flow mapping"),
        ("x:\n\ttype: int", 2, "", "a tab; indent with spaces"),
        ("x: \x07", 1, "", "control characters are not allowed"),
        ("n: {type: int, low: 1, high: 3}\n---\nm: 1", 2, "", "a second YAML document"),
        (b"x: \xff", 1, "", "it is not UTF-8: byte 0xff"),
        (b"x: 1\ny: \xe9", 2, "", "it is not UTF-8: byte 0xe9"),
        ("x: !!python/object/apply:os.getcwd []", 1, "x", "!!python/object/apply:os.getcwd is not"),
        (
            "n: {type: int, low: 1, high: !big 3}",
            1,
            "n.high",
            "the tag !big is not allowed: leave it out",
        ),
        ("n: {type: int, low: !!int a, high: 3}", 1, "n.low", '"a" cannot be read as int'),
        ("n: {type: int, low: 1, high: *top}", 1, "n.high", "there is no &top before"),
        ("n: &n {type: int, low: 1, high: *n}", 1, "n.high", "there is no &n before"),
        ("n:\n  type: int\n  low: 1\n  high: 3\n  low: 2", 5, "n.low", "on line 3 already"),
        ("n: {type: int, low: 1, high: 3}\nn: 1", 2, "n", "the key is on line 1 already"),
        ("parameters: {on: {type: int}}", 1, "parameters", "YAML reads the key on as true"),
        ("parameters: {1: {type: int}}", 1, "parameters", "YAML reads the key 1 as 1"),
        ("? [a]\n: {type: int}", 1, "", "a mapping or list cannot be a key"),
        ("n: {<<: 3, type: int, low: 1, high: 3}", 1, "n.<<", "`<<` takes a mapping's alias"),
        ("n:", 1, "n", "null is not a parameter: a mapping"),
        ("- {type: int, low: 1, high: 3}", 1, "0", "`name` is missing"),
        ("type: int\nname: n\nlow: 1\nhigh: 3", 1, "type", "begins with `name`"),
        ("name: n\ntype: int\nlow: 1\nlow: 2\nhigh: 3", 4, "n.low", "on line 3 already"),
        ("direction: maximize\nn: {type: int}", 1, "direction", "is a setting of the study"),
        ("name: s\nparameters: {}", 1, "name", 'unknown key "name"'),
        ("parameters: 3", 1, "parameters", "3 is neither a mapping nor a list"),
    ],
)
def test_an_invalid_file_is_refused_at_the_line_and_key_of_each_error(
    text: str | bytes, line: int | None, key: str, words: str
) -> None:
    found = [error for error in errors_of(text) if error[:2] == (line, key)]
    assert any(words in reason for _, _, reason in found), errors_of(text)


def test_a_missing_setting_is_reported_where_its_parameter_begins() -> None:
    text = "parameters:\n  n:\n\n    low: 1\n    high: 3\n"
    line, key, reason = only_error(text)
    assert (line, key) == (2, "parameters.n")
    assert reason.startswith("`type` is missing")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("n: {type: int, low: 1, high: !big 3}", 1, "n.high"),
        ("n: {type: int, low: 1, high: .nan}", 1, "n.high"),
        ("parameters: {}\nsampler: {name: tpe, seed: *s}", 2, "sampler.seed"),
        ("parameters: {}\npruner: median\nobjectives: {a: minimize, b: !x y}", 3, "objectives.b"),
    ],
)
def test_a_value_that_cannot_be_read_has_one_error(text: str, line: int, key: str) -> None:
    assert only_error(text)[:2] == (line, key)


def test_an_error_shows_a_value_as_the_file_writes_it() -> None:
    text = "parameters: {}\navoid_duplicates: on\nmax_trials: 0o7\nmax_running: -0x10"
    reasons = [reason for _, _, reason in errors_of(text)]
    assert reasons[0].startswith("on (read as true) is not a value. Allowed: off, running, all")
    assert reasons[1:] == [
        '"0o7" is not a whole number',
        "-0x10 (read as -16) is below 1, the least allowed",
    ]


def test_two_parameters_of_one_name_are_refused_in_every_form() -> None:
    mapping = "a: {name: n, type: int, low: 1, high: 3}\nn: {type: int, low: 1, high: 3}"
    entry = "{name: n, type: int, low: 1, high: 3}"
    blocks = "name: n\ntype: int\nlow: 1\nhigh: 3\n"
    for text in (mapping, f"- {entry}\n- {entry}", blocks + blocks):
        assert only_error(text)[2] == 'there are two parameters called "n"'


def test_parameters_under_a_misspelt_word_are_told_where_they_stand() -> None:
    (error,) = errors_of("parmeters:\n  x: {type: int, low: 1, high: 3}\n  y: {type: int, low: 1}")
    assert error == (1, "parmeters", 'parameters stand under `parameters`, not under "parmeters"')


def test_an_error_about_equal_choices_says_what_yaml_makes_of_yes_and_on() -> None:
    line, key, reason = only_error("c:\n  type: categorical\n  choices: [yes, 'no', on]")
    assert (line, key) == (3, "c.choices.2")
    assert reason == (
        "on (read as true) repeats the choice yes (read as true). "
        "YAML reads yes and on as true, no and off as false: put them in quotes"
    )


def test_choices_that_are_equal_in_python_are_refused() -> None:
    for pair in ("1, 1.0", "true, 1", "0.0, false", "0, -0.0"):
        _, key, reason = only_error(f"c: {{type: categorical, choices: [{pair}]}}")
        assert key == "c.choices.1"
        assert "repeats the choice" in reason


def test_aliases_that_explode_are_refused_before_anything_is_built() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    _, key, reason = only_error("\n".join(lines))
    assert "more than 100000 values, counting what aliases stand for" in reason
    assert key.startswith("a4.")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_without_end_is_refused(opening: str) -> None:
    assert "the nesting is deeper than 40 levels" in only_error(opening * 5_000)[2]


def test_aliases_do_not_make_nesting_any_deeper() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 60)]
    assert any("deeper than 40 levels" in reason for _, _, reason in errors_of("\n".join(lines)))


def test_a_file_over_a_mebibyte_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    head = "n: {type: int, low: 1, high: 3}\n"
    file.write_text(head + "#" * (2**20 - len(head)))
    assert read_config(file).parameters
    file.write_text(head + "#" * (2**20 - len(head) + 1))
    with pytest.raises(ConfigInvalid, match="over 1 MiB"):
        read_config(file)


def test_a_pipe_or_folder_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("pipe.yaml", "folder.yaml"):
        with pytest.raises(ConfigInvalid, match="not a file: move it away"):
            read_config(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_config(tmp_path / "none.yaml")


def test_a_text_with_half_a_surrogate_pair_is_refused() -> None:
    assert "surrogate" in only_error("n: \ud800")[2]
    escaped = 'c: {type: categorical, choices: ["\\ud800"]}'
    assert "invalid Unicode" in only_error(escaped)[2]


def test_reading_works_without_the_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_yaml, "LOADER", yaml.SafeLoader)
    broken = [("x:\n\ttype: int", 2), ("x: {type: int\ny: 3", 2), ("a: 1\nx: \x07", 2)]
    for text, line in broken:
        assert only_error(text)[0] == line
    escaped = 'c: {type: categorical, choices: ["\\ud800"]}'
    assert "surrogate" in only_error(escaped)[2]
    assert space("x: &r {type: float, low: -10, high: 1e1}\ny: *r") == {"x": X, "y": X}
