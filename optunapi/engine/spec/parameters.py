"""The parameters of a configuration, in every form a file may give them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from optuna.distributions import BaseDistribution

from optunapi.engine.documents.document import Node, Scalar, joined, quoted
from optunapi.engine.documents.fields import Text
from optunapi.engine.names import name_fault
from optunapi.engine.space import Parameter, allowed, fitted_node
from optunapi.engine.spec.distributions import DISTRIBUTION_KEYS, read_distribution
from optunapi.engine.spec.short_form import as_in_long_form

PARAMETER_KEYS = ("name", *DISTRIBUTION_KEYS, "when")


def is_parameter(node: Node) -> bool:
    """Whether a value describes one parameter, rather than holding several or none."""
    entries = node.entries()
    return any(
        name in entries and not isinstance(entries[name].data, dict)
        for name in ("name", *DISTRIBUTION_KEYS)
    )


def read_parameters(node: Node, *, is_short: bool = False) -> tuple[list[Parameter], bool]:
    """The parameters of a mapping or list, and whether every one could be read.

    `is_short` says that they are in the short form, as files of OptunAPI 0.1 are.
    """
    if not (node.is_empty or isinstance(node.data, dict | list)):
        node.refuse(f"{node.shown()} is neither a mapping nor a list of parameters")
        return [], False
    blocks = parameter_entries(node, is_short=is_short)
    names = {name for name, _ in blocks}
    known: dict[str, BaseDistribution | None] = {}
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


def parameter_entries(node: Node, *, is_short: bool = False) -> list[tuple[str | None, Node]]:
    """The parameters of a mapping or list: the name, None where it has an error, and the entry of each."""
    read: Callable[[Node], Node] = as_in_long_form if is_short else lambda entry: entry
    if isinstance(node.data, dict) and not is_parameter(node):
        entries = {key: read(block) for key, block in node.all_entries().items()}
        return [(_name(block, key), block) for key, block in entries.items()]
    found = []
    for item in map(read, [node] if isinstance(node.data, dict) else node.items()):
        name = _name(item, None)
        key = item.key if name is None else joined(node.key, name)
        found.append((name, replace(item, key=key)))
    return found


def _name(block: Node, key: str | None) -> str | None:
    """A parameter's name: its `name`, else its key; None after noting why it has none."""
    if not isinstance(block.data, dict):
        block.refuse(f"{block.shown()} is not a parameter: a mapping with `type` and its range")
        return None
    name, given = key, block.entries().get("name")
    if given is not None and not given.is_empty:
        name = given.read(Text)
    elif key is None:
        block.refuse("`name` is missing: a parameter in a list needs it")
    if name is not None and (fault := name_fault(name)):
        (given or block).refuse(fault)
        return None
    return name


def _read_when(
    block: Node, known: Mapping[str, BaseDistribution | None], names: Collection[str | None]
) -> Mapping[str, tuple[Scalar, ...]] | None:
    """The values that parameters before this one, the `known` ones, must have."""
    node = block.entries().get("when")
    if node is None or node.is_empty or node.read(dict) is None:
        return None
    found: dict[str, tuple[Scalar, ...]] = {}
    for name, entry in node.all_entries().items():
        distribution = known.get(name)
        if name not in known and name in names:
            entry.refuse(f"{quoted(name)} must come before the parameter that depends on it")
        elif name not in known:
            earlier = f"one of {', '.join(known)}" if known else "there is none before this one"
            reason = f"there is no parameter {quoted(name)}. Allowed is an earlier parameter"
            entry.refuse(f"{reason}: {earlier}")
        elif entry.data == []:
            entry.refuse(f"[] has no value of {quoted(name)}: at least one is needed")
        if distribution is None:
            continue
        values: list[Scalar] = []
        for item in entry.items() if isinstance(entry.data, list) else [entry]:
            if fits := fitted_node(distribution, item):
                values.append(fits[0])
            else:
                impossible = f"{quoted(name)} is {allowed(distribution)}"
                item.refuse(f"{item.shown()} is impossible: {impossible}")
        found[name] = tuple(values)
    return found
