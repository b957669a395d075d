"""What a search of every point has explored, where trials name their parameters one by one.

The parameters of a trial, in their order, are a path through a tree: a node is one parameter, and a branch
is one of its values. Optuna's BruteForceSampler goes through this tree, and its GridSampler through a
list of points. Both end a study when nothing is left (`Study.stop`). Here the same follows from the
trials alone, so that it is still true after a restart.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from optunapi.engine.lifecycle import NOT_EVALUATED
from optunapi.engine.records import TrialRecord
from optunapi.engine.samplers.grid import MAX_POINTS, grid_of, points_in
from optunapi.engine.space import Parameter, count_values, fitted
from optunapi.engine.spec.model import StudySpec

EXHAUSTIVE = ("grid", "brute-force")

# Optuna's sampler lists the values of each node in memory.
MAX_VALUES = 1_000_000


class Explored:
    """Whether an exhaustive search has gone through what trials named by themselves.

    It is looked at again when a trial has changed. Where every parameter is configured,
    `taken_points` counts what is left, and there is nothing to do here.
    """

    def __init__(self, spec: StudySpec, trials: Callable[[], Sequence[FrozenTrial]]) -> None:
        self._spec = spec
        self._trials = trials
        self._configured = {parameter.name for parameter in spec.parameters}
        self.names_more = False  # a trial has a parameter that is not configured
        self._is_whole: bool | None = False

    def replace(self, after: FrozenTrial) -> None:
        """Take a changed or new trial into account."""
        if self._spec.sampler["name"] in EXHAUSTIVE:
            self.names_more = self.names_more or not after.params.keys() <= self._configured
            self._is_whole = None if self.names_more else False

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left."""
        if self._is_whole is None:
            self._is_whole = self._look()
        return self._is_whole

    def _look(self) -> bool:
        sampler, parameters = self._spec.sampler, self._spec.parameters
        if sampler["name"] == "grid":
            return is_grid_explored(
                self._trials(), grid_of(sampler.get("search_space"), parameters)
            )
        count_running = not sampler.get("avoid_premature_stop", False)
        return is_tree_explored(self._trials(), parameters, count_running=count_running)


Step = tuple[str, Any]  # a parameter's name and range


class TreeTooLarge(ValueError):
    """The tree has more values than can be kept in memory."""


class _Node:
    """Where the trials with the same first values go on: with the parameter of `step`, if there is one."""

    __slots__ = ("children", "has_ended", "size", "step")

    def __init__(self) -> None:
        self.step: Step | None = None
        self.size = 0  # the number of the parameter's values
        self.children: dict[float, _Node] = {}
        self.has_ended = False  # a trial has its last parameter before here


class _Tree:
    """The paths of trials. The first one added decides: a path that contradicts it is refused."""

    def __init__(self) -> None:
        self.root = _Node()
        self.nodes = [self.root]  # each behind the one that it is a child of
        self.n_values = 0

    def add(
        self, distributions: Mapping[str, BaseDistribution], params: Mapping[str, Any]
    ) -> _Node | None:
        """The node at which this path ends; None if it contradicts another, or cannot be listed.

        Raises:
            TreeTooLarge: there are too many values to list.
        """
        node = self.root
        for name, distribution in distributions.items():
            step = (name, _range(distribution))
            if node.step is None:
                size = count_values(distribution)
                if size is None or size > MAX_POINTS:
                    return None
                node.step, node.size = step, size
                self.n_values += size
                if self.n_values > MAX_VALUES:
                    raise TreeTooLarge(f"more than {MAX_VALUES} values would have to be listed")
            elif node.step != step:
                return None
            if name not in params:  # the parameter that is to be drawn next
                return node
            value = params[name]
            if fitted(distribution, value) is None and value == value:
                return None
            branch = distribution.to_internal_repr(value)
            child = node.children.get(branch)
            if child is None:
                child = node.children[branch] = _Node()
                self.nodes.append(child)
            node = child
        return node


