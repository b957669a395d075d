"""What others wrote to the database: found, weighed against what is pending here, and taken in.

Others are an Optuna process or a dashboard on the same file, which do not know of our ownership.
They add trials and studies, change unfinished trials and the attributes of studies, and delete
studies; a finished trial they leave alone, as Optuna does.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial

from optunapi.storage.encoding import same_attrs, same_trial
from optunapi.storage.memory.changes import Changes
from optunapi.storage.memory.model import Memory, Study
from optunapi.storage.tables.loading import Head, Loader
from optunapi.storage.tables.sqlite import Session
from optunapi.storage.tables.statements import Scope


@dataclass(kw_only=True)
class View:
    """What memory believes to be in the database: itself without what is pending."""

    studies: dict[int, Study]
    attrs: dict[int, tuple[dict[str, Any], dict[str, Any]]]
    edges: dict[int, tuple[FrozenTrial, FrozenTrial]]  # the first and the last trial of a study
    loose: dict[int, tuple[Study, FrozenTrial]]  # the trials that may have changed


@dataclass(kw_only=True)
class Outside:
    """How the database differs from that."""

    gone: list[Study] = field(default_factory=list)
    fresh: list[Study] = field(default_factory=list)  # new, or deleted and made again
    new: dict[int, list[FrozenTrial]] = field(default_factory=dict)
    changed: list[tuple[Study, FrozenTrial]] = field(default_factory=list)
    attrs: dict[int, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    highest_trial_id: int = 0


def believed(memory: Memory, pending: Changes, suspects: set[int]) -> View:
    """The view, with `suspects` among the trials that may have changed. Memory's lock is held."""
    studies = {
        study.id: study
        for study in (*memory.studies.values(), *pending.deleted.values())
        if study.id not in pending.created
    }
    attrs = {study.id: (study.user_attrs, study.system_attrs) for study in studies.values()}
    attrs |= {i: (a.user, a.system) for i, a in pending.attrs.items() if i in studies}
    created: dict[int, int] = {}
    loose = {}
    for trial_id, (study, before) in pending.trials.items():
        if before is None:
            created[study.id] = created.get(study.id, 0) + 1
        elif not before.state.is_finished() or trial_id in suspects:
            loose[trial_id] = (study, before)

    def before_or(trial: FrozenTrial) -> FrozenTrial:
        _, before = pending.trials.get(trial._trial_id, (None, None))
        return before or trial

    edges = {}
    for study in studies.values():
        if study.broken is not None:
            continue
        for number in study.open:
            trial = study.trials[number]
            if trial._trial_id not in pending.trials:
                loose[trial._trial_id] = (study, trial)
        if committed := len(study.trials) - created.get(study.id, 0):
            first, last = study.trials[0], study.trials[committed - 1]
            edges[study.id] = (before_or(first), before_or(last))
    for trial_id in suspects:
        if trial_id not in pending.trials and memory.has(trial_id):
            loose[trial_id] = memory.locate(trial_id)
    return View(studies=studies, attrs=attrs, edges=edges, loose=loose)


def look(session: Session, loader: Loader, view: View) -> Outside:
    """Read, within the session's transaction, how the database differs from the view."""
    found = Outside()
    heads = loader.heads(session)
    remade = _remade(session, loader, view, heads)
    found.gone = [s for i, s in view.studies.items() if i not in heads or i in remade]
    kept = view.studies.keys() - {study.id for study in found.gone}
    for study_id in heads.keys() - kept:
        found.fresh.append(loader.study(session, heads[study_id]))

    last_id = max((view.edges[i][1]._trial_id for i in kept if i in view.edges), default=0)
    newer = loader.trials(session, Scope.NEWER, last_id)
    found.highest_trial_id = newer.highest_id
    sound = {i for i in kept if view.studies[i].broken is None}
    found.new = {i: trials for i, trials in newer.by_study.items() if i in sound and trials}
    found.broken = {i: reason for i, reason in newer.broken.items() if i in sound}

    ids = json.dumps([i for i, (study, _) in view.loose.items() if study.id in kept])
    now = loader.trials(session, Scope.AMONG, ids)
    found.broken |= now.broken
    for trials in now.by_study.values():
        for trial in trials:
            study, believed_trial = view.loose[trial._trial_id]
            if not same_trial(trial, believed_trial):
                found.changed.append((study, trial))
    for study_id in kept:
        head = heads[study_id]
        if head.broken is not None:
            found.broken[study_id] = head.broken
        user, system = (
            {k: v for k, v in after.items() if k not in before or not same_attrs(v, before[k])}
            for before, after in zip(
                view.attrs[study_id], (head.user_attrs, head.system_attrs), strict=True
            )
        )
        if user or system:
            found.attrs[study_id] = (user, system)
    return found


