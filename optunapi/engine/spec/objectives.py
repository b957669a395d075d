"""What a study optimises: its objectives and the values that end it."""

from collections.abc import Mapping

from optunapi.engine.documents.document import Node, nearest, quoted
from optunapi.engine.documents.fields import Number, Text, named, one_of
from optunapi.engine.names import name_fault
from optunapi.engine.spec.model import DEFAULT_OBJECTIVE, DIRECTIONS, Direction, Objective

OBJECTIVE_KEYS = ("name", "direction")


def read_objectives(given: Mapping[str, Node]) -> tuple[Objective, ...] | None:
    """The objectives of `objectives` or `direction`; None after noting every error."""
    if "objectives" not in given:
        default = _direction(given["direction"]) if "direction" in given else "minimize"
        return (Objective(name=DEFAULT_OBJECTIVE, direction=default),) if default else None
    if "direction" in given:
        given["direction"].refuse("`direction` is for one objective: leave it or `objectives` out")
        return None
    node = given["objectives"]
    noted = len(node.document.errors)
    if not isinstance(node.data, dict | list):
        node.refuse(f"{node.shown()} is not a mapping of names to directions")
        return None
    pairs = [*node.all_entries().items(), *map(_pair, node.items())]
    found: dict[str, Objective] = {}
    for name, entry in pairs:
        direction = _direction(entry) if entry else None
        if name is None or entry is None or direction is None:
            continue
        if fault := name_fault(name):
            entry.refuse(fault)
        elif name in found:
            entry.refuse(f"there are two objectives called {quoted(name)}")
        found[name] = Objective(name=name, direction=direction)
    sound = len(found) == len(pairs) and len(node.document.errors) == noted
    return tuple(found.values()) if sound else None


def _pair(node: Node) -> tuple[str | None, Node | None]:
    """The name and direction of an item of the list form, None where it has none."""
    if node.read(dict) is None:
        return None, None
    node.refuse_unknown(OBJECTIVE_KEYS)
    entries = node.entries()
    for key in OBJECTIVE_KEYS:
        if key not in entries:
            node.refuse(f"`{key}` is missing")
    return entries["name"].read(Text) if "name" in entries else None, entries.get("direction")


def _direction(node: Node) -> Direction | None:
    found: Direction | None = node.read(one_of(DIRECTIONS, "direction"))
    return found


def read_target(node: Node, objectives: tuple[Objective, ...]) -> dict[str, float] | None:
    """The values that end the study by objective; a bare number where there is one objective."""
    names = [objective.name for objective in objectives]
    if not isinstance(node.data, dict) and len(names) == 1:
        return {names[0]: node.read(Number)}
    for name, entry in node.entries().items():
        if name not in names:
            entry.refuse(f"there is no objective {quoted(name)}{nearest(name, names)}")
    if not isinstance(node.data, dict):
        reason = "is not a mapping: several objectives need one, of names to values"
        node.refuse(f"{node.shown()} {reason}. Allowed: {', '.join(names)}")
        return None
    return node.read(named(Number)) or None
