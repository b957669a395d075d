"""One objective run by Optuna in memory and by our client on a server: the same trials, and the same errors.

What differs, since JSON has finite numbers, texts, lists and objects only, stands in the functions
`documented_*` and nowhere else.
"""

import datetime
import enum
import logging
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import requests
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from optunapi import Client, Study, Trial
from optunapi.client.optuna_types.attributes import attribute
from tests.client.conftest import MakeStudy
from tests.client.proxy import Proxy
from tests.support import Server, scaled

NAN, INF = math.nan, math.inf


class Unprintable:
    """An object whose `repr` and `str` raise."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Metric:
    """A scalar of a library that has `__float__` alone."""

    def __float__(self) -> float:
        return 0.25

    def __repr__(self) -> str:
        return "Metric()"


class Broken:
    def __float__(self) -> float:
        raise ValueError("a tensor with two elements")

    def __repr__(self) -> str:
        return "Broken()"


@dataclass
class Config:
    lr: float = 0.1


class Kind(enum.StrEnum):
    A = "a"


SCALARS: list[Any] = [
    0,
    1.5,
    True,
    False,
    -0.0,
    np.bool_(True),
    np.float32(0.5),
    np.float16(0.1),
    np.int64(-3),
    np.array(0.5),
    np.array(True),
    np.array([0.5]),
    np.array([[0.5]]),
    np.array([0.5, 0.6]),
    np.str_("0.5"),
    torch.tensor(0.5),
    torch.tensor(True),
    torch.tensor([0.5]),
    torch.tensor([0.5, 0.6]),
    torch.tensor(2, dtype=torch.bfloat16),
    torch.tensor(NAN),
    Decimal("0.5"),
    Decimal("NaN"),
    Decimal("Infinity"),
    Fraction(1, 3),
    Metric(),
    Broken(),
    Unprintable(),
    "0.5",
    " 5 ",
    "nan",
    "-inf",
    "good",
    "",
    b"5",
    b"",
    bytearray(b"5"),
    None,
    NAN,
    INF,
    -INF,
    10**400,
    2**70,
    1j,
    {},
    {"loss": 1.0},
    {1.0},
    object,
    TrialState.FAIL,
    np.datetime64("2026-11-29"),
]
RETURNED: list[Any] = [
    *SCALARS,
    [0.5],
    (0.5,),
    [],
    [True],
    [0.5, 0.6],
    [[0.5]],
    [None],
    [NAN],
    ["0.5"],
    [np.float32(0.5)],
    [np.array([0.5])],
    (torch.tensor(0.5),),
    range(1),
    range(2),
]
STEPS: list[Any] = [0, 1, 2, 3, 7, True, 2.9, "4", np.int64(5), -1, "one", None, NAN, INF]


def cyclic() -> Any:
    found: dict[str, Any] = {"a": [1]}
    found["a"].append(found)
    return found


def deep() -> Any:
    found: list[Any] = []
    for _ in range(200):
        found = [found]
    return found


ATTRIBUTES: list[Any] = [
    3,
    "text",
    None,
    [1, 2.5, "x", None, True],
    {"a": {"b": [1]}},
    (1, 2),
    True,
    np.float32(0.5),
    np.int64(7),
    Kind.A,
    {1: "a", 2.5: "b", None: "c", False: "d"},
    2**70,
    NAN,
    INF,
    np.float64(NAN),
    torch.tensor(NAN),
    [1.0, NAN, {"x": -INF}],
    np.zeros(3),
    torch.zeros(2),
    {1, 2},
    b"bytes",
    datetime.datetime(2026, 11, 29, 8),
    Path("runs/model.pt"),
    Config(),
    Decimal("0.1"),
    1j,
    Unprintable(),
    object,
    "half a pair \ud800",
    "a NUL \0",
    {(1, 2): "tuple"},
    {1: "number", "1": "text"},
    {"\ud800": 1},
    10**5000,
    cyclic(),
    deep(),
    "x" * (2**20 + 1),
    [0.5] * 300_000,
]
NAMES: list[Any] = ["f1", "f 2", "é", "", "x" * 600, "nul\0", "half \ud800", 7, None]
RAISED: list[Callable[[], Exception]] = [
    lambda: ValueError("no"),
    UnprintableError,
    lambda: RuntimeError("half a pair \ud800, a NUL \0" + "x" * 50_000),
    lambda: optuna.TrialPruned(),
    lambda: RuntimeError(Unprintable()),
]


@dataclass(frozen=True)
class Step:
    """One call of an objective on its trial."""

    what: str
    arguments: tuple[Any, ...]


@dataclass
class Objective:
    """An objective as data: its calls, and how it ends. It notes what the pruner and the refusals say."""

    steps: list[Step]
    end: tuple[str, Any]
    noted: list[Any] = field(default_factory=list)

    def __call__(self, trial: Any) -> Any:
        for step in self.steps:
            try:
                found = getattr(trial, step.what)(*step.arguments)
            except (TypeError, ValueError, OverflowError) as error:
                self.noted.append((step.what, type(error)))
            else:
                self.noted.append((step.what, bool(found) if step.what == "should_prune" else None))
        how, what = self.end
        if how == "raise":
            raise what()
        return what


def run(study: Any, objective: Objective) -> tuple[list[Any], type[BaseException] | None]:
    """What an objective noted in a study, and what left `optimize`."""
    objective.noted = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            study.optimize(objective, n_trials=1)
        except Exception as error:
            return objective.noted, type(error)
    return objective.noted, None


def documented_attribute(key: Any, value: Any) -> tuple[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name, kept = attribute("a trial", key, value)
    too_large = len(repr(kept)) > 2**20
    return name, None if too_large else kept


def documented_constraint(name: Any, value: float) -> tuple[str, float]:
    number = value if math.isfinite(value) else math.copysign(sys.float_info.max, value)
    return documented_attribute(name, None)[0][:500], number


def documented_result(trial: Any) -> tuple[TrialState, list[float] | None]:
    """Optuna leaves a trial running after some results, and completes it with an infinite one."""
    infinite = trial.state == TrialState.COMPLETE and not all(map(math.isfinite, trial.values))
    if infinite or trial.state == TrialState.RUNNING:
        return TrialState.FAIL, None
    return trial.state, trial.values


def same(one: Any, other: Any) -> bool:
    """Whether two mappings are equal; NaN is equal to NaN."""
    return one.keys() == other.keys() and all(
        one[step] == value or math.isnan(one[step]) is math.isnan(value) is True
        for step, value in other.items()
    )


def compare(theirs: optuna.Study, ours: Study, home: Path, objective: Objective) -> bool:
    """Run the objective on both; return whether their histories are the same from here on."""
    expected, expected_error = run(theirs, objective)
    found, error = run(ours, objective)
    assert found == expected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = optuna.load_study(
            study_name=ours.name, storage=f"sqlite:///{home}/db/{ours.name}.db"
        ).trials[-1]
    trial = theirs.trials[-1]
    state, values = documented_result(trial)
    assert (stored.state, stored.values) == (state, values)
    if trial.state == TrialState.RUNNING:
        assert error is None  # Optuna's own AssertionError or OverflowError
    elif objective.end[1] is UnprintableError:
        assert error is UnprintableError  # Optuna fails while it logs that
    else:
        assert error == expected_error
    assert same(stored.intermediate_values, trial.intermediate_values)
    assert stored.user_attrs == dict(
        documented_attribute(key, value) for key, value in trial.user_attrs.items()
    )
    assert stored.constraints == dict(
        documented_constraint(key, value) for key, value in trial.constraints.items()
    )
    shown = ours.trial(trial.number)
    assert shown.intermediate_values.keys() == trial.intermediate_values.keys()
    for step, value in trial.intermediate_values.items():
        kept = shown.intermediate_values[step]
        assert kept == value if math.isfinite(value) else math.isnan(kept)
    return (trial.state, trial.values) == (state, values)


def calls(what: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(*arguments).map(lambda given: Step(what, given))


steps = st.lists(
    st.one_of(
        calls("report", st.sampled_from(SCALARS), st.sampled_from(STEPS)),
        calls("report", st.floats(-1, 1), st.integers(0, 9)),
        calls("should_prune"),
        calls("should_prune"),
        calls("set_user_attr", st.sampled_from(NAMES), st.sampled_from(ATTRIBUTES)),
        calls("set_constraint", st.sampled_from(NAMES), st.sampled_from(SCALARS)),
    ),
    max_size=6,
)
ends = st.one_of(
    st.tuples(st.just("return"), st.sampled_from(RETURNED)),
    st.tuples(st.just("return"), st.floats(-1, 1)),
    st.tuples(st.just("raise"), st.sampled_from(RAISED)),
)
pruners: dict[str, tuple[dict[str, Any], Callable[[], optuna.pruners.BasePruner]]] = {
    "none": ({"name": "none"}, optuna.pruners.NopPruner),
    "median": (
        {"name": "median", "n_startup_trials": 1},
        lambda: optuna.pruners.MedianPruner(n_startup_trials=1),
    ),
    "threshold": (
        {"name": "threshold", "upper": 0.7},
        lambda: optuna.pruners.ThresholdPruner(upper=0.7),
    ),
}


@settings(
    max_examples=scaled(25, 1500),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    objectives=st.lists(st.builds(Objective, steps, ends), min_size=1, max_size=4),
    pruner=st.sampled_from(sorted(pruners)),
)
def test_any_objective_has_the_trials_and_errors_that_it_has_in_optuna(
    make_study: MakeStudy, server: Server, objectives: list[Objective], pruner: str
) -> None:
    named, make = pruners[pruner]
    ours = make_study(parameters={}, pruner=named)
    theirs = optuna.create_study(study_name=ours.name, pruner=make())
    for objective in objectives:
        if not compare(theirs, ours, server.log.parent, objective):
            break


def in_both(make_study: MakeStudy, server: Server, *steps: Step, returns: Any = 1.0) -> None:
    """Compare one objective."""
    ours = make_study(parameters={})
    theirs = optuna.create_study(study_name=ours.name, pruner=optuna.pruners.NopPruner())
    compare(theirs, ours, server.log.parent, Objective(list(steps), ("return", returns)))


@pytest.fixture(autouse=True)
def without_log() -> Iterator[None]:
    """Log nothing: half a character in a captured log cannot be sent to the process that collects results."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("value", RETURNED, ids=lambda value: type(value).__name__)
