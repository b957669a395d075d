"""In any order of deletions and restarts, nothing lands on a trial that its sender was not given."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import optuna
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.api.wire import SPACE, Wire, wire_of
from tests.support import scaled

picks = st.integers(0, 1000)
proofs = st.sampled_from(["lease", "study_uid", "both"])
VERBS: dict[str, dict[str, Any]] = {
    "tell": {"state": "complete"},
    "fail": {"state": "fail"},
    "pruned": {"state": "pruned"},
    "report": {"step": 1},
    "renew": {},
    "release": {},
    "suggest": {"name": "z", "distribution": {"type": "float", "low": 0, "high": 1}},
}


class WrongPlace(RuleBasedStateMachine):
    """Workers with old and foreign leases and uids. Each sends marks that say which trial it was given."""

    home: ClassVar[Path]
    wire: ClassVar[Wire]
    server: ClassVar[ExitStack]
    names: ClassVar["count[int]"] = count()

    def __init__(self) -> None:
        super().__init__()
        self.name = f"w{next(self.names)}"
        self.given: list[dict[str, Any]] = []  # as handed out, of all studies of this name
        self.acknowledged: dict[tuple[str, int], float] = {}
        self.make()

    def make(self) -> None:
        self.wire.request("PUT", f"/studies/{self.name}", json=SPACE).raise_for_status()

    def send(self, method: str, number: int, route: str = "", **options: Any) -> Any:
        return self.wire.request(method, f"/studies/{self.name}/trials/{number}{route}", **options)

    def picked(self, pick: int) -> dict[str, Any]:
        return self.given[pick % len(self.given)]

    @rule(worker=st.sampled_from(["v", "w"]), resume=st.booleans())
    def ask(self, worker: str, resume: bool) -> None:
        trial = self.wire.ask(self.name, worker=worker, resume=resume, lease_seconds=3600)
        if "x" in trial["params"]:  # a study that Optuna made has no parameters configured
            self.given.append(trial)

    @precondition(lambda self: self.given)
    @rule(pick=picks, verb=st.sampled_from(sorted(VERBS)), proof=proofs)
    def work(self, pick: int, verb: str, proof: str) -> None:
        trial = self.picked(pick)
        body: dict[str, Any] = dict(VERBS[verb])
        if proof != "study_uid" or verb == "renew":
            body["lease"] = trial["lease"]["id"]
        if proof != "lease":
            body["study_uid"] = trial["study_uid"]
        if verb in ("tell", "report"):
            body["value"] = trial["params"]["x"]
        if verb in ("tell", "fail", "pruned"):
            body["user_attrs"] = {"of": trial["params"]["x"]}
        route = "tell" if verb in ("fail", "pruned") else verb
        response = self.send("POST", trial["number"], f"/{route}", json=body)
        # Silence is a loss: every reply says that it was taken, or why not.
        assert response.status_code in (200, 404, 409), response.text
        is_here = trial["study_uid"] == self.wire.study(self.name)["uid"]
        if not is_here:
            assert response.json()["code"] in (
                *("lease-lost", "study-replaced", "trial-not-found"),
                *("trial-finished", "trial-waiting"),
            )
        elif verb == "tell" and response.status_code == 200:
            assert response.json()["values"] == [trial["params"]["x"]]
            key = trial["study_uid"], response.json()["number"]
            self.acknowledged[key] = trial["params"]["x"]

    @precondition(lambda self: self.given)
    @rule(pick=picks, what=st.sampled_from(["patch", "file", "cancel", "retry", "stop", "batch"]))
    def by_uid(self, pick: int, what: str) -> None:
        trial = self.picked(pick)
        number, uid, x = trial["number"], trial["study_uid"], trial["params"]["x"]
        named = {"study_uid": uid}
        if what == "patch":
            found = self.send("PATCH", number, json={"user_attrs": {"of": x}, **named})
        elif what == "file":
            content = repr(x).encode()
            found = self.send("PUT", number, "/artifacts/of", content=content, params=named)
        elif what == "cancel":
            found = self.send("DELETE", number, params=named)
        elif what == "batch":
            items: dict[str, Any] = {"items": [{"number": number, "value": x, **named}]}
            path = f"/studies/{self.name}/tell"
            (item,) = self.wire.ok("POST", path, json=items)["items"]
            if item["status"] == 200:
                self.acknowledged[uid, item["trial"]["number"]] = x
            return
        else:
            found = self.send("POST", number, f"/{what}", json=named)
        if uid != self.wire.study(self.name)["uid"]:
            assert found.json()["code"] == "study-replaced"

    @rule()
    def delete_and_make(self) -> None:
        self.wire.ok("DELETE", f"/studies/{self.name}?force=true")
        self.make()

    @rule(trials=st.integers(0, 2))
    def optuna_deletes_and_makes(self, trials: int) -> None:
        url = f"sqlite:///{self.home / 'db' / self.name}.db"
        storage = optuna.storages.RDBStorage(url)
        space: dict[str, optuna.distributions.BaseDistribution] = {
            "x": optuna.distributions.FloatDistribution(-10, 10)
        }
        try:
            optuna.delete_study(study_name=self.name, storage=storage)
            study = optuna.create_study(study_name=self.name, storage=storage)
            for _ in range(trials):
                study.ask(space)
            study.enqueue_trial({"x": 0.5})
        finally:
            storage.remove_session()
            storage.engine.dispose()
        # Our server notices at its next commit, at the latest.
        self.wire.ok("PATCH", f"/studies/{self.name}", json={"user_attrs": {"seen": 1}})

    @rule()
    def restart(self) -> None:
        cls = type(self)
        cls.server.close()
        cls.wire = cls.server.enter_context(wire_of(cls.home))

    @invariant()
    def every_mark_is_of_the_trial_where_it_lies(self) -> None:
        uid = self.wire.study(self.name)["uid"]
        for trial in self.wire.ok("GET", f"/studies/{self.name}/trials?limit=1000")["items"]:
            x = trial["params"].get("x")
            marks = [*(trial["values"] or ()), *trial["intermediate_values"].values()]
            assert {*marks, *trial["user_attrs"].values()} - {trial["number"]} <= {x}
            if files := self.wire.ok("GET", self.path(trial))["items"]:
                assert [each["size"] for each in files] == [len(repr(x))]
            told = self.acknowledged.get((uid, trial["number"]))
            assert told is None or trial["values"] == [told]

    def path(self, trial: dict[str, Any]) -> str:
        return f"/studies/{self.name}/trials/{trial['number']}/artifacts"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[type[WrongPlace]]:
    with ExitStack() as server:
        WrongPlace.home, WrongPlace.server = tmp_path, server
        WrongPlace.wire = server.enter_context(wire_of(tmp_path))
        yield WrongPlace


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_nothing_lands_on_a_trial_that_its_sender_was_not_given(
    machine: type[WrongPlace],
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=scaled(6, 400),
            stateful_step_count=25,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],  # shrinking would restart servers for minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
