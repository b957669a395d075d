"""Classes of Optuna's that a configuration names, and their arguments as it may give them."""

import inspect
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from optunapi.engine.documents import readers as read
from optunapi.engine.documents.document import Node, nearest, quoted

Reader = Callable[[Node], Any]
MAX_SEED = 2**32 - 1

_BY_ANNOTATION: Mapping[str, Reader] = {
    "int": partial(read.integer, minimum=0),
    "float": read.number,
    "bool": read.boolean,
    "str": read.text,
}
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_filters = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One class, and how its arguments are read.

    The constructor's own signature says which arguments there are; `readers` reads those that its
    annotations do not describe well enough, or that we add. A file cannot give what is in neither:
    callables, trials, and `refused`, which has no effect any more. `implied` may be left out
    although the constructor needs it.
    """

    made: type
    readers: Mapping[str, Reader] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    implied: frozenset[str] = frozenset()

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The constructor's parameters."""
        found = inspect.signature(self.made).parameters
        return {name: each for name, each in found.items() if each.kind not in _VARIADIC}

    @cached_property
    def arguments(self) -> dict[str, Reader]:
        """A reader for each argument a configuration may give."""
        found: dict[str, Reader] = {}
        for name, parameter in self.parameters.items():
            annotation = parameter.annotation
            words = annotation if isinstance(annotation, str) else annotation.__name__
            plain = _BY_ANNOTATION.get(words.removesuffix(" | None"))
            if plain and name not in self.refused:
                found[name] = plain
        if "seed" in found:
            found["seed"] = partial(read.integer, minimum=0, maximum=MAX_SEED)
        return found | dict(self.readers)

    @property
    def required(self) -> list[str]:
        """The arguments that must be given."""
        return [
            name
            for name in self.arguments
            if name in self.parameters
            and name not in self.implied
            and self.parameters[name].default is inspect.Parameter.empty
        ]

    def without_defaults(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """`arguments` but for those that state the constructor's default."""
        defaults = {name: parameter.default for name, parameter in self.parameters.items()}
        return {
            name: value
            for name, value in arguments.items()
            if name not in defaults or defaults[name] != value
        }


def read_component(node: Node, kinds: Mapping[str, Kind], what: str) -> dict[str, Any] | None:
    """`{"name": …, **arguments}` from a bare name or a mapping; None after noting why not."""
    if isinstance(node.data, str):
        name, entries = read.choice(node, tuple(kinds), what), {}
    elif node.is_mapping:
        entries = node.entries()
        if "name" not in entries:
            node.refuse(f"`name` is missing: the {what}'s name, one of {', '.join(kinds)}")
            return None
        name = read.choice(entries.pop("name"), tuple(kinds), what)
    else:
        node.refuse(f"{quoted(node.plain())} is neither a {what}'s name nor a mapping with `name`")
        return None
    if name is None:
        return None
    return _read_arguments(node, entries, kinds[name], name)


def _read_arguments(
    node: Node, entries: Mapping[str, Node], kind: Kind, name: str
) -> dict[str, Any] | None:
    readers = kind.arguments
    found: dict[str, Any] = {"name": name}
    sound = True
    for key, entry in entries.items():
        if key in readers:
            value = readers[key](entry)
            found[key] = value
            sound = sound and value is not None
            continue
        sound = False
        if key in kind.refused:
            entry.refuse(f"{name}'s argument {quoted(key)} has no effect in Optuna any more")
        elif key in kind.parameters:
            entry.refuse(
                f"{name}'s argument {quoted(key)} is a Python object, which no file can give"
            )
        else:
            entry.refuse(f"{name} has no argument {quoted(key)}{nearest(key, tuple(readers))}")
    for key in kind.required:
        if key not in entries:
            node.refuse(f"{name} needs the argument {quoted(key)}")
            sound = False
    return found if sound else None


def refuse_raised(node: Node, arguments: Mapping[str, Any], error: Exception) -> None:
    """Note what a constructor raised, at the argument it speaks of if it names one."""
    entries = node.entries()
    spoken_of = [name for name in arguments if name in entries and name in str(error)]
    place = entries[max(spoken_of, key=len)] if spoken_of else node
    reason = str(error).strip().replace("``", "`")
    place.refuse(reason or f"Optuna refuses it ({type(error).__name__})")


@contextmanager
def without_warnings() -> Iterator[None]:
    """Construct what Optuna calls experimental or deprecated without its warning.

    Naming it in a configuration is the consent that the warning asks for.
    """
    # Filters are the process's: two threads leaving in the wrong order would keep ours for good.
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
