"""The tree of errors matches its drawing, and each error can be raised again."""

import math
import re
from collections.abc import Iterator

from optunapi import errors
from optunapi.errors import LeaseLost, OptunAPIError, ServerUnavailable, StudyFinished

ENTRY = re.compile(r"^ {4}((?:│   |    )*)[├└]── (\w+)(?: +([a-z]+(?:-[a-z]+)*)(?= |$))?", re.M)


def drawn() -> Iterator[tuple[str, str, str | None]]:
    """Name, base class and own code of each entry of the module's drawing."""
    above = ["OptunAPIError"]
    for indent, name, code in ENTRY.findall(errors.__doc__ or ""):
        depth = len(indent) // 4 + 1
        yield name, above[depth - 1], code or None
        above[depth:] = [name]


def defined(base: type[OptunAPIError] = OptunAPIError) -> Iterator[tuple[str, str, str | None]]:
    """Name, base class and own code of each class."""
    for each in base.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each.__name__, base.__name__, vars(each).get("code")
            yield from defined(each)


def test_the_tree_is_drawn_as_it_is_with_every_code() -> None:
    tree = {name: (base, code) for name, base, code in drawn()}
    assert tree == {name: (base, code) for name, base, code in defined()}
    assert tree["LeaseLost"] == ("Conflict", "lease-lost")
    assert tree["Conflict"] == ("OptunAPIError", None)


def test_a_class_without_a_code_of_its_own_has_that_of_its_base() -> None:
    assert errors.Superseded("x").code == "storage-unavailable"
    assert errors.Conflict("x").code == "internal"


def test_an_error_is_raised_again_with_all_it_says_and_without_its_traceback() -> None:
    finished = StudyFinished("no more", status=409, finished_reason="max_trials")
    lost = ServerUnavailable("gone", retry_after=math.inf, status=503)
    for error in (finished, lost, LeaseLost("handed on")):
        try:
            raise error
        except OptunAPIError:
            again = error.again()
        assert type(again) is type(error)
        assert again is not error
        assert (vars(again), again.args) == (vars(error), error.args)
        assert again.__traceback__ is None