def test_a_result_is_taken_or_fails_its_trial_as_in_optuna(
    make_study: MakeStudy, server: Server, value: Any
) -> None:
    in_both(make_study, server, returns=value)


def test_reports_and_constraints_are_taken_and_refused_as_in_optuna(
    make_study: MakeStudy, server: Server
) -> None:
    reports = [Step("report", (value, 2 * n)) for n, value in enumerate(SCALARS)]
    bounds = [Step("set_constraint", (f"c{n}", value)) for n, value in enumerate(SCALARS)]
    at_steps = [Step("report", (0.5, step)) for step in STEPS]
    in_both(make_study, server, *reports, *bounds, *at_steps)


def test_every_attribute_is_kept_or_its_text(make_study: MakeStudy, server: Server) -> None:
    in_both(
        make_study,
        server,
        *(Step("set_user_attr", (f"a{n}", value)) for n, value in enumerate(ATTRIBUTES)),
    )
    in_both(make_study, server, *(Step("set_user_attr", (name, 1)) for name in NAMES))


@pytest.mark.parametrize("make", RAISED, ids=lambda make: type(make()).__name__)
def test_any_exception_fails_its_trial_and_leaves_the_call(
    make_study: MakeStudy, server: Server, make: Callable[[], Exception]
) -> None:
    ours = make_study(parameters={})
    theirs = optuna.create_study(study_name=ours.name)
    compare(theirs, ours, server.log.parent, Objective([], ("raise", make)))


