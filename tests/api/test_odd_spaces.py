"""Any space that Optuna can express is served, or refused with a reason, and never delays another study."""

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import create_trial

from optunapi.api.http.replies import strict_json
from optunapi.storage import open_storage
from tests.api.wire import V1, Wire, wire_of
from tests.support import scaled

pytestmark = [
    pytest.mark.filterwarnings("ignore:Choices for a categorical distribution"),
    pytest.mark.filterwarnings("ignore:The distribution is specified by"),
]

Space = Mapping[str, BaseDistribution]

# No request may take longer: several times what the slowest takes on a loaded machine.
MOST_SECONDS = 20
BOOLEAN = {"type": "categorical", "choices": [True, False]}
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A server with a healthy study, whose replies must not change with what else is in the folder."""

    wire: Wire
    empty: Path
    healthy: str

    def study_by_optuna(self, name: str, space: Space, n_trials: int = 4) -> None:
        """Create a study as Optuna does, in a file of its own."""
        path = self.wire.home / "db" / f"{name}.db"
        shutil.copy(self.empty, path)
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of choices that are lists
            study = optuna.create_study(study_name=name, storage=storage)
            for number in range(n_trials):
                params = {each: value_in(d, number) for each, d in space.items()}
                study.add_trial(
                    create_trial(value=number, params=params, distributions=dict(space))
                )
        storage.engine.dispose()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A reply that is no failure of the server, and came in time."""
        began = perf_counter()
        reply = self.wire.request(method, path, **options)
        assert perf_counter() - began < MOST_SECONDS
        assert reply.status_code < 500, reply.text
        if reply.status_code >= 400:
            assert reply.json()["detail"]
        return reply

    def check_all(self, name: str) -> list[dict[str, Any]]:
        """Send everything that can be asked of a study; return the trials that were handed out."""
        asked = []
        for value in range(2):
            reply = self.request("POST", f"/studies/{name}/trials", json={})
            if reply.status_code == 201:
                asked.append(reply.json())
                number = asked[-1]["number"]
                told = self.request(
                    "POST", f"/studies/{name}/trials/{number}/tell", json={"value": value}
                )
                assert told.status_code == 200, "a result is never refused"
        for path in ("", "/trials", "/best", "/summary", "/export", "/export?format=csv"):
            assert self.request("GET", f"/studies/{name}{path}").status_code == 200
        self.request("GET", f"/studies/{name}/importances")
        legacy = self.wire.client.get(f"/optunapi/hparams/{name}")
        assert legacy.status_code < 500, legacy.text
        assert self.wire.client.get("/optunapi/readyz").status_code == 200
        listed = self.request("GET", "/studies?limit=1000").json()["items"]
        assert {name, self.healthy} <= {study["name"] for study in listed}
        assert next(s for s in listed if s["name"] == self.healthy) == self.wire.study(self.healthy)
        return asked


