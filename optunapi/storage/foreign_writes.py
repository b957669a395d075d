"""What other processes wrote to the database: read, checked against what is pending, added to memory.

The others are Optuna processes or a dashboard on the same file, which do not know of our ownership. They
add trials and studies, change unfinished trials and the attributes of studies, and delete studies. They
do not change finished trials, since Optuna does not.
"""

import json
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial

from optunapi.storage.encoding import same_attrs, same_trial
from optunapi.storage.memory.changes import Changes
from optunapi.storage.memory.model import AttrKind, Attrs, Memory, Study
from optunapi.storage.tables.loading import Loader
from optunapi.storage.tables.sqlite import Connection
from optunapi.storage.tables.statements import Scope


@dataclass(kw_only=True)
class Expectation:
    """What the database holds if nobody else wrote: memory without what is pending."""

    studies: dict[int, Study]
    attrs: dict[tuple[int, AttrKind], Attrs]
    ends: dict[int, tuple[FrozenTrial, FrozenTrial]]  # by study, its first and its last trial
    changeable: dict[int, tuple[Study, FrozenTrial]]  # by id, the trials that may have changed


@dataclass(kw_only=True)
class ForeignWrites:
    """How the database differs from what is expected."""

    deleted: list[Study] = field(default_factory=list)
    created: list[Study] = field(default_factory=list)  # new, or deleted and created again
    added: dict[int, list[FrozenTrial]] = field(default_factory=dict)  # by study
    changed: list[tuple[Study, FrozenTrial]] = field(default_factory=list)
    attrs: dict[tuple[int, AttrKind], Attrs] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)  # by study, the row that cannot be read
    highest_trial_id: int = 0


def expectation(memory: Memory, pending: Changes, suspects: set[int]) -> Expectation:
    """What to expect, with `suspects` among the trials that may have changed.

    Memory's lock is held.
    """
    studies = {
        study.id: study
        for study in (*memory.studies.values(), *pending.deleted.values())
        if study.id not in pending.created
    }
    attrs = {
        (study.id, kind): found for study in studies.values() for kind, found in study.attrs.items()
    }
    attrs |= {key: set_.before for key, set_ in pending.attrs.items() if key in attrs}
    n_added: dict[int, int] = {}
    changeable = {}
    for trial_id, (study, before) in pending.trials.items():
        if before is None:
            n_added[study.id] = n_added.get(study.id, 0) + 1
        elif not before.state.is_finished() or trial_id in suspects:
            changeable[trial_id] = (study, before)

    def before_or(trial: FrozenTrial) -> FrozenTrial:
        _, before = pending.trials.get(trial._trial_id, (None, None))
        return before or trial

    ends = {}
    for study in studies.values():
        if study.broken is not None:
            continue
        for trial in study.open_trials():
            if trial._trial_id not in pending.trials:
                changeable[trial._trial_id] = (study, trial)
        if n_committed := len(study.trials) - n_added.get(study.id, 0):
            first, last = study.trials[0], study.trials[n_committed - 1]
            ends[study.id] = (before_or(first), before_or(last))
    for trial_id in suspects:
        if trial_id not in pending.trials and memory.has(trial_id):
            changeable[trial_id] = memory.locate(trial_id)
    return Expectation(studies=studies, attrs=attrs, ends=ends, changeable=changeable)


def find(connection: Connection, loader: Loader, expected: Expectation) -> ForeignWrites:
    """Read, within the connection's transaction, how the database differs from the expectation."""
    found = ForeignWrites()
    studies = loader.studies(connection)
    recreated = _recreated(connection, loader, expected, studies)
    found.deleted = [s for i, s in expected.studies.items() if i not in studies or i in recreated]
    kept = expected.studies.keys() - {study.id for study in found.deleted}
    for study_id in studies.keys() - kept:
        loader.load_trials(connection, studies[study_id])
        found.created.append(studies[study_id])

    last_id = max((expected.ends[i][1]._trial_id for i in kept if i in expected.ends), default=0)
    newer = loader.trials(connection, Scope.NEWER, last_id)
    found.highest_trial_id = newer.highest_id
    sound = {i for i in kept if expected.studies[i].broken is None}
    found.added = {i: trials for i, trials in newer.by_study.items() if i in sound and trials}
    found.broken = {i: reason for i, reason in newer.broken.items() if i in sound}

    ids = json.dumps([i for i, (study, _) in expected.changeable.items() if study.id in kept])
    now = loader.trials(connection, Scope.AMONG, ids)
    found.broken |= now.broken
    for trials in now.by_study.values():
        for trial in trials:
            study, before = expected.changeable[trial._trial_id]
            if not same_trial(trial, before):
                found.changed.append((study, trial))
    for study_id in kept:
        if (reason := studies[study_id].broken) is not None:
            found.broken[study_id] = reason
        for kind, after in studies[study_id].attrs.items():
            known = expected.attrs[study_id, kind]
            new = {k: v for k, v in after.items() if k not in known or not same_attrs(v, known[k])}
            if new:
                found.attrs[study_id, kind] = new
    return found


