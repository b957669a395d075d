"""The tree is the architecture: what the package says of itself, and what its files may be called."""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "optunapi"
MAP_ENTRY = re.compile(r"^ {4}(\w+(?:\.py|/)) {2,}\S", re.M)
# Where a home, a work tree or a temporary folder of one machine would show.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|home|work|Users|mnt|tmp)/\w")
NOT_OURS = {".git", ".venv", "__pycache__", "build", "dist", "db"}
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".sh", ".svg", ".html", ".css", ".js", ""}


def children(folder: Path) -> set[str]:
    """The modules and folders in a folder, as a map writes them."""
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    folders = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    return modules | folders


def differences(folder: Path) -> set[str]:
    """What the map of a folder lacks, or has that the folder does not, or has twice."""
    text = (folder / "__init__.py").read_text(encoding="utf-8")
    mapped = Counter(MAP_ENTRY.findall(ast.get_docstring(ast.parse(text), clean=False) or ""))
    twice = {entry for entry, count in mapped.items() if count > 1}
    return (set(mapped) ^ children(folder)) | twice


def folders() -> list[Path]:
    """Every folder of the package that has something to map."""
    found = (path.parent for path in sorted(PACKAGE.rglob("__init__.py")))
    return [folder for folder in found if children(folder)]


@pytest.mark.parametrize("folder", folders(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folders_map_and_its_files_agree(folder: Path) -> None:
    assert not differences(folder)


def test_a_map_that_is_wrong_is_found(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text(
        '"""Parts.\n\n    one.py    first\n    gone.py   was\n"""'
    )
    (tmp_path / "one.py").touch()
    (tmp_path / "two.py").touch()
    assert differences(tmp_path) == {"gone.py", "two.py"}


def test_no_child_of_the_package_hides_a_module_when_its_folder_is_on_the_path() -> None:
    names = {child.removesuffix("/").removesuffix(".py") for child in children(PACKAGE)}
    others = {name for name, owners in packages_distributions().items() if owners != ["optunapi"]}
    assert not names & (sys.stdlib_module_names | others)


def text_files(folder: Path) -> Iterator[Path]:
    """The text files of the repository, hidden ones too, without what is made by tools."""
    for path in sorted(folder.iterdir()):
        if path.name in NOT_OURS:  # .git is a file in a linked work tree
            continue
        if path.is_dir():
            if not path.name.endswith((".egg-info", "_cache")) and path.name != ".hypothesis":
                yield from text_files(path)
        elif path.suffix in TEXT:
            yield path


def test_nothing_in_the_tree_names_a_path_of_one_machine() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files(ROOT)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    }
    assert not found


def test_the_search_for_machine_paths_finds_one() -> None:
    assert MACHINE_PATH.search("see /ro" + "ot/notes")
    assert MACHINE_PATH.search("sqlite:////ho" + "me/x.db")
    assert MACHINE_PATH.search("https://host.example/home/page") is None