def _remade(session: Session, loader: Loader, view: View, heads: dict[int, Head]) -> set[int]:
    """Studies that were deleted and made again: ids are used again, so trials must be compared."""
    edges = [trial._trial_id for pair in view.edges.values() for trial in pair]
    starts = loader.starts(session, [*edges, *view.loose])
    remade = set()
    for study_id, study in view.studies.items():
        head = heads.get(study_id)
        if head is not None and (head.name, head.directions) != (study.name, study.directions):
            remade.add(study_id)
    for study_id, pair in view.edges.items():
        for trial in pair:
            *place, start = starts.get(trial._trial_id, (None, None))
            restarted = trial.state.is_finished() and start != trial.datetime_start
            if place != [study_id, trial.number] or restarted:
                remade.add(study_id)
    for trial_id, (study, trial) in view.loose.items():
        *place, _ = starts.get(trial_id, (None, None))
        if place != [study.id, trial.number]:
            remade.add(study.id)
    return remade


def conflicts(found: Outside, pending: Changes) -> bool:
    """Whether something pending builds on what others changed. Memory's lock is held."""
    added = bool(found.new) or any(study.trials for study in found.fresh)
    if added and any(before is None for _, before in pending.trials.values()):
        return True
    if any(trial._trial_id in pending.trials for _, trial in found.changed):
        return True
    upset = {study.id for study in found.gone} | found.broken.keys()
    if any(study.id in upset for study in pending.studies()):
        return True
    names = {study.name for study in found.fresh}
    ids = {study.id for study in found.fresh}
    if any(study.name in names or study.id in ids for study in pending.created.values()):
        return True
    touched = found.new.keys() | found.attrs.keys() | {study.id for study, _ in found.changed}
    if pending.deleted.keys() & touched:
        return True
    return any(
        attrs.user_keys & found.attrs[i][0].keys() or attrs.system_keys & found.attrs[i][1].keys()
        for i, attrs in pending.attrs.items()
        if i in found.attrs
    )


def take_in(found: Outside, memory: Memory, pending: Changes) -> None:
    """Make memory what the database holds, and what is pending on top. Memory's lock is held."""
    for study in found.gone:
        if study.id in memory.studies:
            memory.remove_study(study)
    for study in found.fresh:
        memory.add_study(study)
        memory.reloaded(study)
    for study, trial in found.changed:
        memory.replace(study, trial)
        study.learn(trial)
        memory.reloaded(study)
    for study_id, trials in found.new.items():
        study = memory.studies[study_id]
        for trial in trials:
            if trial.number != len(study.trials):
                reason = f"trials row {trial._trial_id}: number {trial.number}, "
                found.broken.setdefault(study_id, f"{reason}not {len(study.trials)}")
                break
            memory.append(study, trial)
            study.learn(trial)
        memory.reloaded(study)
    for study_id, (user, system) in found.attrs.items():
        study = memory.studies[study_id]
        study.user_attrs = study.user_attrs | user
        study.system_attrs = study.system_attrs | system
        if (attrs := pending.attrs.get(study_id)) is not None:
            attrs.user, attrs.system = attrs.user | user, attrs.system | system
        memory.reloaded(study)
    for study_id, reason in found.broken.items():
        memory.studies[study_id].broken = reason
        memory.reloaded(memory.studies[study_id])
    memory.next_trial_id = max(memory.next_trial_id, found.highest_trial_id + 1)
