"""A server for the suites that need one."""

from collections.abc import Iterator

import pytest

from tests.api.wire import Wire, wire_of


@pytest.fixture(scope="session")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """The server that the suites share."""
    with wire_of(tmp_path_factory.mktemp("wire")) as wire:
        yield wire
