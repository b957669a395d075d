"""A list shows a study that is not open as it shows one that is, and leaves its file as it is."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import Phase, given, settings

from tests.api.any_life import Call, Life, lives
from tests.api.wire import Wire, wire_of
from tests.support import scaled, write_config

CONFIG = "direction: minimize\nparameters:\n  x: {type: float, low: 0, high: 1}\n"


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A server that has one study open at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optunapi.engine.open_studies.room_for_studies", lambda: 1)
        with wire_of(tmp_path_factory.mktemp("at-rest")) as wire:
            yield wire


def close_all(wire: Wire) -> None:
    """Open another study, which takes the only place."""
    wire.ask(wire.put())


def listed(wire: Wire, name: str) -> Mapping[str, Any]:
    reply = wire.ok("GET", "/studies?limit=1000")
    (found,) = [each for each in reply["items"] if each["name"] == name]
    return dict(found)


def lasting(view: Mapping[str, Any]) -> dict[str, Any]:
    """What a restart does not change: the time of the last activity is then that of a trial."""
    return {key: value for key, value in view.items() if key != "last_activity_at"}


def is_open(wire: Wire, name: str) -> bool:
    return (wire.home / "db" / f".{name}.db.lock").exists()


def check(wire: Wire, name: str) -> None:
    """The study is listed as its own route shows it, at rest twice, and its file is not touched."""
    shown = wire.study(name)
    close_all(wire)
    assert not is_open(wire, name)
    before = (wire.home / "db" / f"{name}.db").read_bytes()
    for _ in range(2):
        assert lasting(listed(wire, name)) == lasting(shown)
        assert not is_open(wire, name)
    assert (wire.home / "db" / f"{name}.db").read_bytes() == before


@settings(max_examples=scaled(8, 300), deadline=None, phases=(Phase.explicit, Phase.generate))
@given(life=lives(max_size=scaled(20, 40)))
def test_a_study_at_rest_is_listed_as_if_it_were_open(
    wire: Wire, life: tuple[dict[str, Any], list[Call]]
) -> None:
    spec, calls = life
    name = wire.put(spec)
    lived = Life(client=wire.client, study=name)
    for call in calls:
        assert lived.send(call).status_code < 500
    check(wire, name)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "paused"},
        {"state": "finished"},
        {"limits": {"max_trials": 1}},
        {"limits": {"max_duration": 1e-9}},
        {"description": "changed", "user_attrs": {"a": [1, None]}},
    ],
)
def test_what_was_changed_by_hand_is_listed_at_rest(wire: Wire, change: Mapping[str, Any]) -> None:
    name = wire.put()
    trial = wire.ask(name)
    wire.tell(name, trial["number"], value=0.5)
    wire.ok("PATCH", f"/studies/{name}", json=change)
    check(wire, name)


def test_a_changed_file_and_a_changed_database_are_seen_at_rest(wire: Wire) -> None:
    name = wire.configure(CONFIG)
    wire.ask(name)
    check(wire, name)
    write_config(wire.home / "config" / f"{name}.yaml", f"{CONFIG}max_trials: 7\n")
    assert listed(wire, name)["limits"]["max_trials"] == 7
    close_all(wire)
    url = f"sqlite:///{wire.home}/db/{name}.db"
    optuna.load_study(study_name=name, storage=url).enqueue_trial({"x": 0.5})
    assert listed(wire, name)["trials"]["waiting"] == 1
    assert not is_open(wire, name)


def test_a_study_of_optuna_is_opened_once_and_then_listed_at_rest(wire: Wire) -> None:
    name = wire.new_name()
    storage = f"sqlite:///{wire.home}/db/{name}.db"
    made = optuna.create_study(study_name=name, storage=storage, directions=["minimize"] * 2)
    made.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=3)
    check(wire, name)


def test_a_list_of_many_studies_opens_none(tmp_path: Path) -> None:
    with wire_of(tmp_path) as wire:
        names = sorted(wire.put() for _ in range(30))
        for name in names:
            wire.tell(name, wire.ask(name)["number"], value=1)
        expected = [lasting(each) for each in wire.ok("GET", "/studies?limit=100")["items"]]
    with wire_of(tmp_path) as wire:
        items = wire.ok("GET", "/studies?limit=100")["items"]
        assert [lasting(each) for each in items] == expected
        assert not any(is_open(wire, name) for name in names)
