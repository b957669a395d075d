"""What a study optimises: its objectives and the values that end it."""

from collections.abc import Mapping

from optunapi.engine.documents import readers as read
from optunapi.engine.documents.document import Node, nearest, quoted
from optunapi.engine.spec.model import DEFAULT_OBJECTIVE, DIRECTIONS, Direction, Objective
from optunapi.engine.spec.parameters import name_fault

OBJECTIVE_KEYS = ("name", "direction")


def read_objectives(given: Mapping[str, Node]) -> tuple[Objective, ...] | None:
    """The objectives of `objectives` or `direction`; None after noting what is wrong with them."""
    if "objectives" in given and "direction" in given:
        given["direction"].refuse("`direction` is for one objective: leave it or `objectives` out")
        return None
    if "direction" in given:
        direction = _direction(given["direction"])
        return (Objective(name=DEFAULT_OBJECTIVE, direction=direction),) if direction else None
    if "objectives" not in given:
        return (Objective(name=DEFAULT_OBJECTIVE, direction="minimize"),)
    node = given["objectives"]
    if not (node.is_mapping or node.is_list):
        node.refuse(f"{quoted(node.plain())} is not a mapping of names to directions")
        return None
    entries = node.all_entries().items() if node.is_mapping else map(_item, node.items())
    found: dict[str, Objective] = {}
    sound = True
    for name, entry in entries:
        direction = None if entry is None or name is None else _direction(entry)
        if name is None or entry is None or direction is None:
            sound = False
        elif fault := name_fault(name):
            entry.refuse(fault)
            sound = False
        elif name in found:
            entry.refuse(f"there are two objectives called {quoted(name)}")
            sound = False
        else:
            found[name] = Objective(name=name, direction=direction)
    return tuple(found.values()) if sound else None


def _item(node: Node) -> tuple[str | None, Node | None]:
    """An entry of the list form, `{name, direction}`, as the mapping form has it."""
    if read.mapping(node, "`name` and `direction`") is None:
        return None, None
    node.refuse_unknown(OBJECTIVE_KEYS)
    entries = node.entries()
    for key in OBJECTIVE_KEYS:
        if key not in entries:
            node.refuse(f"`{key}` is missing")
    name = read.text(entries["name"]) if "name" in entries else None
    return name, entries.get("direction")


def _direction(node: Node) -> Direction | None:
    for direction in DIRECTIONS:
        if node.data == direction:
            return direction
    word = node.data if isinstance(node.data, str) else ""
    node.refuse(f"{quoted(node.plain())} is not a direction{nearest(word, DIRECTIONS)}")
    return None


def read_target(node: Node, objectives: tuple[Objective, ...]) -> dict[str, float] | None:
    """The values that end the study by objective; a bare number where there is one objective."""
    names = [objective.name for objective in objectives]
    if not node.is_mapping:
        if len(names) > 1:
            node.refuse(
                f"{quoted(node.plain())} is not a mapping: several objectives need one, "
                f"of names to values. Allowed: {', '.join(names)}"
            )
            return None
        value = read.number(node)
        return None if value is None else {names[0]: value}
    found = {}
    for name, entry in node.entries().items():
        value = read.number(entry)
        if name not in names:
            entry.refuse(f"there is no objective {quoted(name)}{nearest(name, names)}")
        elif value is not None:
            found[name] = value
    return found or None
