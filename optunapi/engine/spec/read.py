"""A configuration, read: its forms, its settings, and every error in it at once."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from optunapi.engine.documents import readers as read
from optunapi.engine.documents.document import Node, Scalar, document_of, quoted
from optunapi.engine.pruners.registry import read_pruner
from optunapi.engine.samplers.make import read_sampler
from optunapi.engine.space import Parameter, distribution_to_wire, fitted_point, misfits
from optunapi.engine.spec.diff import differences, incompatibilities
from optunapi.engine.spec.distributions import parse_distribution
from optunapi.engine.spec.model import AVOID_DUPLICATES, Limits, Objective, StudySpec
from optunapi.engine.spec.objectives import read_objectives, read_target
from optunapi.engine.spec.parameters import is_parameter, read_parameters

__all__ = [
    "Limits",
    "Objective",
    "StudySpec",
    "differences",
    "distribution_to_wire",
    "incompatibilities",
    "parse_distribution",
    "read_spec",
    "spec_from_mapping",
]

MAX_LEASE = 31_536_000.0

_count = partial(read.integer, minimum=1)
_LIMITS: Mapping[str, Callable[[Node], Any]] = {
    "max_trials": _count,
    "max_running": _count,
    "max_duration": read.seconds,
    "max_failed_trials": _count,
    "max_cost": partial(read.number, above=0),
    "trial_timeout": read.seconds,
}
SETTINGS: tuple[str, ...] = (
    "description",
    "objectives",
    "direction",
    "sampler",
    "pruner",
    *_LIMITS,
    "target",
    "lease",
    "max_attempts",
    "avoid_duplicates",
    "user_attrs",
    "enqueue",
)


def spec_from_mapping(data: Mapping[str, Any] | list[Any]) -> StudySpec:
    """The specification in the JSON body of a PUT.

    Raises:
        ConfigInvalid: with every error in it.
    """
    return read_spec(document_of(data))


def read_spec(root: Node) -> StudySpec:
    """The specification that a document holds, in the short or the long form.

    Raises:
        ConfigInvalid: with every error in it.
    """
    if root.is_empty:
        root.document.raise_errors()
        reason = "there is nothing in it; `parameters: {}` makes a define-by-run study"
        root.document.fail("", root.value.line, reason)
    if not (root.is_mapping or root.is_list):
        reason = f"{quoted(root.plain())} is neither a mapping nor a list of parameters"
        root.document.fail("", root.value.line, reason)
    spec = _read_long(root) if _is_long(root) else _read_short(root)
    root.document.raise_errors()
    return spec


def _is_long(root: Node) -> bool:
    """Whether `parameters` holds the parameters, or is the name of one in the short form."""
    section = root.all_entries().get("parameters")
    return section is not None and not is_parameter(section)


def _read_short(root: Node) -> StudySpec:
    misplaced = [
        node
        for name, node in root.all_entries().items()
        if name in SETTINGS and not is_parameter(node)
    ]
    for node in misplaced:
        node.refuse(
            f"{quoted(node.key)} is a setting of the study: settings stand beside `parameters`, "
            "a mapping that holds the parameters"
        )
    return StudySpec() if misplaced else StudySpec(parameters=tuple(read_parameters(root)[0]))


def _read_long(root: Node) -> StudySpec:
    root.refuse_unknown((*SETTINGS, "parameters"))
    given = {name: node for name, node in root.entries().items() if not node.is_empty}
    parameters, complete = _read_section(root.all_entries()["parameters"])
    known = parameters if complete else None
    objectives = read_objectives(given)
    n_objectives = len(objectives) if objectives else None
    readers: Mapping[str, tuple[str, Callable[[Node], Any]]] = {
        "description": ("description", read.text),
        "sampler": (
            "sampler",
            partial(read_sampler, parameters=known, n_objectives=n_objectives),
        ),
        "pruner": ("pruner", partial(read_pruner, n_objectives=n_objectives)),
        "lease": ("lease_seconds", partial(read.seconds, maximum=MAX_LEASE)),
        "max_attempts": ("max_attempts", _count),
        "avoid_duplicates": ("avoid_duplicates", _read_avoid_duplicates),
        "user_attrs": ("user_attrs", _read_user_attrs),
    }
    found = {
        attribute: reader(given[name])
        for name, (attribute, reader) in readers.items()
        if name in given
    }
    limits = {name: reader(given[name]) for name, reader in _LIMITS.items() if name in given}
    if "target" in given and objectives:
        limits["target"] = read_target(given["target"], objectives)
    if "enqueue" in given and complete:
        whole = (found.get("sampler") or {}).get("name") == "grid"
        found["enqueue"] = _read_enqueue(given["enqueue"], parameters, whole=whole)
    return StudySpec(
        objectives=objectives or (),
        parameters=tuple(parameters),
        limits=Limits(**limits),
        **found,
    )


def _read_section(node: Node) -> tuple[list[Parameter], bool]:
    if node.is_empty:
        return [], True
    if node.is_mapping or node.is_list:
        return read_parameters(node)
    node.refuse(f"{quoted(node.plain())} is neither a mapping nor a list of parameters")
    return [], False


def _read_avoid_duplicates(node: Node) -> str | None:
    # YAML reads a bare `off` as false.
    return "off" if node.data is False else read.choice(node, AVOID_DUPLICATES, "value")


def _read_user_attrs(node: Node) -> Any:
    return None if read.mapping(node, "the study's user attributes") is None else node.plain()


def _read_enqueue(
    node: Node, parameters: Sequence[Parameter], *, whole: bool
) -> tuple[dict[str, Scalar], ...]:
    """The points to try first; with `whole` each must give every parameter."""
    found = []
    for item in read.items(node, "the points to try first") or ():
        if read.mapping(item, "a value for each parameter it fixes") is None:
            continue
        entries = item.all_entries()
        for entry in entries.values():
            read.scalar(entry)
        point = item.plain()
        reasons = misfits(parameters, point)
        for name, reason in reasons.items():
            entries[name].refuse(reason)
        missing = [parameter.name for parameter in parameters if parameter.name not in point]
        if whole and missing:
            item.refuse(f"it lacks {', '.join(missing)}: with grid, a point gives every parameter")
        if not reasons:
            found.append(fitted_point(parameters, point))
    return tuple(found)
