"""Random operations on our storage and on Optuna's in memory: equal results, also after reopening."""

import math
import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.storage import open_storage
from tests.support import scaled
from tests.unit.storage.support import (
    DISTRIBUTIONS,
    assert_database_equals_memory,
    assert_kept_is_true,
    plain,
    template,
)

Result = TypeVar("Result")

# A zero loses its sign in SQLite, and so here at once: see test_as_read.py.
FLOATS = st.floats(allow_nan=False).map(lambda value: value + 0.0)
NUMBERS = st.floats().map(lambda value: value + 0.0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["a", "b", "ü'\"\x00", "optunapi:x", "constraints:c"])
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "x": st.floats(0, 1),
        "n": st.integers(1, 9),
        "c": st.sampled_from(["a", None, True, 0.5]),
    },
)
PLACES = st.integers(0, 7)


class Undone(Exception):
    """Raised at the end of a unit to undo it."""


class Storages(RuleBasedStateMachine):
    """Both storages, and which study and trial of one corresponds to which of the other."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{self.folder.name}/study.db"
        self.ours = open_storage(self.url)
        self.theirs = InMemoryStorage()
        self.studies: list[tuple[int, int]] = []
        self.trials: list[tuple[int, int, int]] = []  # our id, their id, our study's id
        self.names = 0

    def teardown(self) -> None:
        self.ours.close()
        self.folder.cleanup()

    def both(self, act: Callable[[BaseStorage, int], Result], ours: int, theirs: int) -> Any:
        """The outcome of an operation on both storages; an error's type if it raises."""
        outcomes: list[Any] = []
        for storage, which in ((self.ours, ours), (self.theirs, theirs)):
            try:
                outcomes.append(act(storage, which))
            except (KeyError, UpdateFinishedTrialError, DuplicatedStudyError, ValueError) as error:
                outcomes.append(type(error))
        return outcomes

    @rule(maximize=st.lists(st.booleans(), min_size=1, max_size=2))
    def create_study(self, maximize: list[bool]) -> None:
        self.names += 1
        directions = [StudyDirection.MAXIMIZE if m else StudyDirection.MINIMIZE for m in maximize]
        ours, theirs = self.both(
            lambda storage, _: storage.create_new_study(directions, f"study {self.names}"), 0, 0
        )
        self.studies.append((ours, theirs))

    @rule(place=PLACES)
    def delete_study(self, place: int) -> None:
        if place < len(self.studies) - 1:
            ours, theirs = self.studies.pop(place)
            self.both(lambda storage, study_id: storage.delete_study(study_id), ours, theirs)
            self.trials = [trial for trial in self.trials if trial[2] != ours]

    @rule(place=PLACES, key=KEYS, value=JSON, user=st.booleans())
    def set_study_attr(self, place: int, key: str, value: Any, user: bool) -> None:
        if self.studies:
            ours, theirs = self.studies[place % len(self.studies)]
            name = "set_study_user_attr" if user else "set_study_system_attr"
            self.both(lambda storage, i: getattr(storage, name)(i, key, value), ours, theirs)

    @rule(
        place=PLACES,
        state=st.sampled_from(TrialState),
        value=FLOATS,
        params=PARAMS,
        attrs=st.dictionaries(KEYS.filter(lambda key: "constraints" not in key), JSON),
        reports=st.dictionaries(st.integers(-(2**63), 2**63 - 1), NUMBERS, max_size=3),
        infeasible=st.booleans(),
    )
    def create_trial(
        self,
        place: int,
        state: TrialState,
        value: float,
        params: dict[str, Any],
        attrs: dict[str, Any],
        reports: dict[int, float],
        infeasible: bool,
    ) -> None:
        if not self.studies:
            return
        ours, theirs = self.studies[place % len(self.studies)]
        objectives = len(self.ours.get_study_directions(ours))
        new = template(
            state,
            values=[value] * objectives if state == TrialState.COMPLETE else None,
            params=params,
            reports=reports,
            user_attrs=attrs,
            system_attrs={"constraints:c": 1.0} if infeasible else {},
        )
        mine, other = self.both(
            lambda storage, study_id: storage.create_new_trial(study_id, new), ours, theirs
        )
        self.trials.append((mine, other, ours))

    def on_trial(self, place: int, act: Callable[[BaseStorage, int], Any]) -> None:
        if self.trials:
            ours, theirs, _ = self.trials[place % len(self.trials)]
            one, other = self.both(act, ours, theirs)
            assert one == other

    @rule(place=PLACES, name=st.sampled_from(["x", "y"]), value=st.floats(0, 1))
    def set_param(self, place: int, name: str, value: float) -> None:
        self.on_trial(place, lambda s, i: s.set_trial_param(i, name, value, DISTRIBUTIONS["x"]))

    @rule(place=PLACES, step=st.integers(-3, 3), value=NUMBERS)
    def report(self, place: int, step: int, value: float) -> None:
        self.on_trial(place, lambda s, i: s.set_trial_intermediate_value(i, step, value))

    @rule(place=PLACES, key=KEYS, value=JSON, user=st.booleans())
    def set_attr(self, place: int, key: str, value: Any, user: bool) -> None:
        if key.startswith("optunapi:") and not user:
            return  # ours accepts these on finished trials
        name = "set_trial_user_attr" if user else "set_trial_system_attr"
        if key.startswith("constraints"):
            value = 0.0
        self.on_trial(place, lambda s, i: getattr(s, name)(i, key, value))

    @rule(place=PLACES, state=st.sampled_from(TrialState), value=FLOATS)
    def set_state(self, place: int, state: TrialState, value: float) -> None:
        if not self.trials:
            return
        study_id = self.trials[place % len(self.trials)][2]
        objectives = len(self.ours.get_study_directions(study_id))
        values = [value] * objectives if state == TrialState.COMPLETE else None
        self.on_trial(place, lambda s, i: s.set_trial_state_values(i, state, values))

    @rule(place=PLACES, key=KEYS)
    def undo(self, place: int, key: str) -> None:
        """A unit that ends in an error has not happened; only our storage has units."""
        if not self.studies:
            return
        study_id, _ = self.studies[place % len(self.studies)]
        try:
            with self.ours.unit():
                objectives = len(self.ours.get_study_directions(study_id))
                new = template(TrialState.COMPLETE, values=[-math.inf] * objectives)
                self.ours.add_trial(study_id, new)
                self.ours.set_study_user_attr(study_id, key, "undone")
                for trial in self.ours.open_trials(study_id):
                    self.ours.update_trial(trial._trial_id, state=TrialState.FAIL)
                self.ours.create_new_study([StudyDirection.MINIMIZE], "undone")
                raise Undone
        except Undone:
            pass

    @rule()
    def reopen(self) -> None:
        self.ours.close()
        self.ours = open_storage(self.url)

    @invariant()
    def equal(self) -> None:
        if not hasattr(self, "ours"):
            return
        for ours, theirs in self.studies:
            for read in ("get_study_user_attrs", "get_study_system_attrs"):
                assert same(getattr(self.ours, read)(ours), getattr(self.theirs, read)(theirs))
            mine = self.ours.get_all_trials(ours)
            assert [like(t) for t in mine] == [like(t) for t in self.theirs.get_all_trials(theirs)]
            assert_kept_is_true(self.ours, ours)

    @rule()
    def judge(self) -> None:
        """Optuna's own storage reads the same from our file."""
        assert_database_equals_memory(self.ours)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return repr(sorted(one.items())) == repr(sorted(other.items()))


def like(trial: FrozenTrial) -> dict[str, str]:
    """A trial without ids and times, which differ between the storages."""
    own = {"_trial_id", "_datetime_start", "datetime_complete"}
    return {key: value for key, value in plain(trial).items() if key not in own}


Storages.TestCase.settings = settings(
    max_examples=scaled(15, 150),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_random_operations_equal_optuna_s_in_memory_storage = Storages.TestCase
