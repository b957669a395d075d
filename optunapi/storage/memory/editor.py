"""Every change of memory, recorded in a unit's `Changes` so that it can be undone or written."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optunapi.storage.encoding import Distributions, normal_attrs, text
from optunapi.storage.memory.changes import AttrsBefore, Changes
from optunapi.storage.memory.model import AttrKind, Memory, Study
from optunapi.storage.memory.trials import TrialChanges, changed_trial, new_trial

# The system attributes that may still be set on a finished trial: our own records, and its files.
LATE_PREFIXES = ("optunapi:", "artifacts:")


class Editor:
    """Changes one database's memory. Raises before anything has changed, or not at all."""

    def __init__(self, memory: Memory, distributions: Distributions) -> None:
        self._memory = memory
        self._distributions = distributions

    def create_study(
        self, changes: Changes, directions: Sequence[StudyDirection], name: str
    ) -> int:
        """A new study's id; DuplicatedStudyError if the name is taken."""
        if (name := text(name)) in self._memory.names:
            raise DuplicatedStudyError(f"There is already a study named {name!r}.")
        study = Study(self._memory.next_study_id, name, directions)
        changes.created[study.id] = study
        self._memory.add_study(study)
        return study.id

    def delete_study(self, changes: Changes, study_id: int) -> None:
        """Delete a study and its trials, readable or not; KeyError if there is none."""
        study = self._memory.studies.get(study_id) or self._memory.study(study_id)
        changes.deleted[study.id] = study
        self._memory.remove_study(study)

    def set_study_attr(
        self, changes: Changes, study_id: int, kind: AttrKind, key: str, value: Any
    ) -> None:
        """Set one attribute of a study."""
        study = self._memory.study(study_id)
        new = normal_attrs({key: value})
        first = AttrsBefore(study=study, before=study.attrs[kind])
        changes.attrs.setdefault((study_id, kind), first).keys |= new.keys()
        study.attrs[kind] = study.attrs[kind] | new

    def add_trial(self, changes: Changes, study_id: int, template: FrozenTrial) -> FrozenTrial:
        """See `WriteThroughStorage.add_trial`."""
        memory = self._memory
        study = memory.study(study_id)
        trial = new_trial(template, len(study.trials), memory.next_trial_id, self._distributions)
        self._add_distributions(changes, study, trial.distributions)
        changes.trials[trial._trial_id] = (study, None)
        memory.append(study, trial)
        return trial

    def update_trial(self, changes: Changes, trial_id: int, new: TrialChanges) -> FrozenTrial:
        """See `WriteThroughStorage.update_trial`."""
        study, trial = self._memory.trial(trial_id)
        if trial.state.is_finished() and not _is_late(new):
            raise UpdateFinishedTrialError(
                f"Trial#{trial.number} has already finished and can not be updated."
            )
        changed = changed_trial(trial, self._distributions, new)
        if changed.distributions is not trial.distributions:
            self._add_distributions(changes, study, changed.distributions)
        changes.trials.setdefault(trial_id, (study, trial))
        study.replace(changed)
        return changed

    def _add_distributions(
        self, changes: Changes, study: Study, distributions: Mapping[str, BaseDistribution]
    ) -> None:
        known = study.distributions
        for name, distribution in distributions.items():
            if name in known and known[name] is not distribution:
                check_distribution_compatibility(known[name], distribution)
        changes.new_parameters += [(study, name) for name in study.add_distributions(distributions)]


def _is_late(new: TrialChanges) -> bool:
    """Whether a finished trial may be changed so."""
    keys = [*new.get("system_attrs", ()), *new.get("drop_system_attrs", ())]
    others = new.keys() - {"user_attrs", "system_attrs", "drop_system_attrs"}
    return bool(new) and not others and all(key.startswith(LATE_PREFIXES) for key in keys)
