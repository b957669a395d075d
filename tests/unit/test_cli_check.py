"""`optunapi check`: every error of every file, and what the good ones define."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from optunapi.cli import main
from tests.support import ROOT

BAD = """\
x:
  type: float
  low: 1
  high: 0
y:
  type: flaot
"""


def check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    return path


def test_every_error_of_a_file_is_printed_with_file_line_and_key(bad: Path) -> None:
    result = check("check", bad)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{bad}:3: x.low: ")
    assert lines[1].startswith(f"{bad}:6: y.type: ")
    assert "flaot" in lines[1]


@pytest.mark.parametrize("config", sorted(ROOT.glob("config/*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_configs_are_good(config: Path) -> None:
    result = check("check", config)
    assert result.exit_code == 0, result.output


def test_a_good_file_gets_a_line_that_says_what_it_defines() -> None:
    digits = ROOT / "config" / "digits.yaml"
    assert check("check", digits).stdout == (
        f"{digits}: maximize accuracy over loss, penalty, l1_ratio (if penalty), alpha, "
        "learning_rate, eta0 (if learning_rate), average; sampler tpe, pruner none\n"
    )


def test_one_bad_file_among_good_ones_fails_the_check_and_all_are_read(bad: Path) -> None:
    digits = ROOT / "config" / "digits.yaml"
    result = check("check", bad, digits)
    assert result.exit_code == 1
    assert f"{bad}:3" in result.stdout
    assert f"{digits}: maximize" in result.stdout


def test_a_file_that_cannot_be_read_is_an_error_of_that_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    result = check("check", missing)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{missing}: ")
    assert "No such file" in result.stdout


@pytest.mark.parametrize("arguments", [["--json", "check"], ["check", "--json"]])
def test_json_before_or_after_the_command_gives_one_document(
    arguments: list[str], bad: Path
) -> None:
    digits = ROOT / "config" / "digits.yaml"
    result = check(*arguments, bad, digits)
    assert result.exit_code == 1
    wrong, good = json.loads(result.stdout)["files"]
    assert wrong["path"] == str(bad)
    assert wrong["spec"] is None
    assert [error["line"] for error in wrong["errors"]] == [3, 6]
    assert good["path"] == str(digits)
    assert good["errors"] == []
    assert list(good["spec"]["parameters"])[:2] == ["loss", "penalty"]


def test_without_a_file_every_file_of_the_config_folder_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: Path
) -> None:
    monkeypatch.setenv("OPTUNAPI_HOME", str(tmp_path))
    config = tmp_path / "config"
    config.mkdir()
    bad.rename(config / "bad.yaml")
    for name in ("good.yaml", "good.yml", "my study.yaml", "UPPER.YAML", "notes.txt", ".hidden"):
        (config / name).write_text("x: {type: float, low: 0, high: 1}\n")
    (config / "link.yaml").symlink_to(config / "absent.yaml")
    (config / "folder.yaml").mkdir()
    (config / "folder").mkdir()
    result = check("check")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.partition(": ")[0].rpartition("/")[2] for line in lines] == [
        *("UPPER.YAML", "bad.yaml:3", "bad.yaml:6", "folder.yaml", "good.yaml", "good.yml"),
        *("link.yaml", "my study.yaml", "notes.txt"),
    ]
    assert lines[4].startswith(f"{config}/good.yaml: minimize score over x")
    assert check("check", config).stdout == result.stdout
    files = json.loads(check("check", "--json").stdout)["files"]
    assert [bool(file["errors"]) for file in files] == [True] * 3 + [False] + [True] * 4


def test_a_config_folder_that_is_empty_or_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTUNAPI_HOME", str(tmp_path))
    missing = check("check")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert f"{tmp_path}/config cannot be read" in missing.stderr
    (tmp_path / "config").mkdir()
    empty = check("check")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "contains no configuration" in empty.stderr
