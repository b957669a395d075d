"""What memory was before changes that are not committed yet: enough to undo them, or to write them."""

from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial

from optunapi.storage.memory.model import AttrKind, Attrs, Memory, Study


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What must be written so that the database becomes equal to memory."""

    deleted: list[int]
    created: list[Study]
    attrs: list[tuple[AttrKind, int, str, Any]]  # kind, study, key, value
    trials: list[tuple[int, FrozenTrial | None, FrozenTrial]]  # study, before, after


@dataclass(kw_only=True)
class AttrsBefore:
    """A study's attributes of one kind before the changes, and the keys set since."""

    study: Study
    before: Attrs
    keys: set[str] = field(default_factory=set)


class Changes:
    """The first `before` of everything that was changed; memory itself is the `after`.

    Several changes of one trial are therefore one, and units that go to the database together are
    merged into one. None stands for what did not exist.
    """

    def __init__(self) -> None:
        self.trials: dict[int, tuple[Study, FrozenTrial | None]] = {}
        self.attrs: dict[tuple[int, AttrKind], AttrsBefore] = {}
        self.created: dict[int, Study] = {}
        self.deleted: dict[int, Study] = {}
        self.new_parameters: list[tuple[Study, str]] = []

    def __bool__(self) -> bool:
        return bool(self.trials or self.attrs or self.created or self.deleted)

    def merge(self, later: "Changes") -> None:
        """Add changes that were made after these."""
        self.trials = later.trials | self.trials
        for key, attrs in later.attrs.items():
            self.attrs.setdefault(key, attrs).keys |= attrs.keys
        self.created |= later.created
        self.deleted |= later.deleted
        self.new_parameters += later.new_parameters

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
                study.replace(before)
            else:  # the study's last one now, since ids descend
                memory.pop(study)
        for (_, kind), attrs in self.attrs.items():
            attrs.study.attrs[kind] = attrs.before
        for study, name in self.new_parameters:
            study.distributions.pop(name, None)
        return self.studies()

    def studies(self) -> set[Study]:
        """Every study that was changed."""
        changed = {study for study, _ in self.trials.values()}
        changed |= {attrs.study for attrs in self.attrs.values()}
        return changed | {*self.created.values(), *self.deleted.values()}

    def difference(self, memory: Memory) -> Difference:
        """What must be written; created studies that are gone again are left out."""
        trials = []
        for trial_id, (study, before) in self.trials.items():
            if study.id in memory.studies:
                _, after = memory.locate(trial_id)
                trials.append((study.id, before, after))
        return Difference(
            deleted=[study_id for study_id in self.deleted if study_id not in self.created],
            created=[study for study in self.created.values() if study.id in memory.studies],
            attrs=[
                (kind, study_id, key, attrs.study.attrs[kind][key])
                for (study_id, kind), attrs in self.attrs.items()
                if study_id in memory.studies
                for key in attrs.keys
            ],
            trials=trials,
        )
