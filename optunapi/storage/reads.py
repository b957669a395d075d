"""What can be read from memory, as the engine and Optuna read it."""

import copy
from collections.abc import Container
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy  # what BaseStorage must return has no public name
from optuna.trial import FrozenTrial, TrialState

from optunapi.storage.memory.model import Memory


class Reads:
    """The reading half of a storage. Trials that are returned are shared, and must not be changed."""

    _memory: Memory

    def get_study_id_from_name(self, study_name: str) -> int:
        """The id of the study with this name."""
        with self._memory.lock:
            self._memory.check()
            if (study_id := self._memory.names.get(study_name)) is None:
                raise KeyError(f"No study named {study_name!r} exists.")
            return study_id

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """The direction of each objective."""
        with self._memory.lock:
            return list(self._memory.study(study_id).directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes that users set."""
        with self._memory.lock:
            return self._memory.study(study_id).attrs["user"]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes that Optuna and OptunAPI set."""
        with self._memory.lock:
            return self._memory.study(study_id).attrs["system"]

    def study_names(self) -> list[str]:
        """The names of all studies, also of those that cannot be read."""
        with self._memory.lock:
            self._memory.check()
            return list(self._memory.names)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Every study that can be read, by ascending id."""
        with self._memory.lock:
            self._memory.check()
            return [
                FrozenStudy(
                    study_name=study.name,
                    direction=None,
                    directions=study.directions,
                    user_attrs=copy.deepcopy(study.attrs["user"]),
                    system_attrs=copy.deepcopy(study.attrs["system"]),
                    study_id=study.id,
                )
                for _, study in sorted(self._memory.studies.items())
                if study.broken is None
            ]

    def reloads(self, study_id: int) -> int:
        """A number that rises when the study changed without us: drop what was derived from it."""
        with self._memory.lock:
            return self._memory.study(study_id).reloads

    def trial(self, study_id: int, number: int) -> FrozenTrial:
        """The trial with this number; KeyError if there is none."""
        with self._memory.lock:
            return self._memory.study(study_id).trial(number)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The trials in one of the states, by number; shared unless copied."""
        with self._memory.lock:
            trials = self._memory.study(study_id).trials_in(states)
        return copy.deepcopy(trials) if deepcopy else trials

    def trials_from(self, study_id: int, start_number: int, limit: int) -> list[FrozenTrial]:
        """At most `limit` trials from this number on."""
        with self._memory.lock:
            start = max(0, start_number)
            return self._memory.study(study_id).trials[start : start + max(0, limit)]

    def trials_by_value(
        self,
        study_id: int,
        *,
        descending: bool = False,
        after: FrozenTrial | None = None,
        limit: int = 100,
    ) -> list[FrozenTrial]:
        """At most `limit` complete trials by value, feasible or not, without those with NaN.

        `after` continues behind a trial. Of equal values the lower number comes first from best to worst,
        and last from worst to best. An index is used: nothing is sorted.

        Raises:
            RuntimeError: the study has several objectives.
        """
        with self._memory.lock:
            study = self._memory.study(study_id)
            return study.trials_by_value(descending=descending, after=after, limit=limit)

    def open_trials(self, study_id: int) -> list[FrozenTrial]:
        """The waiting and running trials, by number; not searched for."""
        with self._memory.lock:
            return self._memory.study(study_id).open_trials()

    def best_trials(self, study_id: int) -> list[FrozenTrial]:
        """The best feasible complete trial, if there is one; with several objectives the Pareto front.

        By number; not searched for. Of equal trials the first is the best.
        """
        with self._memory.lock:
            return self._memory.study(study_id).best_trials()

    def distribution(self, study_id: int, name: str) -> BaseDistribution | None:
        """The first one of this parameter. Those of all trials are compatible with it."""
        with self._memory.lock:
            return self._memory.study(study_id).distributions.get(name)

    def counts(self, study_id: int) -> dict[TrialState, int]:
        """How many trials are in each state; not counted each time."""
        with self._memory.lock:
            return dict(self._memory.study(study_id).counts)

    def n_trials(self, study_id: int) -> int:
        """How many trials there are: the next one's number."""
        with self._memory.lock:
            return len(self._memory.study(study_id).trials)

    def get_study_name_from_id(self, study_id: int) -> str:
        """The name of the study with this id."""
        with self._memory.lock:
            return self._memory.study(study_id).name

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """The trial with this id; a copy of an unfinished one, since Optuna's Trial writes into it."""
        with self._memory.lock:
            _, trial = self._memory.trial(trial_id)
        return trial if trial.state.is_finished() else copy.deepcopy(trial)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The best complete trial, feasible or not, and not one with NaN, as BaseStorage's can be."""
        descending = self.get_study_directions(study_id)[0] == StudyDirection.MAXIMIZE
        best = self.trials_by_value(study_id, descending=descending, limit=1)
        if not best:
            raise ValueError("No trials are completed yet.")
        return best[0]
