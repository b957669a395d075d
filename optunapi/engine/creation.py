"""Creates a study in the database: from its specification alone, or as a fork of another study."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from optunapi.engine.fork import Origin
from optunapi.engine.identity import NewId, identify
from optunapi.engine.metric_names import name_objectives
from optunapi.engine.records import SPEC, STUDY, StudyRecord
from optunapi.engine.samplers.native.engine import engine_of
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state.templates import waiting_trial
from optunapi.engine.store import Store
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import StudyCreated


def create_study(
    store: Store,
    name: str,
    spec: StudySpec,
    now: float,
    *,
    new_id: NewId,
    origin: Origin | None = None,
    history: Sequence[FrozenTrial] = (),
) -> int:
    """Create a study with these finished trials, in one commit; return its id.

    The specification's `enqueue` is queued, except for points that the history has. A fork with the same
    specification as its `origin` also gets the limits, lease and attributes that were set by hand.
    """
    record, user_attrs = StudyRecord(created_at=now), spec.user_attrs
    if origin is not None and spec == origin.spec:
        record = record.with_(
            limits=origin.record.limits,
            lease_seconds=origin.record.lease_seconds,
            description=origin.record.description,
        )
        user_attrs = {**user_attrs, **origin.user_attrs}
    with store.unit() as unit:
        study_id = store.create_new_study(spec.directions, name)
        identify(store, study_id, name, new_id)
        name_objectives(store, study_id, spec)
        store.set_study_system_attr(study_id, SPEC, spec.to_json())
        store.set_study_system_attr(study_id, STUDY, record.to_json())
        for key, value in user_attrs.items():
            store.set_study_user_attr(study_id, key, value)
        for template in history:
            store.add_trial(study_id, template)
        for point in spec.enqueue:
            if not any(point.items() <= trial.params.items() for trial in history):
                queued, kept = waiting_trial(point, spec, now)
                queued.system_attrs |= kept.attrs()
                store.add_trial(study_id, queued)
    unit.commit.result()
    created = StudyCreated(
        study=name,
        spec_version=spec.version,
        sampler=spec.sampler["name"],
        engine=engine_of(spec.problem),
        trials=len(history),
    )
    emit(created)
    return study_id