def _range(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    return {**vars(distribution), "log": None}


def explorable(
    trials: Sequence[FrozenTrial],
    parameters: Sequence[Parameter],
    drafted: FrozenTrial,
    following: Mapping[str, BaseDistribution],
) -> list[FrozenTrial]:
    """The trials that Optuna's BruteForceSampler can use to draw the next parameter of `drafted`.

    The sampler raises for trials whose parameters contradict each other, as when an objective was
    changed or a trial ended before it had all its parameters. The newer trial counts then, `drafted`
    above all, and the one that has more parameters. `following` is the parameter to draw. Trials that
    were never evaluated are left out, so that their points come again.

    Raises:
        TreeTooLarge: there are too many values to list.
    """
    tree = _Tree()
    tree.add({**drafted.distributions, **following}, drafted.params)
    kept = [drafted, *(trial for trial, _ in _consistent(tree, trials, parameters, drafted))]
    return sorted(kept, key=lambda trial: trial.number)


def _consistent(
    tree: _Tree,
    trials: Sequence[FrozenTrial],
    parameters: Sequence[Parameter],
    drafted: FrozenTrial | None = None,
) -> Iterator[tuple[FrozenTrial, _Node]]:
    """Add trials to the tree, newest first. Returns those that fit into it, with their last nodes."""
    found = []
    for trial in reversed(trials):
        if drafted is not None and trial.number == drafted.number:
            continue
        if trial.params and was_evaluated(trial) and _has_all(parameters, trial):
            node = tree.add(trial.distributions, trial.params)
            if node is not None:
                found.append((trial, node))
    for trial, node in found:
        # One that ended before it named a parameter that others have explored nothing.
        if not (trial.state.is_finished() and node.step is not None):
            yield trial, node


def was_evaluated(trial: FrozenTrial) -> bool:
    """Whether the trial is open, or its evaluation ended by itself. A lost or cancelled one's did not."""
    if not trial.state.is_finished():
        return True
    return TrialRecord.of(trial).fail_reason not in NOT_EVALUATED


def _has_all(parameters: Sequence[Parameter], trial: FrozenTrial) -> bool:
    """Whether a trial has the configured parameters, with their present ranges."""
    for parameter in parameters:
        distribution = trial.distributions.get(parameter.name)
        if (distribution is not None) != parameter.applies(trial.params):
            return False
        if distribution is not None and _range(distribution) != _range(parameter.distribution):
            return False
    return True


def is_tree_explored(
    trials: Sequence[FrozenTrial], parameters: Sequence[Parameter], *, count_running: bool
) -> bool:
    """Whether trials have gone through every branch of the tree that they span.

    With `count_running` a branch also counts while a trial runs there, if it has named the same
    parameters as some trial that is finished: then it is unlikely to name more.
    """
    tree = _Tree()
    try:
        paths = list(_consistent(tree, trials, parameters))
    except TreeTooLarge:
        return False
    whole = {tuple(trial.params) for trial, _ in paths if trial.state.is_finished()}
    for trial, node in paths:
        node.has_ended |= trial.state.is_finished() or (
            count_running and tuple(trial.params) in whole
        )
    explored: set[int] = set()
    for node in reversed(tree.nodes):
        n_explored = sum(id(child) in explored for child in node.children.values())
        if n_explored == node.size if node.step else node.has_ended:
            explored.add(id(node))
    return id(tree.root) in explored


def is_grid_explored(
    trials: Iterable[FrozenTrial], search_space: Mapping[str, Sequence[Any]]
) -> bool:
    """Whether every point of a grid is taken by a trial for which Optuna's GridSampler chose it."""
    grid = dict(sorted(search_space.items()))
    taken = {
        trial.system_attrs["grid_id"]
        for trial in trials
        if "grid_id" in trial.system_attrs
        and trial.system_attrs.get("search_space") == grid
        and was_evaluated(trial)
    }
    return len(taken) >= points_in(grid)
