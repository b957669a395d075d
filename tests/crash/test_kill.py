"""The server is killed at any moment: what it had acknowledged is there afterwards, once."""

import random
import signal
import threading
from pathlib import Path

import pytest

from tests.crash.support import (
    Trainers,
    assert_answers_again,
    assert_kept,
    assert_kept_at_death,
    assert_memory_equals_database,
    client,
    database,
    kill,
    wait_until_begun,
)
from tests.support import free_port, running_server, scaled


@pytest.mark.parametrize("seed", [20261121])
def test_what_was_acknowledged_outlives_kill_9_at_random_moments(
    home: Path, tmp_path: Path, seed: int
) -> None:
    chance, path, port = random.Random(seed), database(home), free_port()
    with Trainers(port) as trainers:
        trainers.down()
        for life in range(scaled(5, 40)):
            with running_server(home, port=port) as server:
                with client(server) as connection:
                    assert_answers_again(connection, trainers.ledger(), latest=32)
                trainers.up()
                trainers.wait_for_acknowledged(chance.randint(1, 600))
                # The moment within a commit is random as well.
                threading.Event().wait(chance.uniform(0, 0.05))
                kill(server)
                trainers.down()
                assert "Traceback" not in server.log.read_text()
            assert_kept_at_death(path, trainers.ledger(), tmp_path / f"life-{life}")
        with running_server(home, port=port) as server:
            trainers.up()
            trainers.wait_for_each()
            trainers.finish()
            ledger = trainers.ledger()
            trials = assert_kept(path, ledger)
            assert ledger.interrupted, "no request was cut off"
            assert len(trials) == len(ledger.asked) == len(ledger.keys)
            with client(server) as connection:
                for asked in ledger.asked:
                    if asked.key in ledger.interrupted:
                        assert connection.ask(asked.key).body["trial_id"] == asked.number
            assert_memory_equals_database(server, path)
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("seed", [None, *range(scaled(2, 40))])
def test_a_study_whose_creation_is_killed_is_created_by_the_next_server(
    home: Path, seed: int | None
) -> None:
    path, port = database(home), free_port()
    with Trainers(port) as trainers:
        trainers.down()
        with running_server(home, port=port) as server:
            trainers.up()
            if seed is None:
                wait_until_begun(path)
            else:
                threading.Event().wait(random.Random(seed).uniform(0, 0.8))
            kill(server)
            trainers.down()
        with running_server(home, port=port):
            trainers.up()
            trainers.wait_for_each()
            trainers.finish()
            ledger = trainers.ledger()
            assert len(assert_kept(path, ledger)) == len(ledger.asked) == len(ledger.keys)


def test_a_stopped_server_answers_what_it_accepted_and_leaves_one_file(home: Path) -> None:
    path = database(home)
    with running_server(home) as server, Trainers(server.port) as trainers:
        trainers.wait_for_acknowledged(300)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)
        trainers.halt()
        trainers.check()
        assert not trainers.refusals
        assert "Traceback" not in server.log.read_text()
        assert [entry.name for entry in path.parent.glob("*.db*")] == [path.name]
        ledger = trainers.ledger()
        assert len(assert_kept(path, ledger)) == len(ledger.asked)
