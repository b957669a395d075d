"""Any names of any number of objectives, whoever made the study, named it, and looks at it."""

import csv
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from tests.api.wire import Wire, wire_of
from tests.support import scaled, write_config

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

METRIC_NAMES = "study:metric_names"  # where Optuna keeps them, in a system attribute
SOUND = [
    *("loss", "acc", "a,b", "val/loss", 'q"uote', "top 1, %", "ü", "日本", "x" * 255, "=1+1", "0"),
    *("score", "score_0", "score_1", "score_2", "null", "None", "number", "params_x", "'", "a;b"),
]
ODD = ["", " a", "a ", "\n", "a\tb", "x" * 256, "\u200b", None, 1, 0.5, True, ["a"], {"a": "b"}]
NO_LISTS = ["", "loss", 7, 0.5, True, {}, {"0": "loss"}]
SPACE = {"x": {"type": "float", "low": 0, "high": 1}}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with Optuna's schema to copy, for it takes long to make one."""
    path = tmp_path_factory.mktemp("schema") / "empty.db"
    optuna.storages.RDBStorage(f"sqlite:///{path}")
    return path


def default_names(n: int) -> list[str]:
    return ["score"] if n == 1 else [f"score_{i}" for i in range(n)]


class Named:
    """A study, and what its names have to be."""

    def __init__(self, rng: random.Random, wire: Wire, empty: Path, name: str) -> None:
        self.rng, self.wire, self.name = rng, wire, name
        self.n = rng.randint(1, 3)
        self.directions: Any = [rng.choice(["minimize", "maximize"]) for _ in range(self.n)]
        self.path = wire.home / "db" / f"{name}.db"
        shutil.copy(empty, self.path)
        self.maker = rng.choice(["put", "file", "optuna", "optuna, then file"])
        self.configured = default_names(self.n)
        self.stored: Any = None  # in Optuna's attribute
        self.target: dict[int, float] | None = None
        self.has_named_file = False
        if self.maker in ("put", "file"):
            if self.n > 1 or rng.random() < 0.7:
                self.configured = self.sound()
            self.spec = {"parameters": SPACE, **self.objectives()}
            if self.configured != default_names(self.n):
                self.stored = self.configured
            if self.maker == "put":
                wire.ok("PUT", f"/studies/{name}", json=self.spec)
            else:
                self.write_file()
                wire.ask(name)
        else:
            study = optuna.create_study(
                study_name=name, storage=f"sqlite:///{self.path}", directions=self.directions
            )
            if rng.random() < 0.7:
                self.store(study, self.any_names())

    def objectives(self) -> dict[str, Any]:
        if self.n == 1 and self.configured == ["score"]:
            return {"direction": self.directions[0]}
        return {"objectives": dict(zip(self.configured, self.directions, strict=True))}

    def write_file(self) -> None:
        text = yaml.safe_dump(self.spec, sort_keys=False, allow_unicode=True)
        write_config(self.wire.home / "config" / f"{self.name}.yaml", text)

    def sound(self) -> list[str]:
        return self.rng.sample(SOUND, self.n)

    def any_names(self) -> Any:
        rng = self.rng
        if rng.random() < 0.5:
            return self.sound()
        names: list[Any] = [
            rng.choice(SOUND + ODD) for _ in range(rng.choice([self.n, self.n, 0, 2, 4]))
        ]
        if names and rng.random() < 0.3:
            names.append(names[0])
        return rng.choice([names, names, names, rng.choice(NO_LISTS)])

    # What happens to it

    def store(self, study: optuna.Study, names: Any) -> None:
        if isinstance(names, list) and len(names) == self.n:
            study.set_metric_names(names)
        else:
            study._storage.set_study_system_attr(study._study_id, METRIC_NAMES, names)
        self.stored = names

    def optuna_names_it(self) -> None:
        self.store(self.of_optuna(), self.any_names())
        self.change(user_attrs={"seen": self.rng.random()})

    def it_is_named_by_hand(self) -> None:
        self.stored = self.sound()
        self.change(metric_names=self.stored)

    def its_target_is_set(self) -> None:
        self.target = {self.rng.randrange(self.n): self.rng.choice([-1e9, 0.0, 1e9])}
        self.change(limits={"target": self.target_by(self.shown())})

    def target_by(self, names: Sequence[str]) -> dict[str, float] | None:
        if self.target is None:
            return None
        return {names[place]: value for place, value in self.target.items()}

    def its_configuration_comes_again(self) -> None:
        """The same specification is the same, in the names it was made with and in those shown."""
        if self.maker == "put":
            self.wire.ok("PUT", f"/studies/{self.name}", json=self.spec)
        spec = self.wire.ok("GET", f"/studies/{self.name}/spec")["spec"]
        if "optuna" not in self.maker:
            self.wire.ok("PUT", f"/studies/{self.name}", json=spec)

    def it_gets_a_file(self) -> None:
        """A study that Optuna made gets one that names its objectives as they are, or not at all."""
        if self.maker != "optuna, then file" or self.has_named_file:
            return
        self.has_named_file = True
        if self.stored is None or not self.is_sound():
            self.configured = self.sound()
            if self.stored is None and self.configured != default_names(self.n):
                self.stored = self.configured
        elif self.n > 1 or self.rng.random() < 0.5:
            self.configured = self.shown()
        self.spec = {"parameters": SPACE, **self.objectives()}
        self.write_file()
        self.wire.ok("GET", f"/studies/{self.name}")

    def it_runs(self) -> None:
        response = self.wire.request("POST", f"/studies/{self.name}/trials", json={})
        if response.status_code == 409:
            assert response.json()["code"] == "study-finished", response.text
            return
        number = response.json()["number"]
        values = [self.rng.choice([-2.0, 0.0, 2.0]) for _ in range(self.n)]
        assert self.wire.tell(self.name, number, values=values)["values"] == values

    def change(self, **body: Any) -> None:
        self.wire.ok("PATCH", f"/studies/{self.name}", json=body)

    # Who looks at it

    def of_optuna(self) -> optuna.Study:
        return optuna.load_study(study_name=self.name, storage=f"sqlite:///{self.path}")

    def is_sound(self) -> bool:
        names = self.stored
        return (
            isinstance(names, list)
            and len(names) == self.n
            and all(isinstance(name, str) and name in SOUND for name in names)
            and len(set(names)) == self.n
        )

    def shown(self) -> list[str]:
        return list(self.stored) if self.is_sound() else self.configured

    def check(self) -> None:
        names, wire, path = self.shown(), self.wire, f"/studies/{self.name}"
        expected = [
            {"name": name, "direction": direction}
            for name, direction in zip(names, self.directions, strict=True)
        ]
        study = wire.study(self.name)
        assert study["objectives"] == expected, study
        assert study["config_error"] is None
        assert study["metric_names"] == (names if self.is_sound() else None)
        is_unused = self.stored is not None and not self.is_sound()
        assert bool(study["metric_names_error"]) == is_unused
        assert study["limits"]["target"] == self.target_by(names)
        assert wire.ok("GET", f"{path}/spec")["spec"]["objectives"] == expected
        assert self.of_optuna().metric_names == self.stored
        table = wire.request("GET", f"{path}/export", params={"format": "csv"}).text
        header = next(csv.reader(table.splitlines()))
        assert header[2 : 2 + self.n] == [f"values_{name}" for name in names]
        for name in names:
            wire.ok("GET", f"{path}/importances", params={"objective": name})
        for name in {*SOUND[:3], *default_names(self.n)} - set(names):
            unknown = {"objective": name}
            wire.refused("GET", f"{path}/importances", 422, "request-invalid", params=unknown)


ACTIONS = (
    *(Named.optuna_names_it, Named.it_is_named_by_hand, Named.its_target_is_set, Named.it_runs),
    *(Named.its_configuration_comes_again, Named.it_gets_a_file),
)


@pytest.mark.parametrize("seed", range(scaled(1, 60)))
def test_any_names_are_seen_alike_by_everybody(seed: int, tmp_path: Path, empty: Path) -> None:
    rng, studies = random.Random(seed), list[Named]()
    for _ in range(3):  # a server, stopped and started twice
        with wire_of(tmp_path) as wire:
            for each in studies:
                each.wire = wire
                each.check()
            for _ in range(scaled(2, 3)):
                studies.append(Named(rng, wire, empty, f"s{len(studies)}"))
                studies[-1].check()
            for each in studies:
                acts: Sequence[Any] = rng.choices(ACTIONS, k=3)
                for act in acts:
                    act(each)
                    each.check()
            listed = {
                study["name"]: study for study in wire.ok("GET", "/studies?limit=100")["items"]
            }
            for each in studies:
                assert [o["name"] for o in listed[each.name]["objectives"]] == each.shown()
