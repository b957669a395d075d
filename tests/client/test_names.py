"""The names that `import optunapi` has, and what it loads."""

import inspect
import subprocess
import sys

import pytest

import optunapi


def test_the_public_names_are_these() -> None:
    assert optunapi.__all__ == [
        "Client",
        "OptunAPIError",
        "Study",
        "Trial",
        "TrialPruned",
        "open_tunnel",
    ]


@pytest.mark.parametrize("name", [n for n in optunapi.__all__ if n != "open_tunnel"])
def test_a_public_name_is_there_and_has_documentation(name: str) -> None:
    assert getattr(optunapi, name).__doc__
    assert name in dir(optunapi)


def test_an_unknown_name_is_not_an_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'clinet'"):
        optunapi.clinet  # noqa: B018


@pytest.mark.parametrize(
    "public", [optunapi.Client, optunapi.Study, optunapi.Trial], ids=lambda each: each.__name__
)
def test_every_public_method_says_what_it_does(public: type) -> None:
    for name, member in inspect.getmembers(public):
        if not name.startswith("_"):
            assert (member.fget if isinstance(member, property) else member).__doc__, name


def test_importing_the_package_loads_nothing_and_the_client_nothing_but_requests() -> None:
    code = """
import sys, optunapi
assert not {name for name in sys.modules if name.startswith("optunapi.")}
from optunapi import Client, OptunAPIError, Study, Trial, TrialPruned
import optunapi.client.optimize
loaded = {"click", "fastapi", "numpy", "optuna", "pydantic", "rich", "sqlalchemy", "yaml"}
print(loaded & set(sys.modules))
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
