"""The pages name everything that a user can set: settings, samplers, pruners, profiles, variables."""

import re
from collections.abc import Iterator

import click
import pytest

from optunapi.cli import main
from optunapi.client.profiles import KEYS
from optunapi.engine.documents.components import Component
from optunapi.engine.pruners.registry import PRUNERS
from optunapi.engine.samplers.registry import SAMPLERS
from optunapi.engine.spec.read import SETTINGS
from optunapi.settings import Settings
from tests.support import ROOT

DOCS = ROOT / "docs"
NAME = re.compile(r"`([\w-]+)`")
# `name` default, or **`name`** without one
ARGUMENT = re.compile(r"(\*\*)?`(\w+)`(?:\*\*)?(?: ([^,*(]+))?")


def rows(page: str) -> Iterator[list[str]]:
    """The rows of a page's tables, as the text of their cells."""
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def first_cells(page: str) -> set[str]:
    """The names in the first column of a page's tables."""
    return {name for cells in rows(page) for name in NAME.findall(cells[0])}


def arguments_of(pruner: str) -> dict[str, str | None]:
    """A pruner's arguments on its page, with their defaults; None for one that has to be given."""
    (text,) = [cells[1] for cells in rows("pruners.md") if f"`{pruner}`" in cells[0]][1:] or [""]
    found = {
        name: None if required else (default or "").strip()
        for required, name, default in ARGUMENT.findall(text)
    }
    if found.pop("median", None) is not None:  # "and those of `median`"
        found |= arguments_of("median")
    return found


def shown(default: object) -> str:
    """A default, as the page writes it."""
    return "" if default is None else f"{default:g}" if isinstance(default, float) else str(default)


def test_the_page_of_search_spaces_names_every_setting_of_a_studys_file() -> None:
    assert set(SETTINGS) <= first_cells("configuration.md")


def test_the_page_of_samplers_names_every_sampler() -> None:
    assert set(SAMPLERS) <= first_cells("samplers.md")


@pytest.mark.parametrize("name", PRUNERS)
def test_the_page_of_pruners_names_every_pruner_and_argument_with_its_default(name: str) -> None:
    kind = PRUNERS[name]
    expected: dict[str, str | None] = {}
    for argument, type_ in kind.arguments.items():
        parameter = kind.parameters.get(argument)
        if isinstance(type_, Component):
            expected[argument] = "none"
        else:
            assert parameter is not None
            expected[argument] = None if kind.needs(argument) else shown(parameter.default)
    assert name in first_cells("pruners.md")
    assert arguments_of(name) == expected


def test_the_page_of_the_client_names_every_key_of_a_profile() -> None:
    assert first_cells("client.md") >= KEYS


def test_the_page_of_operating_names_every_variable_of_the_server() -> None:
    variables = {f"OPTUNAPI_{name.upper()}" for name in Settings.model_fields}
    assert variables <= first_cells("operating.md")


def commands(group: click.Group, prefix: str = "optunapi") -> Iterator[str]:
    """Every command, as it is typed."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}"


@pytest.mark.parametrize("command", sorted(commands(main)))
def test_a_page_names_every_command(command: str) -> None:
    pages = [ROOT / "README.md", *DOCS.glob("*.md")]
    assert any(command in page.read_text(encoding="utf-8") for page in pages)


def test_a_page_that_names_the_package_of_the_index_says_that_it_is_empty() -> None:
    for page in [ROOT / "README.md", *DOCS.glob("*.md"), *(ROOT / "examples").glob("*.*")]:
        text = page.read_text(encoding="utf-8")
        named = re.search(r"pip3? install (?:[^`\n]* )?['\"]?optunapi\b", text)
        assert not named or "empty 0.1.4" in text, page.name
