"""Optuna's objects ↔ what Optuna's tables hold for them.

The encodings are those of Optuna 5.0:

- A state or direction is its name.
- A parameter is a float, its distribution's internal representation.
- An infinite objective or intermediate value is null, with a type beside it.
- An attribute is JSON as Python writes it, with NaN and Infinity.
- A time is in UTC, where a FrozenTrial has local time: see `local_times`.
"""

import copy
import json
import math
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.local_times import local_time, utc_time
from optunapi.steps import high_to_write, last_step

STATES: Mapping[str, TrialState] = {state.name: state for state in TrialState}
DIRECTIONS: Mapping[str, StudyDirection] = {d.name: d for d in StudyDirection}

_SCALARS = {str, int, float, bool, type(None)}
_EXACT_INT = 2**53  # beyond it, the column, a double, loses digits
_KEPT_DISTRIBUTIONS = 4096
_NO_TIME, _QUARTER = timedelta(), timedelta(minutes=15)


def encode_float(value: float) -> tuple[float | None, str]:
    """A value or intermediate value as (column, name of its type)."""
    if math.isfinite(value):
        return value, "FINITE"
    if math.isnan(value):
        return None, "NAN"
    return None, "INF_POS" if value > 0 else "INF_NEG"


def decode_float(value: float | None, kind: str) -> float:
    """The inverse of `encode_float`."""
    if kind == "FINITE":
        # SQLite stores NaN as null. Optuna writes an objective of NaN so, although it cannot read it.
        return math.nan if value is None else float(value)
    return _NOT_FINITE[kind]


_NOT_FINITE: Mapping[str, float] = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


def to_utc(time: datetime | None) -> datetime | None:
    """A FrozenTrial's naive local time as naive UTC."""
    return None if time is None else utc_time(time).replace(tzinfo=None)


def to_local(time: datetime | None) -> datetime | None:
    """The inverse of `to_utc`."""
    return None if time is None else local_time(time.replace(tzinfo=UTC))


class LocalTimes:
    """`to_local` for very many times, most of them close to the one before: it remembers offsets."""

    def __init__(self) -> None:
        self._offsets: dict[
            datetime, tuple[timedelta, int]
        ] = {}  # and the fold, by quarter of an hour
        self._quarter, self._offset, self._fold = datetime.max, timedelta(), 0  # the latest one

    def of(self, time: datetime | None) -> datetime | None:
        """The local time of a naive UTC time."""
        if time is None:
            return None
        if not _NO_TIME <= time - self._quarter < _QUARTER:
            self._find_offset(time)
        local = time + self._offset
        return local.replace(fold=1) if self._fold else local

    def _find_offset(self, time: datetime) -> None:
        minute = time.minute - time.minute % 15  # clocks change at quarters of an hour
        quarter = time.replace(minute=minute, second=0, microsecond=0)
        if quarter not in self._offsets:
            local = local_time(quarter.replace(tzinfo=UTC))
            self._offsets[quarter] = local - quarter, local.fold
        self._quarter, (self._offset, self._fold) = quarter, self._offsets[quarter]


def normal_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as the database returns them, sharing nothing mutable with the caller's.

    Raises:
        TypeError, ValueError: a value is not JSON.
    """
    return {
        text(key): value if type(value) in _SCALARS else _copied(value)
        for key, value in attrs.items()
    }


def _copied(value: Any) -> Any:
    """A value as JSON returns it. Most are flat, and need not be encoded for that."""
    has_names = type(value) is dict and {*map(type, value)} <= {str}
    if has_names and {*map(type, value.values())} <= _SCALARS:
        return dict(value)
    return json.loads(json.dumps(value))


def text(name: str) -> str:
    """A name that a column can hold, interned.

    Raises:
        TypeError, ValueError: it is not text, or has half a surrogate pair.
    """
    if not isinstance(name, str):
        raise TypeError(f"a name must be text, not {type(name).__name__}")
    if not name.isascii():
        name.encode()
    return sys.intern(str(name))


def same_attrs(one: Any, other: Any) -> bool:
    """Whether two attributes are stored alike. NaN is equal to NaN."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def same_trial(one: FrozenTrial, other: FrozenTrial) -> bool:
    """Whether two trials are stored alike. NaN is equal to NaN."""
    return _comparable(one) == _comparable(other)


def _comparable(trial: FrozenTrial) -> tuple[Any, ...]:
    return (
        (trial.number, trial.state, trial.datetime_start, trial.datetime_complete),
        (trial.params, trial.distributions),
        repr(trial.values or []),
        repr(sorted(trial.intermediate_values.items())),
        json.dumps([trial.user_attrs, trial.system_attrs], sort_keys=True),
    )


