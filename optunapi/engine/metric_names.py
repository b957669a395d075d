"""The objectives' names where Optuna keeps them: its `Study.set_metric_names`, one system attribute."""

from collections.abc import Mapping, Sequence
from typing import Any

from optunapi.engine.documents.document import quoted
from optunapi.engine.names import name_fault
from optunapi.engine.spec.model import StudySpec, default_names
from optunapi.engine.store import Store

METRIC_NAMES = "study:metric_names"


def metric_names_of(
    system_attrs: Mapping[str, Any], n_objectives: int
) -> tuple[list[str] | None, str | None]:
    """The names that Optuna shows, and why those stored cannot be used.

    Both are None if there are none. Optuna stores whatever it is given.
    """
    stored = system_attrs.get(METRIC_NAMES)
    if stored is None:
        return None, None
    if not isinstance(stored, list):
        return None, "they are not a list"
    fault = names_fault(stored, n_objectives)
    return (stored, None) if fault is None else (None, fault)


def names_fault(names: Sequence[Any], n_objectives: int) -> str | None:
    """Why these cannot be the names of a study's objectives; None if they can."""
    if len(names) != n_objectives:
        return f"there are {len(names)} names for {n_objectives} objective(s)"
    for place, name in enumerate(names):
        if not isinstance(name, str):
            return f"name {place} is not a text"
        if (fault := name_fault(name)) is not None:
            return fault
        if name in names[:place]:
            return f"there are two objectives called {quoted(name)}"
    return None


def name_objectives(store: Store, study_id: int, spec: StudySpec) -> None:
    """Let Optuna know the names that a specification gives the objectives. Names that are there stay.

    The default names are left to Optuna, which has its own.
    """
    if spec.names != default_names(len(spec.names)):
        with store.unit():
            if METRIC_NAMES not in store.get_study_system_attrs(study_id):
                store.set_study_system_attr(study_id, METRIC_NAMES, spec.names)
