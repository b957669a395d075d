"""Optuna's enumerations, equal to Optuna's own members and to the words on the wire."""

from enum import IntEnum
from typing import Any, Self


class WireEnum(IntEnum):
    """A member is equal to Optuna's member of its number, and to its word on the wire."""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.word == other.lower()
        return int.__eq__(self, other) if isinstance(other, int) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other  # otherwise int's would be used

    __hash__ = (
        IntEnum.__hash__
    )  # the number's: a dict finds a member by its number, not by its word

    def __str__(self) -> str:
        return self.word

    @property
    def word(self) -> str:
        """The word on the wire."""
        return self.name.lower()

    @classmethod
    def of(cls, value: Any) -> Self:
        """The member for a word, a number or Optuna's member.

        Raises:
            ValueError: no member matches.
        """
        name = value if isinstance(value, str) else getattr(value, "name", None)
        try:
            return cls[name.upper()] if isinstance(name, str) else cls(value)
        except (KeyError, ValueError):
            words = ", ".join(each.word for each in cls)
            raise ValueError(f"{value!r} is none of {words}") from None


class TrialState(WireEnum):
    """The members of `optuna.trial.TrialState`."""

    RUNNING = 0
    COMPLETE = 1
    PRUNED = 2
    FAIL = 3
    WAITING = 4

    def is_finished(self) -> bool:
        """Whether the trial has its final state."""
        return self not in (TrialState.RUNNING, TrialState.WAITING)


class StudyDirection(WireEnum):
    """The members of `optuna.study.StudyDirection`."""

    NOT_SET = 0
    MINIMIZE = 1
    MAXIMIZE = 2
