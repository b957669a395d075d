"""`str()` of every error says what its reply knows."""

from typing import Any

import pytest

from optunapi.client.http.problems import BY_CODE, error_of
from optunapi.errors import TryLater

EXTRA: dict[str, tuple[Any, list[str]]] = {
    "errors": (
        [
            {"file": "a.yaml", "line": 3, "key": "lr.low", "reason": "1 is above `high`"},
            {"location": ["body", "step"], "reason": "a whole number"},
        ],
        ["a.yaml, line 3: lr.low: 1 is above `high`", "body.step: a whole number"],
    ),
    "diff": (
        [{"key": "parameters.lr.high", "old": 1, "new": 2, "reason": "fixed"}],
        ["parameters.lr.high: 1 became 2 (fixed)"],
    ),
    "trial": ({"number": 3, "state": "complete", "values": [0.5]}, ["state complete", "[0.5]"]),
    "finished_reason": ("max_trials", ["max_trials"]),
    "request_id": ("9a1b", ["9a1b"]),
    "line": ("host ssh-ed25519 AAAA", ["host ssh-ed25519 AAAA"]),
    "tried": (["SHA256:abc"], ["SHA256:abc"]),
}


@pytest.mark.parametrize("key", EXTRA)
@pytest.mark.parametrize("code", [c for c, e in BY_CODE.items() if not issubclass(e, TryLater)])
def test_the_text_of_an_error_says_all_that_its_reply_knows(code: str, key: str) -> None:
    known, words = EXTRA[key]
    error = error_of("http://head", 409, {"code": code, "detail": "no", key: known})
    assert str(error).startswith("no\n  ")
    for word in words:
        assert word in str(error)


def test_what_the_detail_says_is_not_repeated() -> None:
    error = error_of(
        "",
        409,
        {
            "code": "study-finished",
            "detail": "finished_reason: target",
            "finished_reason": "target",
        },
    )
    assert str(error) == "finished_reason: target"
