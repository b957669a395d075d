"""What all commands have in common: imports, help, version and exit codes."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from optunapi.cli import main


def test_the_command_line_starts_without_any_of_the_servers_libraries() -> None:
    code = (
        "import sys, optunapi.cli; "
        "print({'optuna', 'fastapi', 'sqlalchemy', 'yaml', 'pydantic'} & set(sys.modules))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed == "set()\n"


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    result = CliRunner().invoke(main, ["--version"])
    assert result.stdout == f"optunapi {version('optunapi')}\n"


@pytest.mark.parametrize("arguments", [["no-such-command"], ["serve", "--no-such-option"]])
def test_wrong_usage_exits_with_2_and_says_so_on_stderr(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "No such" in result.stderr


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help_that_says_what_it_does(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert main.commands[command].help


def test_python_m_optunapi_is_the_same_command() -> None:
    words = [sys.executable, "-m", "optunapi"]
    version = subprocess.run([*words, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("optunapi ")
    wrong = subprocess.run([*words, "serv"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "Did you mean 'serve'?" in wrong.stderr


def test_a_mistyped_option_is_answered_with_the_near_one() -> None:
    for words, near in (
        (["serve", "--prot", "1"], "--port"),
        (["fork", "a", "b", "--ulr"], "--url"),
    ):
        assert near in CliRunner().invoke(main, words).stderr
