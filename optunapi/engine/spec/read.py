"""A configuration, read: its forms, its settings, and every error in it at once."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Le
from pydantic import BeforeValidator

from optunapi.engine.documents.document import Document, Node, quoted
from optunapi.engine.documents.fields import Count, Positive, Scalar, Seconds, Text, one_of
from optunapi.engine.documents.numbers import note_number, note_texts, spelled_number
from optunapi.engine.pruners.registry import read_pruner
from optunapi.engine.samplers.make import read_sampler
from optunapi.engine.space import Parameter, fitted_node, fitted_point, misfits
from optunapi.engine.spec.model import AVOID_DUPLICATES, Limits, StudySpec
from optunapi.engine.spec.objectives import read_objectives, read_target
from optunapi.engine.spec.parameters import (
    is_parameter,
    parameter_entries,
    read_parameters,
)
from optunapi.engine.spec.points import lack

MAX_LEASE = 31_536_000

_LIMITS = {
    "max_trials": Count,
    "max_running": Count,
    "max_duration": Seconds,
    "max_failed_trials": Count,
    "max_cost": Positive,
    "trial_timeout": Seconds,
}
# The other settings that can be read without a look at the rest of the file.
_PLAIN = {
    "description": Text,
    "lease": Annotated[Seconds, Le(MAX_LEASE)],
    "max_attempts": Count,
    "avoid_duplicates": Annotated[
        one_of(AVOID_DUPLICATES),
        # YAML reads a bare `off` as false.
        BeforeValidator(lambda value: "off" if value is False else value),
    ],
    "user_attrs": dict[str, Any],
}
SETTINGS = (
    *("description", "objectives", "direction", "sampler", "pruner", *_LIMITS, "target"),
    *("lease", "max_attempts", "avoid_duplicates", "user_attrs", "enqueue"),
)


def spec_from_mapping(data: Mapping[str, Any] | list[Any]) -> StudySpec:
    """The specification in the JSON body of a PUT.

    Raises:
        ConfigInvalid: with every error in it.
    """
    return read_spec(Document().root(data))


def read_spec(root: Node) -> StudySpec:
    """The specification in a document, in the short or the long form.

    Raises:
        ConfigInvalid: with every error in it.
    """
    spec = StudySpec()
    if not root.is_empty:
        spec = _read_long(root) if _is_long(root) else _read_short(root)
    elif not root.document.errors:
        root.refuse("there is nothing in it; `parameters: {}` makes a define-by-run study")
    root.document.raise_errors()
    return spec


def place_of(root: Node, key: str) -> Node:
    """The value in a valid document that a key of `differences` is about, or the nearest one above it."""
    if key == "objectives":
        return root.entries().get(key) or root.entries().get("direction") or root
    is_long = _is_long(root)
    name, _, setting = key.removeprefix("parameters.").rpartition(".")
    entries = parameter_entries(root["parameters"] if is_long else root, is_short=not is_long)
    parameter = next((entry for each, entry in entries if each == name), root)
    return parameter.entries().get(setting, parameter)


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
    for name, node in root.all_entries().items():
        holds_parameters = any(map(is_parameter, node.all_entries().values()))
        if holds_parameters and not is_parameter(node):
            misplaced.append(node)
            node.refuse(f"parameters stand under `parameters`, not under {quoted(name)}")
    return (
        StudySpec()
        if misplaced
        else StudySpec(parameters=tuple(read_parameters(root, is_short=True)[0]))
    )


def _read_long(root: Node) -> StudySpec:
    root.refuse_unknown((*SETTINGS, "parameters"))
    given = {name: node for name, node in root.entries().items() if not node.is_empty}
    limits = {name: given[name].read(type_) for name, type_ in _LIMITS.items() if name in given}
    found = {name: given[name].read(type_) for name, type_ in _PLAIN.items() if name in given}
    if "user_attrs" in found:
        note_texts(given["user_attrs"])
    if "lease" in found:
        found["lease_seconds"] = found.pop("lease")
    section = root["parameters"]
    if section.is_empty and section.data != {}:
        section.refuse("it has no value: `parameters: {}` makes a define-by-run study")
    # A part that has an error is None here, and checks that need it are skipped.
    parameters, complete = read_parameters(section)
    objectives = read_objectives(given)
    n_objectives = len(objectives) if objectives else None
    if "sampler" in given:
        known = parameters if complete else None
        found["sampler"] = read_sampler(
            given["sampler"], parameters=known, n_objectives=n_objectives
        )
    if "pruner" in given:
        found["pruner"] = read_pruner(given["pruner"], n_objectives=n_objectives)
    if "target" in given and objectives:
        limits["target"] = read_target(given["target"], objectives)
    if "enqueue" in given and complete:
        sampler = found.get("sampler") or {"name": ""}
        found["enqueue"] = _read_enqueue(given["enqueue"], parameters, sampler["name"])
    return StudySpec(
        objectives=objectives or (),
        parameters=tuple(parameters),
        limits=Limits(**limits),
        **found,
    )


def _read_enqueue(
    node: Node, parameters: Sequence[Parameter], sampler: str
) -> tuple[dict[str, Any], ...]:
    """The points to try first."""
    node.read(list[dict[str, Scalar]])
    points = []
    for item in (each for each in node.items() if isinstance(each.data, dict)):
        point = _with_numbers(item, parameters)
        for name, reason in misfits(parameters, point).items():
            item[name].refuse(reason)
        if missing := lack(parameters, sampler, point):
            item.refuse(missing)
        points.append(fitted_point(parameters, point))
    return tuple(points)


def _with_numbers(item: Node, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """A point with numbers where YAML reads texts that spell them."""
    known = {parameter.name: parameter.distribution for parameter in parameters}
    point = dict(item.data)
    for name, entry in item.all_entries().items():
        if name in known and (fits := fitted_node(known[name], entry)):
            point[name] = fits[0]
        elif not known and entry.is_plain and (number := spelled_number(entry)) is not None:
            note_number(entry, number, "put a text in quotes")
            point[name] = number
    return point
