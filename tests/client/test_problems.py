"""The exceptions for replies that are not a success."""

import pickle
from email.utils import formatdate

import pytest

from optunapi import errors
from optunapi.client.http.problems import BY_CODE, error_of
from optunapi.errors import OptunAPIError

URL = "http://head:8000"


def problem(code: str, **extra: object) -> dict[str, object]:
    return {
        "type": f"urn:optunapi:error:{code}",
        "title": "x",
        "status": 409,
        "detail": "what to do",
        "code": code,
        **extra,
    }


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_code_becomes_the_class_named_after_it(code: str) -> None:
    error = error_of(URL, 409, problem(code))
    assert type(error).__name__ == "".join(word.capitalize() for word in code.split("-"))
    assert (error.code, error.status, error.detail) == (code, 409, "what to do")
    assert str(error) == "what to do"


def test_every_code_of_the_wire_is_known() -> None:
    from optunapi.api.http.problems import STATUS

    for each in STATUS:
        if "code" in vars(each) and each is not OptunAPIError:
            assert BY_CODE[each.code] is each
    assert BY_CODE["storage-unavailable"] is errors.StorageUnavailable


def test_other_members_of_a_problem_are_in_extra() -> None:
    error = error_of(URL, 409, problem("study-finished", finished_reason="max_trials"))
    assert isinstance(error, errors.StudyFinished)
    assert error.extra == {"finished_reason": "max_trials"}


def test_an_unknown_code_becomes_the_base_class() -> None:
    error = error_of(URL, 418, problem("teapot", spout="short"))
    assert type(error) is OptunAPIError
    assert (error.code, error.status, error.extra) == ("teapot", 418, {"spout": "short"})
    assert OptunAPIError.code != "teapot"


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), (formatdate(0, usegmt=True), 0.0), ("soon", 1.0)]
)
def test_retry_after_may_be_seconds_or_a_date(header: str, seconds: float) -> None:
    error = error_of(URL, 429, problem("no-slot"), {"Retry-After": header})
    assert isinstance(error, errors.NoSlot)
    assert error.retry_after == seconds


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_does_not_reach_the_server_is_an_outage(status: int) -> None:
    assert isinstance(error_of(URL, status, None), errors.ServerUnavailable)


@pytest.mark.parametrize(("status", "document"), [(404, None), (200, []), (403, {"code": 7})])
def test_a_reply_of_something_else_asks_whether_the_url_is_right(
    status: int, document: object
) -> None:
    error = error_of(URL, status, document)
    assert isinstance(error, errors.UnexpectedReply)
    assert "is this the server's URL?" in error.detail


def test_a_redirect_is_named_and_not_followed() -> None:
    error = error_of(URL, 301, None, {"Location": "https://head/"})
    assert "points to https://head/" in error.detail


def test_an_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(error_of(URL, 418, problem("teapot", a=1))))
    assert (error.code, error.status, error.detail) == ("teapot", 418, "what to do")
    assert error.extra == {"a": 1}
