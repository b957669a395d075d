"""Idempotency keys: a repeated request gets the trials that it got before."""

from collections import defaultdict
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from optunapi.engine.records import TrialRecord
from optunapi.engine.state.state import StudyState
from optunapi.errors import KeyReused, LeaseLost


def trials_of_key(state: StudyState, key: str | None, digest: str) -> list[FrozenTrial]:
    """The trials that a request with this key got before, in the order of its reply; none if it is new.

    Raises:
        KeyReused: the key came with another request.
        LeaseLost: a trial that the request got was handed on since.
    """
    uses = state.derived.tally.keys.get(key) if key is not None else None
    if not uses:
        return []
    found: dict[int, FrozenTrial] = {}
    for use in uses.values():
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
    state: StudyState, trials: Sequence[FrozenTrial], key: str | None, digest: str
) -> list[FrozenTrial]:
    """Store the key, if there is one, with the trials that its request got without an attempt."""
    if key is None:
        return list(trials)
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, trial in enumerate(trials):
        places[trial.number].append(place)
    for number, mine in places.items():
        trial = state.trial(number)
        record = TrialRecord.of(trial)
        state.update(trial, record.with_(keys={**record.keys, key: (None, digest, *mine)}))
    return [state.trial(trial.number) for trial in trials]
