"""Classes of Optuna that a configuration names, and the arguments it may give them."""

import inspect
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from optunapi.engine.documents.document import Node, nearest, quoted
from optunapi.engine.documents.fields import Boolean, Number, Text, one_of, whole

MAX_SEED = 2**32 - 1

_BY_ANNOTATION = {"int": whole(0), "float": Number, "bool": Boolean, "str": Text}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A class and its arguments.

    The constructor's signature says which arguments there are. `types` adds those that its
    annotations do not describe well enough and those of our own: a type of `fields`, or a Component.
    Arguments in neither are Python objects, which no file has. `refused` ones have no effect in
    Optuna any more. `implied` ones may be left out although the constructor needs them.
    """

    made: type
    types: Mapping[str, Any] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    implied: frozenset[str] = frozenset()

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The constructor's parameters."""
        return inspect.signature(self.made).parameters

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The type of each argument that a configuration may give."""
        found: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            annotation = parameter.annotation
            words = annotation if isinstance(annotation, str) else annotation.__name__
            plain = _BY_ANNOTATION.get(words.removesuffix(" | None"))
            if plain and name not in self.refused:
                found[name] = whole(0, MAX_SEED) if name == "seed" else plain
        return found | dict(self.types)

    def needs(self, name: str) -> bool:
        """Whether a configuration must give the argument."""
        parameter = self.parameters.get(name)
        return (
            parameter is not None
            and parameter.default is inspect.Parameter.empty
            and name not in self.implied
        )

    def without_defaults(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """`arguments` without those that equal the constructor's default."""
        defaults = {name: parameter.default for name, parameter in self.parameters.items()}
        return {
            name: value
            for name, value in arguments.items()
            if name not in defaults or defaults[name] != value
        }


@dataclass(frozen=True, kw_only=True)
class Component:
    """A choice among `kinds`, written as a bare name or as a mapping with `name` and arguments.

    `what` names it in errors. `check` says whether one that was read can be made, and notes why not.
    """

    kinds: Mapping[str, Kind]
    what: str
    check: Callable[[Node, Mapping[str, Any]], bool] | None = None

    def read(self, node: Node) -> dict[str, Any] | None:
        """`{"name": …, **arguments}`, or None after noting every error."""
        entries = node.entries()
        named = node if isinstance(node.data, str) else entries.pop("name", None)
        if named is None and isinstance(node.data, dict):
            node.refuse(f"`name` is missing: one of {', '.join(self.kinds)}")
            return None
        if named is None:
            node.refuse(f"{node.shown()} is neither a {self.what}'s name nor a mapping with `name`")
            return None
        name = named.read(one_of(tuple(self.kinds), self.what))
        if name is None:
            return None
        noted = len(node.document.errors)
        found = {"name": name} | _read_arguments(node, entries, name, self.kinds[name])
        # A broken argument is None, without another error.
        sound = None not in found.values() and len(node.document.errors) == noted
        return found if sound and (self.check is None or self.check(node, found)) else None


def _read_arguments(
    node: Node, entries: Mapping[str, Node], name: str, kind: Kind
) -> dict[str, Any]:
    for key in kind.arguments:
        if key not in entries and kind.needs(key):
            node.refuse(f"{name} needs the argument {quoted(key)}")
    found = {}
    for key, entry in entries.items():
        if key in kind.arguments:
            type_ = kind.arguments[key]
            found[key] = type_.read(entry) if isinstance(type_, Component) else entry.read(type_)
        elif key in kind.refused:
            entry.refuse(f"{name}'s argument {quoted(key)} has no effect in Optuna any more")
        elif key in kind.parameters:
            entry.refuse(f"{name}'s argument {quoted(key)} is a Python object, which no file has")
        else:
            entry.refuse(f"{name} has no argument {quoted(key)}{nearest(key, kind.arguments)}")
    return found


def refuse_raised(node: Node, arguments: Mapping[str, Any], error: Exception) -> None:
    """Note what a constructor raised, at the argument that its message names, if it names one."""
    entries = node.entries()
    named = [name for name in arguments if name in entries and name in str(error)]
    place = entries[max(named, key=len)] if named else node
    reason = str(error).strip().replace("``", "`") or type(error).__name__
    place.refuse(f"Optuna refuses {place.shown()}: {reason}" if named else reason)


class _WithoutWarnings:
    """Blocks without warnings, which may overlap. Filters belong to the process.

    The first block that begins sets the filter, and the last one that ends restores the former filters:
    two threads that each restored what they had found would leave the filter set. No block waits for
    another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_open = 0
        self._former = warnings.catch_warnings()

    @contextmanager
    def block(self) -> Iterator[None]:
        with self._lock:
            if not self._n_open:
                self._former = warnings.catch_warnings()
                self._former.__enter__()
                warnings.simplefilter("ignore")
            self._n_open += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_open -= 1
                if not self._n_open:
                    self._former.__exit__(None, None, None)


_without_warnings = _WithoutWarnings()


def without_warnings() -> AbstractContextManager[None]:
    """A block in which Optuna does not warn of what it calls experimental, deprecated or unusual.

    Naming it in a configuration is the consent that the warning asks for.
    """
    return _without_warnings.block()
