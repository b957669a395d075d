"""What memory was before changes that are not committed yet: enough to undo them, or to write them."""

from dataclasses import dataclass, field
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optunapi.storage.memory.model import Memory, Study

Attrs = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Written:
    """The difference changes make, as the database must be told: before and after, per trial."""

    deleted: list[int]
    created: list[tuple[int, str, list[StudyDirection]]]
    study_attrs: dict[str, list[tuple[int, str, Any]]]  # by table: study, key, value
    trials: list[tuple[int, FrozenTrial | None, FrozenTrial]]


@dataclass(kw_only=True)
class AttrsBefore:
    """A study's attributes before, and the keys set since."""

    study: Study
    user: Attrs
    system: Attrs
    user_keys: set[str] = field(default_factory=set)
    system_keys: set[str] = field(default_factory=set)


class Changes:
    """The first `before` of everything touched; memory itself is the `after`.

    Several changes of one trial are therefore one, and units that go to the database together are
    `merge`d into one. None stands for what was not there.
    """

    def __init__(self) -> None:
        self.trials: dict[int, tuple[Study, FrozenTrial | None]] = {}
        self.attrs: dict[int, AttrsBefore] = {}
        self.created: dict[int, Study] = {}
        self.deleted: dict[int, Study] = {}
        self.learned: list[tuple[Study, str]] = []

    def __bool__(self) -> bool:
        return bool(self.trials or self.attrs or self.created or self.deleted)

    def merge(self, later: "Changes") -> None:
        """Add changes that were made after these."""
        self.trials = later.trials | self.trials
        for study_id, attrs in later.attrs.items():
            mine = self.attrs.setdefault(study_id, attrs)
            mine.user_keys |= attrs.user_keys
            mine.system_keys |= attrs.system_keys
        self.created |= later.created
        self.deleted |= later.deleted
        self.learned += later.learned

    def undo(self, memory: Memory) -> set[Study]:
        """Put memory back as it was before them; return the studies concerned."""
        for study in self.created.values():
            if study.id in memory.studies:
                memory.remove_study(study)
        for study in self.deleted.values():
            if study.id not in self.created:
                memory.add_study(study)
        for trial_id in sorted(self.trials, reverse=True):
            study, before = self.trials[trial_id]
            if study.id in self.created:
                continue
            if before is not None:
                memory.replace(study, before)
            else:  # the study's last one now, since ids descend
                memory.pop(study)
        for attrs in self.attrs.values():
            attrs.study.user_attrs, attrs.study.system_attrs = attrs.user, attrs.system
            memory.touch(attrs.study)
        for study, name in self.learned:
            study.distributions.pop(name, None)
        return self.studies()

    def studies(self) -> set[Study]:
        """Every study touched."""
        touched = {study for study, _ in self.trials.values()}
        touched |= {attrs.study for attrs in self.attrs.values()}
        return touched | {*self.created.values(), *self.deleted.values()}

    def committed_trials(self, study: Study) -> int:
        """How many of the study's trials were there before these changes."""
        return len(study.trials) - sum(
            before is None and owner is study for owner, before in self.trials.values()
        )

    def written(self, memory: Memory) -> Written:
        """What must be told to the database so that it becomes equal to memory."""
        attrs = [a for a in self.attrs.values() if a.study.id in memory.studies]
        trials = []
        for trial_id, (study, before) in self.trials.items():
            if study.id in memory.studies:
                _, after = memory.locate(trial_id)
                trials.append((study.id, before, after))
        return Written(
            deleted=[i for i in self.deleted if i not in self.created],
            created=[
                (study.id, study.name, study.directions)
                for study in self.created.values()
                if study.id in memory.studies
            ],
            study_attrs={
                "study_user_attributes": [
                    (a.study.id, key, a.study.user_attrs[key]) for a in attrs for key in a.user_keys
                ],
                "study_system_attributes": [
                    (a.study.id, key, a.study.system_attrs[key])
                    for a in attrs
                    for key in a.system_keys
                ],
            },
            trials=trials,
        )
