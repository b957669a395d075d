"""The specifications that a study has had: which was in force since when, and how to read one again."""

from collections.abc import Iterable, Mapping
from typing import Any

from optunapi.engine.records import SPEC, SPEC_OF, VERSIONS, StudyRecord
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.spec.stored import stored_spec
from optunapi.engine.store import Store
from optunapi.engine.values import Version


def versions_of(store: Store, study_id: int, spec: StudySpec) -> list[Version]:
    """The versions of a study, the present one last. `spec` is the one in force."""
    attrs = store.get_study_system_attrs(study_id)
    if stored := attrs.get(VERSIONS):
        return [Version(**each) for each in stored]
    created_at = StudyRecord.of(attrs).created_at
    return [Version(spec_version=spec.version, since=created_at, first_trial=0)]


def former_spec(store: Store, study_id: int, version: str) -> StudySpec | None:
    """The specification of a version that was in force once; None if there was none."""
    stored = store.get_study_system_attrs(study_id).get(SPEC_OF + version)
    return None if stored is None else spec_from_mapping(stored)


def store_spec(store: Store, study_id: int, former: StudySpec, spec: StudySpec, now: float) -> None:
    """Store the specification in force from now on. Call it inside a unit."""
    if spec.version != former.version:
        begun = Version(spec_version=spec.version, since=now, first_trial=store.n_trials(study_id))
        known = [*versions_of(store, study_id, former), begun]
        store.set_study_system_attr(study_id, VERSIONS, [vars(each) for each in known])
        # The specification in force stands under SPEC alone until another one takes its place.
        store.set_study_system_attr(study_id, SPEC_OF + former.version, former.to_json())
    store.set_study_system_attr(study_id, SPEC, spec.to_json())


def names_by_version(
    system_attrs: Mapping[str, Any], spec: StudySpec
) -> dict[str | None, frozenset[str]]:
    """The names of the configured parameters, by version; `spec` is the one in force."""
    found: dict[str | None, frozenset[str]] = {
        key.removeprefix(SPEC_OF): frozenset(stored["parameters"])
        for key, stored in system_attrs.items()
        if key.startswith(SPEC_OF)
    }
    return {**found, spec.version: frozenset(p.name for p in spec.parameters)}


def queued_before(system_attrs: Mapping[str, Any], spec: StudySpec) -> Iterable[Mapping[str, Any]]:
    """The points that the specification in force and those before it queued."""
    yield from spec.enqueue
    for key, stored in system_attrs.items():
        if key.startswith(SPEC_OF):
            yield from stored["enqueue"]


def spec_in_force(store: Store, study_id: int) -> StudySpec | None:
    """The specification that was in force when the study was last open; None if Optuna created it."""
    stored = store.get_study_system_attrs(study_id).get(SPEC)
    return None if stored is None else stored_spec(stored)
