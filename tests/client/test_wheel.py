"""The built wheel, installed with requests, click and rich and none of its other dependencies."""

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.client.outage import tell_over_an_outage
from tests.client.test_unchanged_objectives import assert_same_studies
from tests.support import ROOT, SOAK, clean_environment, running_server

NEEDED = ("requests", "click", "rich")
OTHER_PYTHONS = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "optunapi", tree / "optunapi", ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tree)
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    pip = [sys.executable, "-m", "pip", "wheel"]
    subprocess.run([*pip, *options, "-w", str(folder), str(tree)], check=True)
    (built,) = folder.glob("*.whl")
    return built


def with_dependencies(*names: str) -> set[str]:
    """Return these distributions and their dependencies."""
    found, open_names = set[str](), list(names)
    while open_names:
        name = open_names.pop()
        found.add(name)
        required = map(Requirement, distribution(name).requires or ())
        here = {each.name for each in required if each.marker is None or each.marker.evaluate()}
        open_names += here - found
    return found


def install(python: str, folder: Path, wheel: Path) -> Path:
    """Make an environment with only what a trainer needs; return its Python."""
    environment = folder / "trainer"
    subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python3.*/site-packages")
    # No download: the dependencies are installed here.
    ours = Path(sysconfig.get_path("purelib"))
    for name in with_dependencies(*NEEDED):
        for top in {file.parts[0] for file in distribution(name).files or ()} - {
            "..",
            "__pycache__",
        }:
            (packages / top).symlink_to(ours / top)
    pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", packages, wheel], check=True)
    return environment / "bin" / "python"


def other_python(version: str) -> str | None:
    """Return an interpreter of this version, on the path or one of pyenv's."""
    candidates = [shutil.which(f"python{version}")]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]
    for found in candidates:
        # A shim of pyenv may exist for a version that is not active.
        if (
            found
            and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return found
    return None


def train(python: Path, tmp_path: Path) -> None:
    """Run the unchanged objectives with that Python and compare with a local run; then check that a result
    arrives after an outage.
    """
    work, home = tmp_path / "work", tmp_path / "home"
    (home / "config").mkdir(parents=True)
    (work / "tests" / "client").mkdir(parents=True)
    for file in (
        "__init__.py",
        "client/__init__.py",
        "client/objectives.py",
        "client/unchanged.py",
    ):
        shutil.copy(ROOT / "tests" / file, work / "tests" / file)
    # Failed trials cause warnings, and one of the objectives has some.
    warnings = ("-W", "error", "-W", "ignore::RuntimeWarning")
    with running_server(home) as server:
        trainer = subprocess.run(
            [str(python), *warnings, "-m", "tests.client.unchanged", server.url, "--alone"],
            cwd=work,
            env=clean_environment(OPTUNAPI_SPOOL=str(tmp_path / "spool"), PYTHONPATH=""),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert trainer.stdout == "done\n", trainer.stderr
    assert_same_studies(home)
    tell_over_an_outage(str(python), home, tmp_path / "spool", work)


def test_the_wheel_alone_trains_as_optuna_would(wheel: Path, tmp_path: Path) -> None:
    train(install(sys.executable, tmp_path, wheel), tmp_path)


def test_the_wheel_alone_has_the_tunnel_command_which_names_the_missing_package(
    wheel: Path, tmp_path: Path
) -> None:
    python = install(sys.executable, tmp_path, wheel)

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        code = "import sys; sys.argv[0] = 'optunapi'; from optunapi.cli import main; main()"
        return subprocess.run(
            [python, "-W", "error", "-c", code, "tunnel", *words],
            cwd=tmp_path,
            env=clean_environment(PYTHONPATH=""),
            capture_output=True,
            text=True,
            check=False,
        )

    assert "--known-hosts" in run("--help").stdout
    refused = run("user@gateway", "private-host:8000")
    assert refused.returncode == 1
    assert "pip install paramiko" in refused.stderr


if SOAK:  # each takes a quarter of a minute

    @pytest.mark.parametrize("version", OTHER_PYTHONS)
    def test_the_wheel_trains_on_every_installed_python(
        wheel: Path, tmp_path: Path, version: str
    ) -> None:
        python = other_python(version)
        if python is None:  # not `missing`: it is not required
            pytest.skip(f"there is no Python {version}")
        train(install(python, tmp_path, wheel), tmp_path)
