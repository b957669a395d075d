"""Times stay what they are where the local clock is set forward and back: in the hour that comes twice."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from optunapi.engine.reports.summary import summarise
from tests.support import in_zone
from tests.unit.engine.bulk import import_, item
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Clock, Life, Seen, done, optuna_study
from tests.unit.storage.support import sql

MINUTE = 60.0
# Each clock half an hour before it is changed: to summer time, and back.
BEFORE_CHANGES = [
    ("America/New_York", "2026-03-08T06:30"),
    ("America/New_York", "2026-11-01T05:30"),
    ("Australia/Lord_Howe", "2026-04-04T14:30"),
    ("Australia/Lord_Howe", "2026-10-03T15:00"),
    ("Europe/Dublin", "2026-03-29T00:30"),
    ("Europe/Dublin", "2026-10-25T00:30"),
]


@pytest.fixture(params=BEFORE_CHANGES, ids=" ".join)
def start(request: pytest.FixtureRequest, clock: Clock) -> Iterator[float]:
    zone, time = request.param
    with in_zone(zone):
        clock.wall = datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp()
        yield clock.wall


def times_of(seen: Seen) -> tuple[float | None, float | None]:
    times = (seen.trial.datetime_start, seen.trial.datetime_complete)
    start, complete = (None if time is None else time.timestamp() for time in times)
    return start, complete


def stored(life: Life) -> list[tuple[Any, ...]]:
    with sql(life.url) as connection:
        rows = connection.execute(
            "SELECT datetime_start, datetime_complete FROM trials ORDER BY number"
        )
        return [
            tuple(
                each and datetime.fromisoformat(each).replace(tzinfo=UTC).timestamp()
                for each in row
            )
            for row in rows
        ]


def test_a_running_trial_keeps_its_start_over_restarts(
    new_life: NewLife, clock: Clock, start: float
) -> None:
    life = new_life()
    starts = []
    for number in range(12):
        assert life.ask("w").number == number
        starts.append(clock.wall)
        clock.pass_(10 * MINUTE)
    for _ in range(2):
        life.restart()
        assert [times_of(seen) for seen in life.trials()] == [(each, None) for each in starts]
    ends = []
    for number in range(12):
        assert times_of(life.complete(number, 1.0)) == (starts[number], clock.wall)
        ends.append(clock.wall)
        clock.pass_(10 * MINUTE)
        life.restart()
    times = list(zip(starts, ends, strict=True))
    assert [times_of(seen) for seen in life.trials()] == times
    assert stored(life) == times
    assert min(starts) == start
    life.assert_sound()


def test_a_time_out_is_due_at_its_time(new_life: NewLife, clock: Clock, start: float) -> None:
    life = new_life(trial_timeout=40 * MINUTE, lease=60 * MINUTE)
    for began in range(0, 120, 20):
        clock.wall = start + began * MINUTE
        number = life.ask("w").number
        life.restart()
        clock.pass_(39 * MINUTE)
        life.restart()
        life.study.apply_deadlines()
        assert not life.trial(number).record.stop_requested
        clock.pass_(MINUTE)
        life.restart()
        life.study.apply_deadlines()
        assert life.trial(number).record.stop_requested
        life.complete(number, 1.0)


def test_imported_trials_keep_their_times(new_life: NewLife, clock: Clock, start: float) -> None:
    life = new_life()
    times = [(start + n * 10 * MINUTE, start + n * 20 * MINUTE) for n in range(12)]
    clock.pass_(100 * 60 * MINUTE)
    import_(life, *(item(1.0, x=0, started_at=a, finished_at=b) for a, b in times))
    for _ in range(2):
        assert [times_of(seen) for seen in life.trials()] == times
        assert stored(life) == times
        life.restart()
        life.set_attrs(0, again=True)


def test_the_figures_count_the_hour(new_life: NewLife, clock: Clock, start: float) -> None:
    life = new_life()
    import_(
        life,
        item(3.0, x=0, started_at=start, finished_at=start + 20 * MINUTE),
        item(2.0, x=0, started_at=start, finished_at=start + 70 * MINUTE),
        item(1.0, x=0, started_at=start, finished_at=start + 80 * MINUTE),
    )
    clock.pass_(90 * MINUTE)
    life.restart()
    found = summarise(done(life.study.snapshot()))
    assert found.median_duration == 70 * MINUTE
    assert found.time_to_best == 80 * MINUTE
    assert [each.number for each in found.best_curve] == [0, 1, 2]
    assert [each.finished_at - start for each in found.best_curve] == [1200, 4200, 4800]
    assert life.view().last_activity_at == start + 80 * MINUTE


def test_optuna_s_own_times_are_read_as_optuna_means_them(
    new_life: NewLife, clock: Clock, start: float
) -> None:
    """Optuna stores UTC; what it shows has no fold."""
    life = new_life()
    study = optuna_study(life)
    trial = study.ask({})
    for time in (start + 20 * MINUTE, start + 70 * MINUTE, start + 130 * MINUTE):
        written = datetime.fromtimestamp(time, UTC).replace(tzinfo=None)
        with sql(life.url) as connection:
            connection.execute("UPDATE trials SET datetime_start = ?", (str(written),))
        life.restart()
        assert times_of(life.trial(0))[0] == time
        theirs = study.trials[0].datetime_start
        assert theirs is not None
        assert theirs == life.trial(0).trial.datetime_start  # compared without the fold
    clock.wall = start + 140 * MINUTE
    study.tell(trial, 1.0)
    life.restart()
    assert life.trial(0).state == "complete"
    assert times_of(life.trial(0))[0] == start + 130 * MINUTE
