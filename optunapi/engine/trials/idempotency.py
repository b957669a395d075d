"""Idempotency keys: a request that comes again gets what it got before."""

from collections import defaultdict
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from optunapi.engine.records import TrialRecord
from optunapi.engine.state.state import StudyState
from optunapi.errors import KeyReused, LeaseLost


def trials_of_key(state: StudyState, key: str | None, digest: str) -> list[FrozenTrial]:
    """The trials that this key made or took before, in the order it got them; none if it is new.

    Raises:
        KeyReused: it came with another request.
        LeaseLost: a trial that it took was handed on since.
    """
    found: dict[int, FrozenTrial] = {}
    for use in () if key is None else state.tally.keys.get(key, {}).values():
        if use.request != digest:
            raise KeyReused("this idempotency key came before with another request: use a new one")
        trial = state.trial(use.number)
        if use.attempt is not None and use.attempt != TrialRecord.of(trial).attempt:
            raise LeaseLost(
                f"trial {trial.number}, which this key got before, was handed on: ask with a new key"
            )
        found.update(dict.fromkeys(use.places, trial))
    return [found[place] for place in sorted(found)]


def remember(
    state: StudyState, trials: Sequence[FrozenTrial], key: str, digest: str
) -> list[FrozenTrial]:
    """The trials, which take no attempt, each with the key that led to it."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, trial in enumerate(trials):
        places[trial.number].append(place)
    for number, mine in places.items():
        trial = state.trial(number)
        record = TrialRecord.of(trial)
        state.update(trial, record.with_(keys={**record.keys, key: (None, digest, *mine)}))
    return [state.trial(trial.number) for trial in trials]
