"""Optuna's times: local and without a zone. Where the clock is set back, `fold` says which of two is meant.

So two of them are never subtracted or sorted as they are: the difference is wrong by an hour if the
clock was changed between them.
"""

from datetime import UTC, datetime, timedelta


def local_time(moment: datetime) -> datetime:
    """A time with a zone as Optuna has it."""
    local = moment.astimezone().replace(tzinfo=None)
    # Without a fold it is the first of two. No other time that exists is read as another one.
    return local if local.astimezone(UTC) == moment else local.replace(fold=1)


def utc_time(local: datetime) -> datetime:
    """The inverse of `local_time`, in UTC."""
    return local.astimezone(UTC)


def time_between(start: datetime, complete: datetime) -> timedelta:
    """How long a trial took by its two local times; 0 if the clock was set back to before its start."""
    return max(timedelta(), utc_time(complete) - utc_time(start))
