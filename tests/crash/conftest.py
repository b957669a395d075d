"""The home of a server."""

from pathlib import Path

import pytest

from tests.crash.support import make_home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one configuration."""
    return make_home(tmp_path / "home")
