"""The names, arguments and defaults that programs may rely on."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optunapi import Client, Study, Trial, open_tunnel
from optunapi.client.optuna_types.frozen import FrozenTrial
from tests.support import ROOT

CALLS: dict[Any, dict[str, str]] = {
    Client: {
        "__init__": "url=None, token=None, timeout=30, retry_for=300",
        "ping": "",
        "studies": "",
        "study": "name",
        "create_study": (
            "name, spec=None, direction='minimize', directions=None, load_if_exists=True"
        ),
    },
    Study: {
        "ask": "worker=None, resume=False, lease_seconds=60, wait=0, fixed_params=None",
        "ask_batch": "count",
        "tell": "number, values=None, state=None, lease=None",
        "optimize": (
            "objective, n_trials=None, timeout=None, n_jobs=1, callbacks=(), catch=(), "
            "show_progress_bar=True"
        ),
        "enqueue": "params",
        "import_trials": "items",
        "export": "path, format=None",
        "set_spec": "spec",
        "trials": "state=None",
        "trial": "number",
        "pause": "",
        "resume": "",
        "stop": "",
        "events": "",
        "wait_until_finished": "timeout=None",
    },
    Trial: {
        "suggest_float": "name, low, high, *, step=None, log=False",
        "suggest_int": "name, low, high, *, step=1, log=False",
        "suggest_categorical": "name, choices",
        "report": "value, step",
        "should_prune": "",
        "set_user_attr": "key, value",
        "set_constraint": "name, value",
        "tell": "values, state='complete'",
        "fail": "reason=None",
        "prune": "",
        "release": "",
        "upload_artifact": "path",
    },
}
PROPERTIES = {
    Study: (
        "best_params",
        "best_value",
        "best_trial",
        "best_trials",
        "directions",
        "name",
        "limits",
        "spec",
        "description",
    ),
    Trial: (
        "number",
        "params",
        "user_attrs",
        "attempt",
        "stop_requested",
        "study",
        "distributions",
    ),
}


@pytest.mark.parametrize(
    ("owner", "method", "promised"),
    [(owner, *call) for owner, calls in CALLS.items() for call in calls.items()],
    ids=lambda each: each if isinstance(each, str) and each.isidentifier() else "",
)
def test_a_method_has_the_documented_arguments_and_requires_no_others(
    owner: type, method: str, promised: str
) -> None:
    wanted = inspect.signature(eval(f"lambda self, {promised}: None")).parameters
    given = inspect.signature(getattr(owner, method)).parameters
    shown = [(each.name, each.kind, each.default) for each in given.values()]
    promises = [(each.name, each.kind, each.default) for each in wanted.values()]
    assert shown[: len(promises)] == promises
    assert all(default is not inspect.Parameter.empty for *_, default in shown[len(promises) :])


@pytest.mark.parametrize("owner", PROPERTIES, ids=lambda each: each.__name__)
def test_a_documented_attribute_is_a_property(owner: type) -> None:
    for name in PROPERTIES[owner]:
        assert isinstance(getattr(owner, name), property), name


def test_open_tunnel_has_the_documented_arguments() -> None:
    given = inspect.signature(open_tunnel).parameters
    assert list(given)[:2] == ["gateway", "remote"]
    assert {name: given[name].default for name in ("key", "known_hosts", "accept_new")} == {
        "key": None,
        "known_hosts": None,
        "accept_new": False,
    }


def public_names() -> Iterator[str]:
    for owner in (Client, Study, Trial):
        for name in dir(owner):
            if not name.startswith("_"):
                yield f"{owner.__name__}.{name}"
    yield from (f"FrozenTrial.{name}" for name in FrozenTrial.__dataclass_fields__)


def test_the_reference_page_has_every_public_name() -> None:
    page = Path(ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    lacking = [name for name in public_names() if f"`{name.partition('.')[2]}" not in page]
    assert not lacking
