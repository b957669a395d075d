"""Lines of the log: of any content one line that can be read back, without passwords, and none too often."""

import json
import logging
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optunapi.telemetry.emit import MAX_ALIKE, MAX_KNOWN, QUIET_SECONDS, Repeats, emit_all, is_new
from optunapi.telemetry.events import Event, TrialCancelled, TrialFailed
from optunapi.telemetry.format import MAX_CHARACTERS, JsonLines, TextLines
from optunapi.telemetry.secrets import masked
from tests.acceptance.log_lines import parsed
from tests.support import scaled

ANY_TEXT = st.text(max_size=60) | st.text(alphabet='\r\n\x1b"\\= {}[]\u2028\u2029\x85\x00\ud800a')


def record_of(event: Event) -> logging.LogRecord:
    record = logging.LogRecord("optunapi.events", event.level, "", 0, event.message, None, None)
    record.event = event
    return record


@settings(max_examples=scaled(300, 20_000), deadline=None)
@given(worker=ANY_TEXT, reason=ANY_TEXT, request=ANY_TEXT)
def test_of_any_content_an_event_is_one_line_that_can_be_read_back(
    worker: str, reason: str, request: str
) -> None:
    event = TrialFailed(
        study="s", trial=7, worker=worker, attempt=1, reason=reason, request_id=request
    )
    for form, formatter in (("json", JsonLines()), ("text", TextLines())):
        line = formatter.format(record_of(event))
        assert len(line.splitlines()) == 1
        assert line.isprintable()
        found = parsed(line, form)
        assert (found["level"], found["message"]) == ("warning", "trial failed")
        assert (found["study"], found["trial"]) == ("s", 7)
        for name, value in (("worker", worker), ("reason", reason), ("request_id", request)):
            if form == "json" and value.isprintable() and "://" not in value and "=" not in value:
                assert found[name] == masked(value)


def test_a_long_value_is_cut_off() -> None:
    event = TrialFailed(study="s", trial=7, worker="w", attempt=1, reason="x" * 65_536)
    for formatter in (JsonLines(), TextLines()):
        assert len(formatter.format(record_of(event))) < MAX_CHARACTERS + 500


def test_a_traceback_is_one_field_of_json_and_indented_lines_of_text() -> None:
    try:
        raise ValueError("first\n2026-01-01T00:00:00.000Z INFO forged\x1b[2J")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 0, "failed", None, sys.exc_info())
    assert "ValueError: first\n2026" in json.loads(JsonLines().format(record))["exception"]
    first, *rest = TextLines().format(record).split("\n")
    assert parsed(first, "text")["message"] == "failed"
    assert rest
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://optuna:hunter2@db:5432/x",
        "postgresql://optuna:hun@ter2:/@db/x",
        "postgresql+psycopg://db/x?user=optuna&password=hunter2&sslmode=require",
        "(connection to 'mysql://:hunter2@db/x' failed)",
        "Authorization: Bearer hunter2hunter2",
    ],
)
def test_no_password_is_shown(url: str) -> None:
    assert "ter2" not in masked(url)
    assert "***" in masked(url)


@pytest.mark.parametrize(
    "text", ["sqlite:////srv/all.db", "http://head:8000/optunapi", "a=b@c", "user@host:22"]
)
def test_what_has_no_password_is_shown_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_what_repeats_is_said_once_a_minute_with_its_count() -> None:
    now = [0.0]
    repeats = Repeats(lambda: now[0])
    assert [repeats.to_say("cause") for _ in range(5)] == [0, None, None, None, None]
    assert repeats.to_say("another cause") == 0
    now[0] += QUIET_SECONDS
    assert repeats.to_say("cause") == 4
    for number in range(3 * MAX_KNOWN):  # as many causes as may be: memory stays bounded
        repeats.to_say(number)
    assert len(repeats._said) == MAX_KNOWN


def test_of_many_events_alike_the_first_are_said_and_then_their_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "optunapi"):
        emit_all(
            [
                TrialCancelled(study="s", trial=n, worker=None, attempt=0, reason="cancelled")
                for n in range(10_000)
            ]
        )
    assert len(caplog.records) == MAX_ALIKE + 1
    assert parsed(TextLines().format(caplog.records[-1]), "text")["more"] == 10_000 - MAX_ALIKE
    assert all(is_new(record) for record in caplog.records)