@pytest.mark.parametrize("value", RETURNED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("state", [None, TrialState.COMPLETE])
def test_tell_takes_and_refuses_what_optunas_does(
    make_study: MakeStudy, value: Any, state: TrialState | None
) -> None:
    ours, theirs = make_study(parameters={}), optuna.create_study()
    outcomes: list[Any] = []
    both: tuple[Any, Any] = (theirs, ours)
    for study in both:
        trial = study.ask()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                study.tell(trial, value, state)
            except (ValueError, TypeError, OverflowError, RuntimeError):
                outcomes.append("refused")
                continue
        warned = any(each.category in (UserWarning, RuntimeWarning) for each in caught)
        frozen = study.trials[0] if study is theirs else study.trial(0)
        outcomes.append((frozen.state.name, frozen.values, warned or frozen.state != 3))
    expected, found = outcomes
    is_infinite = expected != "refused" and expected[0] == "COMPLETE" and math.isinf(expected[1][0])
    if state is None and (expected == "refused" or is_infinite):
        assert found[0] == "FAIL"
    elif is_infinite:  # the wire has no infinite values
        assert found == "refused"
    else:
        assert found == expected


def test_a_nan_attribute_is_null_with_a_warning_that_names_both_and_the_trial_goes_on(
    study: Study,
) -> None:
    def objective(trial: Trial) -> float:
        trial.set_user_attr("f1", NAN)
        trial.set_user_attr("model", Path("a/b"))
        return 1.0

    with pytest.warns(RuntimeWarning) as caught:
        study.optimize(objective, n_trials=1)
    messages = [str(each.message) for each in caught]
    assert f"the attribute 'f1' of trial 0 of study {study.name!r} is nan" in messages[0]
    assert "'model'" in messages[1]
    assert "kept as 'a/b'" in messages[1]
    assert study.trial(0).state == "complete"
    assert study.trial(0).user_attrs == {"f1": None, "model": "a/b"}


def test_attributes_of_studies_asks_and_queues_are_kept_in_the_same_way(study: Study) -> None:
    attrs = {"f1": NAN, "path": Path("a")}
    kept = {"f1": None, "path": "a"}
    with pytest.warns(RuntimeWarning, match="'f1'"):
        study.set_user_attr("f1", NAN)
    assert study.user_attrs == {"f1": None}
    with pytest.warns(RuntimeWarning, match="'path'|'f1'"):
        assert study.enqueue({"x": 0.5}, attrs).user_attrs == kept
    with pytest.warns(RuntimeWarning, match="'f1'|'path'"):
        trial = study.ask(user_attrs=attrs)
    with pytest.warns(RuntimeWarning, match="'f1'|'path'"):
        (another,) = study.ask_batch(1, user_attrs=attrs)
    assert (trial.number, another.number) == (0, 1)
    assert study.trial(1).user_attrs == kept


def test_attributes_of_an_outage_never_make_a_result_too_large_to_be_sent(
    proxy: Proxy, study: Study
) -> None:
    trial = Client(proxy.url, retry_for=0).study(study.name).ask()
    proxy.disturb("/trials/0", "reset", "reset", "reset")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in "abc":
            trial.set_user_attr(name, name * 400_000)
    assert sum("too large" in str(each.message) for each in caught) == 2
    closed = trial.tell(1.0)
    assert closed.user_attrs == {"a": "a" * 400_000, "b": None, "c": None}


def test_nan_reports_are_kept_and_shown_as_null_over_http(study: Study) -> None:
    trial = study.ask()
    url = f"{study.connection.url}/optunapi/v1/studies/{study.name}/trials/0"
    body = {"lease": trial.lease}
    reply = requests.post(f"{url}/report", json={"step": 0, "value": None, **body}, timeout=10)
    assert reply.json()["should_prune"] is False
    for sign in "+-":
        more = {"step": ord(sign), "value": None, "infinity": sign, **body}
        assert requests.post(f"{url}/report", json=more, timeout=10).status_code == 200
    assert set(requests.get(url, timeout=10).json()["intermediate_values"].values()) == {None}
    for bad in (
        {"step": 1, **body},
        {"step": 1, "value": 0.5, "infinity": "+", **body},
        {"step": 1, "value": None, "infinity": "inf", **body},
        {"step": 1, "value": "nan", **body},
    ):
        refused = requests.post(f"{url}/report", json=bad, timeout=10)
        assert (refused.status_code, refused.json()["code"]) == (422, "request-invalid")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_exception_of_a_callback_leaves_the_call_and_the_trial_is_told(
    study: Study, n_jobs: int
) -> None:
    def callback(_: Any, trial: Any) -> None:
        raise KeyError(trial.number)

    with pytest.raises(KeyError):
        study.optimize(lambda _: True, n_trials=2, n_jobs=n_jobs, callbacks=[callback])
    assert study.trial(0).values == [1.0]


def test_an_interrupt_leaves_the_call_and_gives_the_trial_back(study: Study) -> None:
    def objective(_: Trial) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.optimize(objective, n_trials=3)
    assert [each.state.word for each in study.trials()] == ["waiting"]
