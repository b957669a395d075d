"""Optuna's enumerations, by name and number, where there is no Optuna."""

from enum import IntEnum
from typing import Any, Self


class Word(IntEnum):
    """Equal to Optuna's member of this number, and to the word that the wire has for it."""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.word == other.lower()
        return int.__eq__(self, other) if isinstance(other, int) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other  # or it would be int's

    __hash__ = IntEnum.__hash__  # of the number: look it up by that, not by its word

    def __str__(self) -> str:
        return self.word

    @property
    def word(self) -> str:
        """What the wire calls it."""
        return self.name.lower()

    @classmethod
    def of(cls, value: Any) -> Self:
        """The member that a word, a number or Optuna's member stands for.

        Raises:
            ValueError: there is none.
        """
        name = value if isinstance(value, str) else getattr(value, "name", None)
        try:
            return cls[name.upper()] if isinstance(name, str) else cls(value)
        except (KeyError, ValueError):
            words = ", ".join(each.word for each in cls)
            raise ValueError(f"{value!r} is none of {words}") from None


class TrialState(Word):
    """What `optuna.trial.TrialState` has."""

    RUNNING = 0
    COMPLETE = 1
    PRUNED = 2
    FAIL = 3
    WAITING = 4

    def is_finished(self) -> bool:
        """Whether the trial will not change any more."""
        return self not in (TrialState.RUNNING, TrialState.WAITING)


class StudyDirection(Word):
    """What `optuna.study.StudyDirection` has."""

    NOT_SET = 0
    MINIMIZE = 1
    MAXIMIZE = 2
