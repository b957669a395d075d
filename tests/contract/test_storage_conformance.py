"""Optuna's complete test suite for storages, on an empty database for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("optuna.testing.pytest_storages")

from optuna.testing.pytest_storages import StorageTestCase  # noqa: E402

from optunapi.storage import WriteThroughStorage, open_storage  # noqa: E402


class TestWriteThroughStorage(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[WriteThroughStorage]:
        storage = open_storage(f"sqlite:///{tmp_path}/study.db")
        yield storage
        storage.close()
