from collections.abc import Iterator
from pathlib import Path

import pytest

from optunapi.storage import WriteThroughStorage
from tests.unit.storage.support import MINIMIZE, opened


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def storage(url: str) -> Iterator[WriteThroughStorage]:
    with opened(url) as storage:
        yield storage


@pytest.fixture
def study_id(storage: WriteThroughStorage) -> int:
    return storage.create_new_study(MINIMIZE, "study")
