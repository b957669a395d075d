"""A study's file has one owner; a second server refuses, and takes over when the owner is dead."""

from pathlib import Path

import pytest

from tests.crash.support import (
    STUDY,
    Trainers,
    assert_answers_again,
    assert_kept,
    assert_memory_equals_database,
    assert_refused_properly,
    client,
    database,
    kill,
)
from tests.support import running_server, until


def test_a_second_server_at_one_home_does_not_start_until_the_first_is_killed(home: Path) -> None:
    path = database(home)
    with running_server(home) as first, Trainers(first.port) as trainers:
        trainers.wait_for_acknowledged(50)
        with (
            pytest.raises(RuntimeError, match=f"in use by process {first.process.pid} on ") as stop,
            running_server(home),
        ):
            pass
        assert "Traceback" not in str(stop.value)
        trainers.wait_for_each()
        kill(first)
        trainers.halt()
        trainers.check()
        assert not trainers.refusals
    with running_server(home) as second:
        with client(second) as connection:
            assert_answers_again(connection, trainers.ledger(), latest=200)
        assert_kept(path, trainers.ledger())
        assert_memory_equals_database(second, path)


def test_a_server_refuses_a_file_in_use_and_serves_it_when_its_owner_is_killed(home: Path) -> None:
    path = database(home)
    path.parent.mkdir()
    alone = {"OPTUNAPI_STORAGE": f"sqlite:///{path}"}
    with (
        running_server(home, environment=alone) as owner,
        running_server(home) as other,
        Trainers(owner.port) as trainers,
        client(other) as connection,
    ):
        trainers.wait_for_acknowledged(50)
        for _ in range(10):
            assert_refused_properly(connection.ask("a-key"), home)
            assert_refused_properly(connection.tell(0, 1.0), home)
        trainers.wait_for_each()
        kill(owner)
        trainers.halt()
        assert not trainers.refusals
        # A study that could not be opened is not tried again for a moment.
        until(lambda: connection.get(f"/optunapi/v1/studies/{STUDY}").status == 200)
        assert_answers_again(connection, trainers.ledger(), latest=200)
        assert_kept(path, trainers.ledger())
        assert_memory_equals_database(other, path)
