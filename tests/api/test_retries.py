"""A trial that repeats a failed one is known as such to us and to Optuna, whichever made it."""

from typing import Any

import optuna
import pytest
from optuna.storages import RetryHeartbeatStaleTrialCallback as Retried
from optuna.trial import TrialState

from tests.api.wire import Wire

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def storage(wire: Wire, name: str) -> str:
    return f"sqlite:///{wire.home / 'db' / name}.db"


def failed_twice(wire: Wire) -> str:
    """A study whose trial 0 completed, 1 failed, 2 repeated it and failed, and 3 waits to repeat it."""
    name = wire.put()
    for number in range(3):
        wire.ask(name)
        wire.tell(name, number, **({"state": "fail"} if number else {"value": 1}))
        if number:
            wire.ok("POST", f"/studies/{name}/trials/{number}/retry")
    return name


def seen_by_optuna(wire: Wire, name: str) -> list[Any]:
    trials = optuna.load_study(study_name=name, storage=storage(wire, name)).get_trials()
    return [(Retried.retried_trial_number(t), Retried.retry_history(t)) for t in trials]


def test_optuna_knows_which_trials_a_retry_repeats(wire: Wire) -> None:
    name = failed_twice(wire)
    assert wire.trial(name, 3)["retry_of"] == 2
    assert seen_by_optuna(wire, name) == [(None, []), (None, []), (1, [1]), (1, [1, 2])]


def test_a_trial_that_optuna_retried_is_shown_as_one(wire: Wire) -> None:
    name = wire.new_name()
    study = optuna.create_study(study_name=name, storage=storage(wire, name))
    for _ in range(2):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        Retried()(study, study.tell(trial, state=TrialState.FAIL))
    assert [wire.trial(name, number)["retry_of"] for number in range(3)] == [None, 0, 1]
    assert wire.ask(name)["params"].keys() == {"x"}
    wire.tell(name, 2, state="fail")
    assert wire.ok("POST", f"/studies/{name}/trials/2/retry")["retry_of"] == 2
    assert seen_by_optuna(wire, name)[-1] == (0, [0, 1, 2])


def test_a_fork_and_an_import_name_the_retried_trials_by_their_new_numbers(wire: Wire) -> None:
    name, fork, copy = failed_twice(wire), wire.new_name(), wire.put()
    wire.ask(name)
    wire.tell(name, 3, value=2)
    wire.ok("POST", f"/studies/{name}/fork", json={"name": fork})
    assert seen_by_optuna(wire, fork)[3] == (1, [1, 2])
    lines = wire.request("GET", f"/studies/{name}/export").text.splitlines()
    body, kind = "\n".join(lines[2:]), {"Content-Type": "application/x-ndjson"}
    wire.ok("POST", f"/studies/{copy}/import", content=body, headers=kind)
    assert seen_by_optuna(wire, copy) == [(None, []), (0, [0])]
    assert [wire.trial(copy, number)["retry_of"] for number in range(2)] == [None, 0]


@pytest.mark.parametrize("history", [None, 7, "x", {}, [], [None], ["1"], [-1], [2**80], [True]])
def test_a_history_of_retries_that_is_none_breaks_nothing(wire: Wire, history: Any) -> None:
    name = wire.new_name()
    study = optuna.create_study(study_name=name, storage=storage(wire, name))
    trial = optuna.create_trial(value=1, system_attrs={"retry_history": history})
    study.add_trial(trial)
    assert wire.trial(name, 0)["retry_of"] is None
    wire.ok("POST", f"/studies/{name}/fork", json={"name": wire.new_name()})
    line = wire.request("GET", f"/studies/{name}/export").text
    kind = {"Content-Type": "application/x-ndjson"}
    wire.ok("POST", f"/studies/{wire.put()}/import", content=line, headers=kind)
