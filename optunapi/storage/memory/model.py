"""The read model of one database: its studies and trials, with counters and indexes kept up.

A trial is an immutable snapshot: a change replaces it by a changed copy, so readers share trials
without copying them. Nothing here knows of SQL, of commits or of locks: who calls holds `Memory.lock`.
"""

import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.errors import StorageUnavailable
from optunapi.storage.errors import CLOSED, StorageClosed
from optunapi.storage.memory.ranking import Standings, feasible, losses


class Study:
    """One study: a trial's number is its place in `trials`."""

    def __init__(
        self,
        study_id: int,
        name: str,
        directions: Sequence[StudyDirection],
        user_attrs: dict[str, Any] | None = None,
        system_attrs: dict[str, Any] | None = None,
    ) -> None:
        self.id = study_id
        self.name = name
        self.directions = list(directions)
        self.user_attrs = user_attrs or {}
        self.system_attrs = system_attrs or {}
        self.trials: list[FrozenTrial] = []
        self.open: list[int] = []  # numbers of the waiting and the running, ascending
        self.counts = dict.fromkeys(TrialState, 0)
        self.standings = Standings(self.directions)
        self.distributions: dict[str, BaseDistribution] = {}  # the first seen of each parameter
        self.broken: str | None = None  # the row that cannot be read
        self.version = 0
        self.reloads = 0

    def fill(self, trials: Iterable[FrozenTrial]) -> None:
        """Take many trials at once, in the order of their numbers."""
        self.trials.extend(trials)
        ranked = []
        latest = None
        for trial in self.trials:
            self.counts[trial.state] += 1
            if (loss := losses(trial, self.directions)) is not None:
                ranked.append((trial.number, loss, feasible(trial)))
            elif not trial.state.is_finished():
                self.open.append(trial.number)
            if trial.distributions is not latest:  # the same dict for most
                self.learn(trial)
                latest = trial.distributions
        self.standings.fill(ranked)

    def append(self, trial: FrozenTrial) -> None:
        """Take the next trial."""
        self.trials.append(trial)
        self._count(trial)

    def pop(self) -> FrozenTrial:
        """Take the last trial back."""
        trial = self.trials.pop()
        self._discount(trial)
        return trial

    def replace(self, trial: FrozenTrial) -> None:
        """Put a trial in the place of the one with its number."""
        old = self.trials[trial.number]
        self.trials[trial.number] = trial
        if old.state == trial.state and not trial.state.is_finished():
            return
        self._discount(old)
        self._count(trial)

    def learn(self, trial: FrozenTrial) -> list[str]:
        """Remember the distributions of parameters not seen before; return their names."""
        known = self.distributions
        if trial.distributions.keys() <= known.keys():
            return []
        new = [name for name in trial.distributions if name not in known]
        for name in new:
            known[name] = trial.distributions[name]
        return new

    def _count(self, trial: FrozenTrial) -> None:
        self.counts[trial.state] += 1
        if not trial.state.is_finished():
            insort(self.open, trial.number)
        elif (loss := losses(trial, self.directions)) is not None:
            self.standings.add(trial.number, loss, is_feasible=feasible(trial))

    def _discount(self, trial: FrozenTrial) -> None:
        self.counts[trial.state] -= 1
        if not trial.state.is_finished():
            del self.open[bisect_left(self.open, trial.number)]
        elif (loss := losses(trial, self.directions)) is not None:
            self.standings.remove(trial.number, loss)


class Memory:
    """All studies of one database, and the ids the next ones get.

    `lock` is held for every look and for the whole of a unit. While `refusal` is set nobody knows
    what the database holds, and every look raises it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.refusal: StorageUnavailable | None = None
        self.closed = False
        self.studies: dict[int, Study] = {}
        self.names: dict[str, int] = {}
        self.next_study_id = 1
        self.next_trial_id = 1
        self._owners: dict[int, Study] = {}
        self._clock = 0

    def check(self) -> None:
        """Raise StorageUnavailable while the database's content is unknown, or after the end."""
        if self.closed:
            raise StorageClosed(CLOSED)
        if (refusal := self.refusal) is not None:
            raise type(refusal)(refusal.detail, retry_after=refusal.retry_after)

    def study(self, study_id: int) -> Study:
        """The study with this id.

        Raises:
            KeyError: there is none.
            StorageUnavailable: it has a row that cannot be read.
        """
        self.check()
        study = self.studies.get(study_id)
        if study is None:
            raise KeyError(f"No study with study_id {study_id} exists.")
        if study.broken is not None:
            raise StorageUnavailable(
                f"a row of this study cannot be read: {study.broken}", retry_after=60
            )
        return study

    def has(self, trial_id: int) -> bool:
        """Whether there is a trial with this id."""
        return trial_id in self._owners

    def locate(self, trial_id: int) -> tuple[Study, FrozenTrial]:
        """The trial with this id and its study; KeyError if there is none."""
        study = self._owners.get(trial_id)
        if study is None:
            raise KeyError(f"No trial with trial_id {trial_id} exists.")
        return study, study.trials[_place(study.trials, trial_id)]

    def add_study(self, study: Study) -> None:
        """Take a study with the trials it has."""
        self.studies[study.id] = study
        self.names[study.name] = study.id
        self.next_study_id = max(self.next_study_id, study.id + 1)
        for trial in study.trials:
            self._owners[trial._trial_id] = study
        if study.trials:
            self.next_trial_id = max(self.next_trial_id, study.trials[-1]._trial_id + 1)
        self.touch(study)

    def remove_study(self, study: Study) -> None:
        """Forget a study and its trials."""
        del self.studies[study.id]
        if self.names.get(study.name) == study.id:
            del self.names[study.name]
        for trial in study.trials:
            del self._owners[trial._trial_id]
        self.touch(study)

    def append(self, study: Study, trial: FrozenTrial) -> None:
        """Take a study's next trial."""
        study.append(trial)
        self._owners[trial._trial_id] = study
        self.next_trial_id = max(self.next_trial_id, trial._trial_id + 1)
        self.touch(study)

    def pop(self, study: Study) -> None:
        """Take a study's last trial back."""
        del self._owners[study.pop()._trial_id]
        self.touch(study)

    def replace(self, study: Study, trial: FrozenTrial) -> None:
        """Put a trial in the place of the one with its number."""
        study.replace(trial)
        self.touch(study)

    def touch(self, study: Study) -> None:
        """Raise the study's version; versions never repeat, not even over a reload."""
        self._clock += 1
        study.version = self._clock

    def reloaded(self, study: Study) -> None:
        """Tell who derived something from the study to drop it."""
        self.touch(study)
        study.reloads = study.version

    def reset(self, studies: Iterable[Study], highest_trial_id: int) -> None:
        """Hold these studies instead, after all was read again."""
        self.next_trial_id = max(self.next_trial_id, highest_trial_id + 1)
        self.studies, self.names, self._owners = {}, {}, {}
        for study in studies:
            self.add_study(study)
            self.reloaded(study)


def _place(trials: list[FrozenTrial], trial_id: int) -> int:
    """A trial's number by its id: both ascend together within a study."""
    return bisect_left(trials, trial_id, key=_trial_id)


def _trial_id(trial: FrozenTrial) -> int:
    return trial._trial_id