def _recreated(
    connection: Connection, loader: Loader, expected: Expectation, studies: dict[int, Study]
) -> set[int]:
    """Studies that were deleted and created again. Ids are reused, so trials must be compared."""
    ends = [trial._trial_id for pair in expected.ends.values() for trial in pair]
    starts = loader.starts(connection, [*ends, *expected.changeable])
    recreated = set()
    for study_id, study in expected.studies.items():
        now = studies.get(study_id)
        if now is None:
            continue
        # Nobody removes an attribute of a study.
        is_short = now.broken is None and any(
            expected.attrs[study_id, kind].keys() - attrs.keys()
            for kind, attrs in now.attrs.items()
        )
        if is_short or (now.name, now.directions) != (study.name, study.directions):
            recreated.add(study_id)
    for study_id, pair in expected.ends.items():
        for trial in pair:
            *place, start = starts.get(trial._trial_id, (None, None))
            restarted = trial.state.is_finished() and start != trial.datetime_start
            if place != [study_id, trial.number] or restarted:
                recreated.add(study_id)
    for trial_id, (study, trial) in expected.changeable.items():
        *place, _ = starts.get(trial_id, (None, None))
        if place != [study.id, trial.number]:
            recreated.add(study.id)
    return recreated


def conflicts(found: ForeignWrites, pending: Changes) -> bool:
    """Whether something pending is based on what others changed. Memory's lock is held."""
    added = bool(found.added) or any(study.trials for study in found.created)
    if added and any(before is None for _, before in pending.trials.values()):
        return True  # trial ids, and perhaps numbers, have been taken
    if any(trial._trial_id in pending.trials for _, trial in found.changed):
        return True
    lost = {study.id for study in found.deleted} | found.broken.keys()
    if any(study.id in lost for study in pending.studies()):
        return True
    names = {study.name for study in found.created}
    ids = {study.id for study in found.created}
    if any(study.name in names or study.id in ids for study in pending.created.values()):
        return True
    touched = {study_id for study_id, _ in found.attrs} | {study.id for study, _ in found.changed}
    if pending.deleted.keys() & (touched | found.added.keys()):
        return True
    return any(
        attrs.keys & found.attrs[key].keys()
        for key, attrs in pending.attrs.items()
        if key in found.attrs
    )


def apply(found: ForeignWrites, memory: Memory, pending: Changes) -> None:
    """Make memory what the database holds, with what is pending on top. Memory's lock is held."""
    changed: set[Study] = set()
    for study in found.deleted:
        if study.id in memory.studies:
            memory.remove_study(study)
    for study in found.created:
        memory.add_study(study)
        changed.add(study)
    for study, trial in found.changed:
        study.replace(trial)
        study.add_distributions(trial.distributions)
        changed.add(study)
    for study_id, trials in found.added.items():
        study = memory.studies[study_id]
        for trial in trials:
            if trial.number != len(study.trials):
                reason = f"trials row {trial._trial_id}: number {trial.number}, "
                found.broken.setdefault(study_id, f"{reason}not {len(study.trials)}")
                break
            memory.append(study, trial)
            study.add_distributions(trial.distributions)
        changed.add(study)
    for (study_id, kind), new in found.attrs.items():
        study = memory.studies[study_id]
        study.attrs[kind] = study.attrs[kind] | new
        if (attrs := pending.attrs.get((study_id, kind))) is not None:
            attrs.before = attrs.before | new
        changed.add(study)
    for study_id, reason in found.broken.items():
        memory.studies[study_id].broken = reason
        changed.add(memory.studies[study_id])
    for study in changed:
        memory.mark_reloaded(study)
    memory.next_trial_id = max(memory.next_trial_id, found.highest_trial_id + 1)
