"""What a study's configuration file has wrong is said in full wherever a user sees it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.wire import Wire, wire_of
from tests.support import write_config

GOOD = """\
kind: {type: categorical, choices: [a, b]}
x:
  type: float
  low: 0
  high: 1
"""
LONG = """\
direction: maximize
parameters:
  - name: kind
    type: categorical
    choices: [a, b]
  - {name: x, type: float, low: 0, high: 1}
"""


def edited(wire: Wire, text: str | bytes, good: str = GOOD) -> tuple[str, str]:
    """A study whose valid file was edited into this after its first ask, and its `config_error`."""
    name = wire.configure(good)
    wire.ask(name)
    file = wire.home / "config" / f"{name}.yaml"
    write_config(file, text)
    shown = wire.study(name)["config_error"]
    assert shown is not None
    return name, shown


def test_config_error_names_file_line_key_value_and_what_is_allowed(wire: Wire) -> None:
    name, shown = edited(wire, GOOD.replace("float", "flaot"))
    assert shown == (
        f'{name}.yaml, line 3: x.type: "flaot" is not a type; did you mean "float"? '
        "Allowed: categorical, int, float"
    )


def test_config_error_has_every_error_of_the_file(wire: Wire) -> None:
    name, shown = edited(wire, "x:\n  type: float\n  low: three\n  high: [1]\ny: {type: 1}\n")
    assert shown == (
        f'{name}.yaml, line 3: x.low: "three" is not a number; line 4: x.high: [1] is not a number; '
        "line 5: y.type: 1 is not a type. Allowed: categorical, int, float"
    )


def test_config_error_of_very_many_errors_counts_the_rest(wire: Wire) -> None:
    _, shown = edited(wire, "".join(f"x{i}: {{type: no}}\n" for i in range(30)))
    assert shown.count("is not a type") == 10
    assert shown.endswith("; and 20 more")


@pytest.mark.parametrize(
    ("good", "old", "new", "said"),
    [
        (
            GOOD,
            "float",
            "int",
            'line 3: x.type: "int" does not fit the study\'s trials, which have "float"',
        ),
        (GOOD, "[a, b]", "[a, c]", 'line 1: kind.choices: ["a", "c"] does not fit'),
        (GOOD, "low: 0", "low: 0.1\n  log: true", "line 5: x.log: true does not fit"),
        (LONG, "[a, b]", "[a]", 'line 5: parameters.kind.choices: ["a"] does not fit'),
        (LONG, "type: float", "type: int", 'line 6: parameters.x.type: "int" does not fit'),
        (LONG, "maximize", "minimize", "line 1: direction: "),
        (
            LONG,
            "direction: maximize",
            "objectives: {a: minimize, b: maximize}",
            "line 1: objectives: ",
        ),
        (
            LONG,
            "direction: maximize",
            "",
            'which have [{"name": "score", "direction": "maximize"}]',
        ),
    ],
)
def test_a_file_that_does_not_fit_the_trials_is_told_with_line_key_and_both_values(
    wire: Wire, good: str, old: str, new: str, said: str
) -> None:
    name, shown = edited(wire, good.replace(old, new), good)
    assert shown.startswith(f"{name}.yaml")
    assert said in shown
    assert "`optunapi fork OLD NEW`" in shown
    assert wire.refused("POST", f"/studies/{name}/trials", 409, "spec-conflict")["detail"] == shown
    listed = {each["name"]: each for each in wire.ok("GET", "/studies?limit=1000")["items"]}
    assert listed[name]["config_error"] == shown


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def a_link_to_itself(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def write(content: bytes) -> Callable[[Path], object]:
    return lambda file: write_config(file, content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (a_folder, ": it is a folder, not a file: move it away"),
        (a_pipe, ": it is a pipe, socket or device, not a file"),
        (a_link_to_itself, ": it cannot be read: Too many levels of symbolic links"),
        (write(b"x: {type: float, low: 0, high: 1}\ny: \xff\n"), ", line 2: it is not UTF-8"),
        (write(b"x: [\n"), "it is not YAML"),
        (write(b"\x00"), "it is not YAML"),
        (write(b"\xff\xfex\x00:\x00"), "it is not UTF-8"),
        (write(b""), "there is nothing in it"),
        (write(b"- 1\n"), "line 1: 0: 1 is not a parameter"),
        (write(b"hello\n"), "line 1: "),
        (write(b"x: " + b"y" * 2**20), "over 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_any_more_is_told_with_its_name(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    with wire_of(tmp_path) as wire:
        name = wire.configure(GOOD)
        wire.ask(name)
        damage(wire.home / "config" / f"{name}.yaml")
        shown = wire.study(name)["config_error"]
        assert shown.startswith(f"{name}.yaml")
        assert said in shown
        assert wire.ask(name)["number"] == 1


def test_a_specification_that_differs_is_refused_with_the_key_and_both_values(wire: Wire) -> None:
    wide = {"parameters": {"x": {"type": "float", "low": 0, "high": 1}}, "max_trials": 3}
    name = wire.put(wide)
    other = wide | {"max_trials": 4}
    refusal = wire.refused("PUT", f"/studies/{name}", 409, "spec-conflict", json=other)
    assert "max_trials: 3 became 4" in refusal["detail"]
    wire.ask(name)
    whole = {"parameters": {"x": {"type": "int", "low": 0, "high": 1}}}
    refusal = wire.refused("POST", f"/studies/{name}/spec", 409, "spec-conflict", json=whole)
    assert 'parameters.x.type: "float" became "int"' in refusal["detail"]
