"""The points of a space: how many there are, and one after another."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from optunapi.engine.space import Parameter, Values

# Counting a component takes at most about this many steps: a fraction of a second.
MAX_STEPS = 100_000

_END = object()


def points(
    parameters: Sequence[Parameter], values: Mapping[str, Values], rng: random.Random
) -> Iterator[dict[str, Any]]:
    """Every point of the space once, from a random one on."""
    chosen: dict[str, Any] = {}
    left: list[Iterator[Any]] = []  # for each parameter so far, its values that are still to come
    while True:
        for parameter in parameters[len(left) :]:
            applies = parameter.applies(chosen)
            left.append(values[parameter.name].each(rng) if applies else iter(()))
            if applies:
                chosen[parameter.name] = next(left[-1])
        yield dict(chosen)
        while left:
            name = parameters[len(left) - 1].name
            if name in chosen:
                del chosen[name]
                if (value := next(left[-1], _END)) is not _END:
                    chosen[name] = value
                    break
            left.pop()
        else:
            return


def count_points(parameters: Sequence[Parameter], values: Mapping[str, Values]) -> int | None:
    """The number of points; None if there are infinitely many, or more than can be tried.

    Parameters that no condition connects are counted apart, and their numbers multiplied.
    """
    counts = {parameter.name: values[parameter.name].count for parameter in parameters}
    found = 1
    for component in _components(parameters):
        if any(counts[parameter.name] is None for parameter in component):
            return None
        count = (
            _count_component(component, values) if len(component) > 1 else counts[component[0].name]
        )
        if count is None:
            return None
        found *= count
    return found


def _components(parameters: Sequence[Parameter]) -> list[list[Parameter]]:
    """The parameters, grouped by which depend on each other, each group in its order."""
    groups: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        mine = [parameter]
        # Each list of a group is one object: the largest is extended, so that few are moved.
        known = {id(groups[name]): groups[name] for name in parameter.when or ()}
        if known:
            largest = max(known.values(), key=len)
            for group in known.values():
                if group is not largest:
                    largest += group
                    groups.update((each.name, largest) for each in group)
            largest.append(parameter)
            mine = largest
        groups[parameter.name] = mine
    place = {parameter.name: index for index, parameter in enumerate(parameters)}
    found = {id(group): group for group in groups.values()}.values()
    return [sorted(group, key=lambda each: place[each.name]) for group in found]


Key = tuple[bool, Any]  # of a value: tells true from 1
Kinds = Mapping[frozenset[str], int]
State = tuple[frozenset[str], ...]

# A parameter that is not used meets no condition, in one way.
_ABSENT: Kinds = {frozenset(): 1}


def _count_component(component: Sequence[Parameter], values: Mapping[str, Values]) -> int | None:
    """The number of points of parameters whose conditions connect them; None after MAX_STEPS.

    What depends on one parameter alone, with all that depends on it, is counted with that parameter's
    values, so that a tree of conditions is counted in one pass. The others are counted together.
    """
    ways: dict[str, dict[Key, int]] = defaultdict(dict)  # of what depends on a value alone
    dependents: dict[str, list[Parameter]] = defaultdict(list)  # the others
    tied: list[Parameter] = []
    found = 1
    for parameter in reversed(component):
        name, when = parameter.name, parameter.when or {}
        if dependents[name] or len(when) > 1:
            tied.append(parameter)
            for each in when:
                dependents[each].append(parameter)
            continue
        total = sum(_kinds(parameter, (), ways[name], values[name]).values())
        if not when:
            found *= total
        for each, meeting in when.items():
            for key in {_key(value) for value in meeting}:
                ways[each][key] = ways[each].get(key, 1) * total
    kinds = {p.name: _kinds(p, dependents[p.name], ways[p.name], values[p.name]) for p in tied}
    count = _count_tied(tied[::-1], kinds)
    return None if count is None else found * count


def _kinds(
    parameter: Parameter, dependents: Iterable[Parameter], ways: Mapping[Key, int], values: Values
) -> Kinds:
    """For each set of dependents: how many values meet their conditions, each with its `ways`."""
    meets: dict[Key, set[str]] = {key: set() for key in ways}
    for dependent in dependents:
        for value in (dependent.when or {})[parameter.name]:
            meets.setdefault(_key(value), set()).add(dependent.name)
    if values.given is not None:
        given = {_key(value) for value in values.given}
        meets = {key: names for key, names in meets.items() if key in given}
    found: Counter[frozenset[str]] = Counter()
    for key, names in meets.items():
        found[frozenset(names)] += ways.get(key, 1)
    if others := (values.count or 0) - len(meets):
        found[frozenset()] += others
    return found


def _key(value: Any) -> Key:
    return isinstance(value, bool), value


def _count_tied(parameters: Sequence[Parameter], kinds: Mapping[str, Kinds]) -> int | None:
    """The number of points of parameters with conditions on several others; None after MAX_STEPS.

    Values are told apart only by which conditions they meet, and only until the last parameter with such
    a condition is counted. Each combination that is told apart has a point: if there are too many of them
    to count, there are too many points to try.
    """
    following: dict[State, int]
    states: Mapping[State, int] = {(): 1}
    live: list[str] = []  # the parameters whose values are told apart, in the order of a state
    waiting = {p.name: {name for kind in kinds[p.name] for name in kind} for p in parameters}
    steps = 0
    for parameter in _in_order(parameters):
        name = parameter.name
        places = [live.index(each) for each in parameter.when or ()]
        for each in parameter.when or ():
            waiting[each].discard(name)
        live.append(name)
        kept = [place for place, each in enumerate(live) if waiting[each]]
        following = defaultdict(int)
        for state, count in states.items():
            applies = all(name in state[place] for place in places)
            for kind, n_values in (kinds[name] if applies else _ABSENT).items():
                whole = (*state, kind)
                following[tuple(whole[place] for place in kept)] += count * n_values
                steps += 1
            if steps > MAX_STEPS:
                return None
        states, live = following, [live[place] for place in kept]
    return sum(states.values())


def _in_order(parameters: Sequence[Parameter]) -> Iterator[Parameter]:
    """The parameters, each after those of its conditions, and its dependents soon after it."""
    dependents: dict[str, list[Parameter]] = {parameter.name: [] for parameter in parameters}
    for parameter in parameters:
        for name in parameter.when or ():
            dependents[name].append(parameter)
    missing = {parameter.name: len(parameter.when or ()) for parameter in parameters}
    ready = [parameter for parameter in reversed(parameters) if not parameter.when]
    while ready:
        parameter = ready.pop()
        yield parameter
        freed = []
        for each in dependents[parameter.name]:
            missing[each.name] -= 1
            if not missing[each.name]:
                freed.append(each)
        # One that nothing depends on comes next: after it, less may have to be told apart.
        ready += sorted(freed, key=lambda each: not dependents[each.name])
