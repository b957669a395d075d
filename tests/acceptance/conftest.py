"""What acceptance tests share: a home folder, a checkout, an SSH gateway."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.gateway import Gateway, running_gateway
from tests.support import ROOT


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An OPTUNAPI_HOME with the repository's studies."""
    shutil.copytree(ROOT / "config", tmp_path / "home" / "config")
    return tmp_path / "home"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A real sshd on loopback, and the keys to log in."""
    with running_gateway(tmp_path) as running:
        yield running


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that a wheel is built from and a checkout serves; a test may change it."""
    copy = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("optunapi", "config"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    return copy