def value_in(distribution: BaseDistribution, number: int) -> Any:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[number % len(choices)]
        case IntDistribution(low=low, high=high, step=step):
            return low + step * (number % min(3, (high - low) // step + 1))
        case FloatDistribution(low=low, high=high):
            return low if number % 2 else high
    raise AssertionError(distribution)


def is_in(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value of a reply, where NaN and infinities are null, is one of the distribution."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return bool(value in json.loads(strict_json(choices)))
        case IntDistribution(low=low, high=high):
            return isinstance(value, int) and low <= value <= high
        case FloatDistribution(low=low, high=high):
            return isinstance(value, float) and low <= value <= high
    raise AssertionError(distribution)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    home = tmp_path_factory.mktemp("odd")
    empty = home / "empty.sqlite"
    open_storage(f"sqlite:///{empty}").close()
    with wire_of(home) as wire:
        healthy = wire.put()
        wire.ask(healthy)
        wire.tell(healthy, 0, value=1)
        wire.ask(healthy)
        yield Beside(wire=wire, empty=empty, healthy=healthy)


def choices(*values: Any) -> CategoricalDistribution:
    """A distribution with choices of any kind."""
    return CategoricalDistribution(values)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of choices that are lists
    LISTS = choices([64, 64], [128])
    DICTS = choices({"a": [1]}, {"a": [2]}, "plain", None)

ODD: dict[str, Space] = {
    "lists": {"sizes": LISTS, "x": FloatDistribution(0, 1)},
    "dicts": {"kind": DICTS},
    "nan": {"c": CategoricalDistribution([NAN, INF, -INF, 1.0])},
    "equal": {"c": CategoricalDistribution([True, 1, 1.0, "1", None, False, 0])},
    "64-bit": {"n": IntDistribution(0, 2**64 - 1), "log": IntDistribution(1, 2**64, log=True)},
    "both-signs": {"n": IntDistribution(-(2**63), 2**63 - 1)},
    "narrow": {
        "n": IntDistribution(2**63, 2**63 + 3, log=True),
        "m": IntDistribution(2**63, 2**63 + 2**12),
        "x": FloatDistribution(1, 1 + 2**-50),
    },
    "beyond-doubles": {"n": IntDistribution(0, 10**400)},
    "huge-steps": {"n": IntDistribution(0, 2**64, step=2**33)},
    "widest": {"x": FloatDistribution(-1.7e308, 1.7e308)},
    "deepest": {"x": FloatDistribution(1e-308, 1e308, log=True)},
    "tiny-steps": {"x": FloatDistribution(0, 1, step=1e-12)},
    "infinite": {"x": FloatDistribution(-INF, INF), "y": FloatDistribution(0, INF)},
    "one-point": {
        "x": FloatDistribution(1, 1),
        "n": IntDistribution(2, 2),
        "c": CategoricalDistribution([None]),
        "s": IntDistribution(0, 5, step=5),
    },
    "names": {
        "": FloatDistribution(0, 1),
        " ä/ü\u202e ": IntDistribution(1, 9),
        "x" * 512: CategoricalDistribution(["✓", "", "\x1b[31m"]),
    },
    "choices": {"c": CategoricalDistribution(list(range(10_000)))},
    "booleans": {f"b{i}": CategoricalDistribution([True, False]) for i in range(1200)},
    "parameters": {f"p{i}": FloatDistribution(0, 1) for i in range(scaled(1500, 5000))},
}


@pytest.mark.parametrize("case", ODD)
def test_a_study_of_optuna_is_served_or_refused_with_its_reason(beside: Beside, case: str) -> None:
    # Optuna writes a row a parameter, slowly.
    beside.study_by_optuna(case, ODD[case], n_trials=4 if len(ODD[case]) < 9 else scaled(1, 4))
    asked = beside.check_all(case)
    if case not in ("beyond-doubles", "infinite"):
        assert len(asked) == 2
    for trial in asked:
        assert trial["params"].keys() == ODD[case].keys()
        assert all(is_in(ODD[case][name], value) for name, value in trial["params"].items())


def test_lists_as_choices_are_served_by_optuna_itself(beside: Beside) -> None:
    name = "served-lists"
    beside.study_by_optuna(name, ODD["lists"], n_trials=12)
    study = beside.wire.study(name)
    assert (study["sampler"]["engine"], study["config_error"]) == ("optuna", None)
    for value in range(4):
        number = beside.wire.ask(name)["number"]
        beside.wire.tell(name, number, value=value)
    assert "failure" not in beside.wire.study(name)["sampler"]
    found = beside.wire.ok("GET", f"/studies/{name}/importances")["importances"]
    assert found.keys() == {"sizes", "x"}


def test_a_fork_of_an_odd_study_is_there_after_a_restart(tmp_path: Path, beside: Beside) -> None:
    (tmp_path / "db").mkdir()
    cases = [case for case in ODD if case not in ("parameters", "booleans")]
    for case in cases:
        there = Beside(
            wire=Wire(client=beside.wire.client, home=tmp_path), empty=beside.empty, healthy=""
        )
        there.study_by_optuna(case, ODD[case])
    with wire_of(tmp_path) as wire:
        for case in cases:
            wire.ok("POST", f"/studies/{case}/fork", json={"name": f"{case}-2"})
        before = {case: wire.study(f"{case}-2") for case in cases}
    with wire_of(tmp_path) as wire:
        assert {case: wire.study(f"{case}-2") for case in cases} == before
        assert len(wire.ok("GET", "/studies?limit=1000")["items"]) == 2 * len(cases)


@pytest.mark.parametrize("avoid", ["running", "all"])
def test_twenty_switches_with_a_parameter_each_cost_no_time(beside: Beside, avoid: str) -> None:
    switches = {f"use_{i}": BOOLEAN for i in range(20)}
    ranges = {
        f"n_{i}": {"type": "int", "low": 1, "high": 4, "when": {f"use_{i}": True}}
        for i in range(20)
    }
    name = beside.wire.put({"parameters": switches | ranges}, avoid_duplicates=avoid)
    began = perf_counter()
    assert len(beside.check_all(name)) == 2
    assert perf_counter() - began < 10


def deep(n: int) -> dict[str, Any]:
    """Each parameter is used only if the one before it is true."""
    found: dict[str, Any] = {"b0": BOOLEAN}
    for i in range(1, n):
        found[f"b{i}"] = {**BOOLEAN, "when": {f"b{i - 1}": True}}
    return found


def conditional_booleans(n: int) -> dict[str, Any]:
    """Boolean choices, each with a condition on one of a few before it."""
    found: dict[str, Any] = {"root": BOOLEAN, "kind": {"type": "categorical", "choices": [*"abc"]}}
    for i in range(n):
        found[f"b{i}"] = {**BOOLEAN, "when": {"root": True} if i % 2 else {"kind": ["a", "b"]}}
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random", "brute-force"])
@pytest.mark.parametrize("space", [deep(1000), conditional_booleans(1200)], ids=["deep", "wide"])
def test_a_thousand_conditions_are_no_burden(
    beside: Beside, space: dict[str, Any], sampler: str
) -> None:
    name = beside.wire.put({"parameters": space}, sampler={"name": sampler}, avoid_duplicates="all")
    assert len(beside.check_all(name)) == 2


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
CHOICES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner),
    max_leaves=5,
)
BOUNDS = st.sampled_from([0, 1, 2**31, 2**53, 2**53 + 1, 2**63, 2**64 - 1, 2**64, 10**30]) | (
    st.integers(-(2**65), 2**65)
)


@st.composite
def distributions(draw: st.DrawFn) -> BaseDistribution:
    kind = draw(st.sampled_from(["categorical", "int", "float"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bounds that are moved to a step
        if kind == "categorical":
            # A choice that JSON changes, such as a tuple, is another one for Optuna when it is read.
            return choices(*draw(st.lists(CHOICES, min_size=1, max_size=6)))
        log = draw(st.booleans())
        if kind == "int":
            low, high = sorted((draw(BOUNDS), draw(BOUNDS)))
            step = 1 if log else draw(st.integers(1, 2**40))
            low = max(low, 1) if log else low
            return IntDistribution(low, max(low, high), log=log, step=step)
        least = 5e-324 if log else -1.7e308
        low, high = sorted(draw(st.tuples(*[st.floats(least, 1.7e308)] * 2)))
        narrow = not log and high - low < 1e15
        width = draw(st.none() | st.floats(1e-6, 1e6)) if narrow else None
        return FloatDistribution(low, high, log=log, step=width)


def spaces(distribution: st.SearchStrategy[BaseDistribution]) -> st.SearchStrategy[Space]:
    return st.dictionaries(NAMES, distribution, min_size=1, max_size=4)


any_example = settings(
    max_examples=scaled(15, 600),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@any_example
@given(spaces(distributions()), st.integers(0, 14))
def test_any_study_of_optuna_is_served_or_refused_with_its_reason(
    beside: Beside, space: Space, n_trials: int
) -> None:
    name = f"any-{beside.wire.new_name()}"
    try:
        beside.study_by_optuna(name, space, n_trials)
    except (ValueError, OverflowError, TypeError):
        return  # Optuna itself cannot keep it
    for trial in beside.check_all(name):
        for each, value in trial["params"].items():
            assert is_in(space[each], value)
    beside.wire.ok("DELETE", f"/studies/{name}?force=true")


def wire_of_distribution(distribution: BaseDistribution) -> dict[str, Any]:
    attributes = vars(distribution)
    kind = type(distribution).__name__.removesuffix("Distribution").lower()
    return {"type": kind, **{k: list(v) if k == "choices" else v for k, v in attributes.items()}}


@any_example
@given(
    spaces(distributions()),
    st.sampled_from(["tpe", "random", "cmaes", "qmc", "nsga2", "grid", "brute-force"]),
    st.sampled_from(["off", "running", "all"]),
)
def test_any_space_of_a_request_is_served_or_refused_with_its_reason(
    beside: Beside, space: Space, sampler: str, avoid: str
) -> None:
    spec = {
        "parameters": {name: wire_of_distribution(d) for name, d in space.items()},
        "sampler": {"name": sampler},
        "avoid_duplicates": avoid,
    }
    name = beside.wire.new_name()
    reply = beside.request(
        "PUT",
        f"/studies/{name}",
        content=json.dumps(spec).encode(),
        headers={"Content-Type": "application/json"},
    )
    if reply.status_code != 201:
        assert reply.status_code in (400, 422)
        return
    for trial in beside.check_all(name):
        for each, value in trial["params"].items():
            assert is_in(space[each], value)


@any_example
@given(
    st.lists(st.tuples(st.sampled_from("abc"), distributions()), min_size=1, max_size=8),
    st.sampled_from(["tpe", "random", "cmaes", "qmc", "nsga2", "brute-force"]),
)
def test_any_parameter_that_is_suggested_is_served_or_refused_with_its_reason(
    beside: Beside, suggestions: Sequence[tuple[str, BaseDistribution]], sampler: str
) -> None:
    name = beside.wire.put({"parameters": {}}, sampler={"name": sampler})
    for number, (parameter, distribution) in enumerate([*suggestions, *suggestions]):
        asked = beside.request("POST", f"/studies/{name}/trials", json={})
        if asked.status_code == 409:
            assert asked.json()["finished_reason"] == "space-exhausted"
            return
        body = {"name": parameter, "distribution": wire_of_distribution(distribution)}
        reply = beside.request(
            "POST",
            f"/studies/{name}/trials/{number}/suggest",
            content=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        if reply.status_code == 200:
            assert is_in(distribution, reply.json()["value"])
        beside.wire.tell(name, number, value=number)
    beside.check_all(name)


def test_the_shared_server_is_unharmed(beside: Beside) -> None:
    assert beside.wire.study(beside.healthy)["trials"]["running"] == 1
    assert beside.wire.client.get(f"{V1}/studies?limit=1000").status_code == 200
