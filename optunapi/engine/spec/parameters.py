"""The parameters of a specification, in every form a file may give them."""

from collections.abc import Mapping, Sequence

from optuna.distributions import BaseDistribution

from optunapi.engine.documents import readers as read
from optunapi.engine.documents.document import Node, Scalar, quoted
from optunapi.engine.space import DISTRIBUTION_KEYS, Parameter, allowed, fitted
from optunapi.engine.spec.distributions import read_distribution

PARAMETER_KEYS = ("name", *DISTRIBUTION_KEYS, "when")
LONGEST_NAME = 255

Known = dict[str, BaseDistribution | None]


def is_parameter(node: Node) -> bool:
    """Whether a value describes one parameter, rather than holding several or none."""
    entries = node.entries()
    return any(
        name in entries and not entries[name].is_mapping for name in ("name", *DISTRIBUTION_KEYS)
    )


def read_parameters(node: Node) -> tuple[list[Parameter], bool]:
    """The parameters of a mapping or list, and whether none was left out for an error in it."""
    blocks = _blocks(node)
    names = [name for name, _ in blocks]
    known: Known = {}
    found: list[Parameter] = []
    for name, block in blocks:
        if name is None:
            continue
        if name in known:
            block.refuse(f"there are two parameters called {quoted(name)}")
            continue
        block.refuse_unknown(PARAMETER_KEYS)
        distribution = read_distribution(block)
        when = _read_when(block, known, names)
        known[name] = distribution
        if distribution is not None:
            found.append(Parameter(name=name, distribution=distribution, when=when))
    return found, len(found) == len(blocks)


def _blocks(node: Node) -> list[tuple[str | None, Node]]:
    if node.is_mapping and not is_parameter(node):
        return [(_name(block, key), block) for key, block in node.all_entries().items()]
    found = []
    for item in (node,) if node.is_mapping else node.items():
        name = _name(item, None)
        key = f"{node.key}.{name}" if node.key else str(name)
        found.append((name, item if name is None else item.at(key)))
    return found


def _name(block: Node, key: str | None) -> str | None:
    """A parameter's name: its `name`, else its key; None after noting why it has none."""
    if not block.is_mapping:
        shown = quoted(block.plain())
        block.refuse(f"{shown} is not a parameter: a mapping with `type` and its range")
        return None
    given = block.entries().get("name")
    if given is not None and not given.is_empty:
        name = read.text(given)
    elif key is not None:
        given, name = block, key
    else:
        block.refuse("`name` is missing: a parameter in a list needs it")
        return None
    if name is None:
        return None
    if fault := name_fault(name):
        given.refuse(fault)
        return None
    return name


def name_fault(name: str) -> str | None:
    """What keeps a text from being a parameter's or an objective's name, if anything."""
    if not name or name != name.strip():
        return f"{quoted(name)} is not a name: it is empty, or begins or ends with a space"
    if len(name) > LONGEST_NAME:
        return f"a name may have {LONGEST_NAME} characters; this one has {len(name)}"
    if not name.isprintable():
        return f"{quoted(name)} is not a name: it holds a character that cannot be printed"
    return None


def _read_when(
    block: Node, known: Known, names: Sequence[str | None]
) -> Mapping[str, tuple[Scalar, ...]] | None:
    node = block.entries().get("when")
    if node is None or node.is_empty:
        return None
    if read.mapping(node, "the values that other parameters must have") is None:
        return None
    found: dict[str, tuple[Scalar, ...]] = {}
    for name, entry in node.all_entries().items():
        if name not in known:
            entry.refuse(_not_earlier(name, known, names))
            continue
        distribution = known[name]
        values: list[Scalar] = []
        for item in entry.items() if entry.is_list else (entry,):
            fits = None if distribution is None else fitted(distribution, item.data)
            if distribution is not None and fits is None:
                shown = quoted(item.plain())
                item.refuse(f"{shown} is impossible: {quoted(name)} is {allowed(distribution)}")
            elif fits is not None:
                values.append(fits[0])
        if entry.data == ():
            entry.refuse(f"there is no value of {quoted(name)}: at least one is needed")
        found[name] = tuple(values)
    return found


def _not_earlier(name: str, known: Known, names: Sequence[str | None]) -> str:
    if name in names:
        return f"{quoted(name)} does not come before this parameter: only an earlier one can decide"
    earlier = f"one of {', '.join(known)}" if known else "there is none before this one"
    return f"there is no parameter {quoted(name)}. Allowed is an earlier parameter: {earlier}"
