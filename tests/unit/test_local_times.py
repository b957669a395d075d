"""A time that is stored in UTC, and local in Optuna's trials, is the same time on both sides."""

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest

from optunapi.client.optuna_types.frozen import FrozenTrial, time_of
from optunapi.client.optuna_types.states import TrialState
from optunapi.local_times import local_time, time_between, utc_time
from optunapi.storage.encoding import LocalTimes, to_local, to_utc
from tests.support import SOAK, in_zone

# Clocks that change by an hour, by half an hour, whose summer time is the usual one, and never.
ZONES = ["America/New_York", "Australia/Lord_Howe", "Europe/Dublin", "Asia/Kathmandu"]
YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def changes(zone: str, years: int) -> list[datetime]:
    """When the clocks of the zone are set forward and back."""
    there, hour = zoneinfo.ZoneInfo(zone), timedelta(hours=1)
    hours = [YEAR + n * hour for n in range(years * 366 * 24)]
    offsets = [each.astimezone(there).utcoffset() for each in hours]
    pairs = zip(hours[1:], offsets, offsets[1:], strict=False)
    return [hour for hour, before, after in pairs if before != after]


@pytest.mark.parametrize("zone", sorted(zoneinfo.available_timezones()) if SOAK else ZONES)
def test_every_time_is_read_as_it_was_written(zone: str) -> None:
    with in_zone(zone):
        many = LocalTimes()
        for change in changes(zone, 3 if SOAK else 1):
            for minute in range(-200, 200, 7):
                moment = change + timedelta(minutes=minute, microseconds=minute % 3)
                local, stored = local_time(moment), moment.replace(tzinfo=None)
                assert utc_time(local) == moment
                assert local.timestamp() == moment.timestamp()
                assert datetime.fromtimestamp(moment.timestamp()).fold == local.fold
                assert to_local(stored) == many.of(stored) == local
                assert to_utc(many.of(stored)) == to_utc(to_local(stored)) == stored


def test_the_hour_that_comes_twice_takes_two_hours() -> None:
    with in_zone("America/New_York"):
        start = local_time(datetime(2026, 11, 1, 5, 30, tzinfo=UTC))
        complete = local_time(datetime(2026, 11, 1, 6, 30, tzinfo=UTC))
        assert (start.hour, complete.hour, start.fold, complete.fold) == (1, 1, 0, 1)
        assert time_between(start, complete) == timedelta(hours=1)
        assert time_between(complete, start) == timedelta()


def test_the_client_s_trials_have_optuna_s_times() -> None:
    with in_zone("America/New_York"):
        start, complete = time_of("2026-11-01T05:30:00.250Z"), time_of("2026-11-01T06:30:00.250Z")
        assert start == complete == datetime(2026, 11, 1, 1, 30, 0, 250_000)
        trial = FrozenTrial(
            study=None,
            number=0,
            state=TrialState.COMPLETE,
            params={},
            datetime_start=start,
            datetime_complete=complete,
        )
        assert trial.duration == timedelta(hours=1)
    assert time_of(None) is None
