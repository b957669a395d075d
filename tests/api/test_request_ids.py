"""The id of a request: brought by it or made, and in every reply."""

import pytest

from tests.api.wire import Wire
from tests.support import write_config

# One of each kind of reply: the fast path, FastAPI's, a refusal, no route, a stream.
PLACES = (
    "/optunapi/ping",
    "/optunapi/v1/studies",
    "/optunapi/v1/studies/nobody",
    "/optunapi/v1/no-such-route",
    "/optunapi/v1/studies?no-such-filter=1",
    "/optunapi/v1/studies/{study}/export",
)


@pytest.mark.parametrize("place", PLACES)
def test_every_reply_has_an_id_of_its_own_or_the_one_that_was_given(
    wire: Wire, study: str, place: str
) -> None:
    path = place.format(study=study)
    first, second = (wire.client.get(path).headers["x-request-id"] for _ in range(2))
    assert first != second
    reply = wire.client.get(path, headers={"X-Request-ID": "mine 7/a"})
    assert reply.headers.get_list("x-request-id") == ["mine 7/a"]


@pytest.mark.parametrize("given", ["", "x" * 129, "a\tb", "größe", "\x7f", "\x1b[2J"])
def test_an_id_that_is_too_long_or_not_printable_is_replaced(wire: Wire, given: str) -> None:
    reply = wire.client.get("/optunapi/ping", headers=[(b"X-Request-ID", given.encode("latin-1"))])
    if reply.status_code == 400:
        return  # the HTTP server has refused the request itself
    kept = reply.headers["x-request-id"]
    assert kept != given
    assert kept.isascii()
    assert kept.isalnum()


def test_an_id_given_twice_is_replaced(wire: Wire) -> None:
    twice = [("X-Request-ID", "a"), ("X-Request-ID", "b")]
    assert wire.client.get("/optunapi/ping", headers=twice).headers["x-request-id"] not in "ab"


def test_what_an_ask_finds_in_a_file_is_logged_under_the_id_of_that_ask(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """Asks of one study share threads, which keep the context of what they served before."""
    name = wire.configure("x: {type: float, low: 0, high: 1}")
    file = wire.home / "config" / f"{name}.yaml"
    for text in ("x: [", "x: {type: float, low: 0, high: 2}", "x: {type: int, low: 0, high: 1}"):
        for number in range(2):
            headers = {"X-Request-ID": f"before {number}"}
            wire.request("POST", f"/studies/{name}/trials", headers=headers)
        caplog.clear()
        write_config(file, text)
        wire.request("POST", f"/studies/{name}/trials", headers={"X-Request-ID": "finder"})
        events = [vars(record).get("event") for record in caplog.records]
        found = {event.request_id for event in events if event is not None}
        assert found <= {"finder", None}  # None: the sweep was first


@pytest.mark.parametrize("place", PLACES)
def test_every_reply_names_its_server(wire: Wire, study: str, place: str) -> None:
    ids = {
        wire.client.get(path.format(study=study)).headers["x-optunapi-server"]
        for path in (place, "/optunapi/livez")
    }
    assert len(ids) == 1
    assert len(ids.pop()) == 16