def internal_value(distribution: BaseDistribution, value: Any) -> float:
    """A parameter's value as the database holds it."""
    if isinstance(distribution, CategoricalDistribution):
        # Optuna would take the first choice that compares equal, and 1 == 1.0 == True.
        for index, choice in enumerate(distribution.choices):
            if choice is value or (type(choice) is type(value) and choice == value):
                return index
    return float(distribution.to_internal_repr(value))


def normal_value(distribution: BaseDistribution, value: Any) -> Any:
    """A parameter's value as the database returns it.

    Raises:
        ValueError: it is not one of the choices, or it is NaN, which Optuna's schema cannot hold.
    """
    if type(value) is float and type(distribution) is FloatDistribution and value == value:
        return value + 0.0  # a zero loses its sign in SQLite
    if (
        type(value) is int
        and type(distribution) is IntDistribution
        and -_EXACT_INT <= value <= _EXACT_INT
    ):
        return value
    internal = internal_value(distribution, value)
    if math.isnan(internal):
        raise ValueError("a parameter cannot be NaN")
    return distribution.to_external_repr(internal)


def _to_json(distribution: BaseDistribution) -> str:
    if type(distribution) is FloatDistribution and distribution.step is not None:
        low, high, step = distribution.low, distribution.high, distribution.step
        # Optuna rounds `high` again when it reads it.
        distribution = copy.copy(distribution)
        distribution.high = high_to_write(low, high, step)
    return distribution_to_json(distribution)


def _from_json(written: str) -> BaseDistribution:
    document = json.loads(written)
    attributes = document.get("attributes", document)
    if document.get("name") != "FloatDistribution" or attributes.get("step") is None:
        return json_to_distribution(written)
    # As Optuna reads it, but without its warning, which is for who wrote the range.
    low, step = attributes["low"], attributes["step"]
    found = FloatDistribution(low, low, step=step)
    found.high = last_step(low, attributes["high"], step)
    return found


class Shape:
    """The distributions of a trial's parameters, shared by all trials with equal ones.

    Shapes form a tree: adding a parameter to a shape returns another shape, each time the same one.
    `newest` is the parameter that was added last, and `decode` turns the stored float into its value.
    `usual` is the latest addition, most likely the next one too: name, distribution as JSON, and shape.
    """

    def __init__(self, distributions: dict[str, BaseDistribution], newest: str = "") -> None:
        self.distributions = distributions
        self.newest = newest
        self.decode: Callable[[float], Any] = float
        if distributions and type(distributions[newest]) is not FloatDistribution:
            self.decode = distributions[newest].to_external_repr
        self.additions: dict[tuple[str, str], Shape] = {}
        self.usual: tuple[str | None, str | None, Shape] = (None, None, self)


class Distributions:
    """The distributions of one database: one object for all equal ones, and one dict for equal dicts.

    Several threads may use it: at worst an object is created twice.
    """

    def __init__(self) -> None:
        self.empty = Shape({})
        self._by_json: dict[str, BaseDistribution] = {}
        self._json_by_id: dict[int, tuple[BaseDistribution, str]] = {}
        self._shared_by_id: dict[
            int, tuple[Mapping[str, BaseDistribution], dict[str, BaseDistribution]]
        ] = {}

    def decode(self, written: str) -> BaseDistribution:
        """The distribution with this JSON."""
        distribution = self._by_json.get(written)
        if distribution is None:
            distribution = self._by_json.setdefault(written, _from_json(written))
            self._json_by_id[id(distribution)] = (distribution, written)
        return distribution

    def encode(self, distribution: BaseDistribution) -> str:
        """The distribution as JSON."""
        held = self._json_by_id.get(id(distribution))
        if held is not None:
            return held[1]
        written = _to_json(distribution)
        if len(self._json_by_id) > _KEPT_DISTRIBUTIONS:
            self._json_by_id = {}
        # Holding the object keeps its id from being given to another.
        self._json_by_id[id(distribution)] = (distribution, written)
        return written

    def add(self, shape: Shape, name: str, written: str) -> Shape:
        """The shape with one more parameter, or with another distribution for one it has."""
        found = shape.additions.get((name, written))
        if found is None:
            name = text(name)
            found = shape.additions.setdefault(
                (name, written), Shape({**shape.distributions, name: self.decode(written)}, name)
            )
        shape.usual = (name, written, found)
        return found

    def shared(self, distributions: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
        """The shared dict equal to this one, in the same order; a read-only one is found by its id."""
        held = self._shared_by_id.get(id(distributions))
        if held is not None:
            return held[1]
        shape = self.empty
        for name, distribution in distributions.items():
            shape = self.add(shape, name, self.encode(distribution))
        if isinstance(distributions, MappingProxyType):
            if len(self._shared_by_id) > _KEPT_DISTRIBUTIONS:
                self._shared_by_id = {}
            self._shared_by_id[id(distributions)] = (distributions, shape.distributions)
        return shape.distributions
