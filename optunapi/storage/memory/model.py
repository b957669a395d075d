"""The read model of one database: studies and their trials, with counters and indexes kept up to date.

A trial is an immutable snapshot. A change replaces it with a changed copy, so readers share trials
without copying them. This module knows neither SQL nor commits, and takes no lock: its callers hold
`Memory.lock`.
"""

import threading
from bisect import bisect_left, insort
from collections.abc import Container, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.errors import StorageUnavailable
from optunapi.storage.errors import StorageClosed, copy_of
from optunapi.storage.memory.ranking import Ranking, feasible, losses

Attrs = dict[str, Any]
AttrKind = Literal["user", "system"]

_trial_id = attrgetter("_trial_id")


class Study:
    """One study. A trial's number is its index in `trials`."""

    def __init__(self, study_id: int, name: str, directions: Sequence[StudyDirection]) -> None:
        self.id = study_id
        self.name = name
        self.directions = list(directions)
        self.attrs: dict[AttrKind, Attrs] = {"user": {}, "system": {}}
        self.trials: list[FrozenTrial] = []
        self.open: list[int] = []  # numbers of the waiting and running trials, ascending
        self.counts = dict.fromkeys(TrialState, 0)
        self.distributions: dict[str, BaseDistribution] = {}  # the first one of each parameter
        self.broken: str | None = None  # names the row that cannot be read
        self.reloads = 0
        self._ranking = Ranking(self.directions)

    def trial(self, number: int) -> FrozenTrial:
        """The trial with this number; KeyError if there is none."""
        if not 0 <= number < len(self.trials):
            raise KeyError(f"No trial with number {number} exists in study {self.id}.")
        return self.trials[number]

    def open_trials(self) -> list[FrozenTrial]:
        """The waiting and running trials, by number."""
        return [self.trials[number] for number in self.open]

    def trials_in(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """The trials in one of the states (None: all), by number."""
        if states is None:
            return list(self.trials)
        if any(state in states for state in TrialState if state.is_finished()):
            return [trial for trial in self.trials if trial.state in states]
        return [trial for trial in self.open_trials() if trial.state in states]

    def best_trials(self) -> list[FrozenTrial]:
        """The best feasible trial, if there is one, or the Pareto front; by number."""
        return [self.trials[number] for number in self._ranking.best()]

    def trials_by_value(
        self, *, descending: bool, after: FrozenTrial | None, limit: int
    ) -> list[FrozenTrial]:
        """See `WriteThroughStorage.trials_by_value`."""
        if len(self.directions) > 1:
            raise RuntimeError("Trials can be ordered by value only with a single objective.")
        start = None
        if after is not None and (loss := losses(after, self.directions)) is not None:
            start = (loss[0], after.number)
        numbers = self._ranking.by_value(descending=descending, after=start, limit=limit)
        return [self.trials[number] for number in numbers]

    def load(self, trials: Iterable[FrozenTrial]) -> None:
        """Add all trials of a study that has none, by number."""
        self.trials.extend(trials)
        ranked = []
        latest = None
        for trial in self.trials:
            self.counts[trial.state] += 1
            if (loss := losses(trial, self.directions)) is not None:
                ranked.append((trial.number, loss, feasible(trial)))
            elif not trial.state.is_finished():
                self.open.append(trial.number)
            if trial.distributions is not latest:  # most trials share one dict
                self.add_distributions(trial.distributions)
                latest = trial.distributions
        self._ranking.add(ranked)

    def append(self, trial: FrozenTrial) -> None:
        """Add the next trial."""
        self.trials.append(trial)
        self._index(trial)

    def pop(self) -> FrozenTrial:
        """Remove the last trial."""
        trial = self.trials.pop()
        self._unindex(trial)
        return trial

    def replace(self, trial: FrozenTrial) -> None:
        """Put a trial in the place of the one with its number."""
        old = self.trials[trial.number]
        self.trials[trial.number] = trial
        if old.state == trial.state and not trial.state.is_finished():
            return
        self._unindex(old)
        self._index(trial)

    def add_distributions(self, distributions: Mapping[str, BaseDistribution]) -> list[str]:
        """Keep the distributions of parameters that the study did not have; return their names."""
        known = self.distributions
        if distributions.keys() <= known.keys():
            return []
        new = [name for name in distributions if name not in known]
        for name in new:
            known[name] = distributions[name]
        return new

    def _index(self, trial: FrozenTrial) -> None:
        self.counts[trial.state] += 1
        if not trial.state.is_finished():
            insort(self.open, trial.number)
        elif (loss := losses(trial, self.directions)) is not None:
            self._ranking.add([(trial.number, loss, feasible(trial))])

    def _unindex(self, trial: FrozenTrial) -> None:
        self.counts[trial.state] -= 1
        if not trial.state.is_finished():
            del self.open[bisect_left(self.open, trial.number)]
        elif (loss := losses(trial, self.directions)) is not None:
            self._ranking.remove(trial.number, loss)


class Memory:
    """All studies of one database, and the ids that the next study and trial get.

    `lock` is held for every read and for the whole of a unit. While `refusal` is set, the content of the
    database is not known, and every read raises it. It is set and cleared only with the lock held, so a
    unit that has checked it once need not do so again.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.refusal: StorageUnavailable | None = None
        self.studies: dict[int, Study] = {}
        self.names: dict[str, int] = {}
        self.next_study_id = 1
        self.next_trial_id = 1
        self._study_of: dict[int, Study] = {}  # by trial id
        self._n_reloads = 0

    def refuse(self, refusal: StorageUnavailable | None) -> None:
        """Refuse every read from now on, or with None allow them; a closed memory stays closed."""
        if not isinstance(self.refusal, StorageClosed):
            self.refusal = refusal

    def check(self) -> None:
        """Raise StorageUnavailable if the content of the database is not known, or it is closed."""
        if self.refusal is not None:
            raise copy_of(self.refusal)

    def study(self, study_id: int) -> Study:
        """The study with this id.

        Raises:
            KeyError: there is none.
            StorageUnavailable: it has a row that cannot be read, or `check` raises it.
        """
        study = self.studies.get(study_id)
        if self.refusal is None and study is not None and study.broken is None:
            return study
        self.check()
        if study is None:
            raise KeyError(f"No study with study_id {study_id} exists.")
        raise StorageUnavailable(
            f"a row of this study cannot be read: {study.broken}", retry_after=60
        )

    def trial(self, trial_id: int) -> tuple[Study, FrozenTrial]:
        """The trial with this id and its study; raises what `study` does."""
        self.check()
        study, trial = self.locate(trial_id)
        return self.study(study.id), trial

    def has(self, trial_id: int) -> bool:
        """Whether there is a trial with this id."""
        return trial_id in self._study_of

    def locate(self, trial_id: int) -> tuple[Study, FrozenTrial]:
        """The trial with this id and its study, readable or not; KeyError if there is none."""
        study = self._study_of.get(trial_id)
        if study is None:
            raise KeyError(f"No trial with trial_id {trial_id} exists.")
        # Ids ascend with numbers within a study.
        return study, study.trials[bisect_left(study.trials, trial_id, key=_trial_id)]

    def add_study(self, study: Study) -> None:
        """Add a study with the trials it has."""
        self.studies[study.id] = study
        self.names[study.name] = study.id
        self.next_study_id = max(self.next_study_id, study.id + 1)
        for trial in study.trials:
            self._study_of[trial._trial_id] = study
        if study.trials:
            self.next_trial_id = max(self.next_trial_id, study.trials[-1]._trial_id + 1)

    def remove_study(self, study: Study) -> None:
        """Remove a study and its trials."""
        del self.studies[study.id]
        if self.names.get(study.name) == study.id:
            del self.names[study.name]
        for trial in study.trials:
            del self._study_of[trial._trial_id]

    def append(self, study: Study, trial: FrozenTrial) -> None:
        """Add a study's next trial."""
        study.append(trial)
        self._study_of[trial._trial_id] = study
        self.next_trial_id = max(self.next_trial_id, trial._trial_id + 1)

    def pop(self, study: Study) -> None:
        """Remove a study's last trial."""
        del self._study_of[study.pop()._trial_id]

    def mark_reloaded(self, study: Study) -> None:
        """Raise the study's `reloads`, which never repeats, not even if all is read again."""
        self._n_reloads += 1
        study.reloads = self._n_reloads

    def reset(self, studies: Iterable[Study], highest_trial_id: int) -> None:
        """Hold these studies instead, after everything was read again."""
        self.next_trial_id = max(self.next_trial_id, highest_trial_id + 1)
        self.studies, self.names, self._study_of = {}, {}, {}
        for study in studies:
            self.add_study(study)
            self.mark_reloaded(study)
