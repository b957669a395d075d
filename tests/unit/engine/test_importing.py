"""Finished trials are imported unchanged: all of them or none, in one commit."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.trials.imports import ImportedTrial, imported
from optunapi.errors import KeyReused, StorageUnavailable, Superseded, ValueInvalid
from tests.unit.engine.bulk import ask_many, enqueue, import_, item, numbers
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import LINE, THREE, Caller, Clock, optuna_study
from tests.unit.engine.test_races import broken, wait_until_available

TWO: dict[str, Any] = {"parameters": {**LINE, **THREE}}
KINDS = {"x": FloatDistribution(0, 10), "n": IntDistribution(0, 10)}


def test_an_imported_trial_is_kept_as_it_is(new_life: NewLife, clock: Clock) -> None:
    life = new_life(**TWO)
    count = import_(
        life,
        item(
            0.5,
            x=0.25,
            n=2,
            intermediate_values={1: 0.75, 30: 0.5},
            user_attrs={"host": "h", "cost": 1.5},
            constraints={"c": -1.0},
            started_at=clock.wall - 7200,
            finished_at=clock.wall - 3600,
        ),
        item(state="fail", x=1, reason="oom"),
        item(state="pruned", n=1, intermediate_values={1: 0.75, 2: 0.25}),
    )
    assert count == 3
    complete, failed, pruned = life.trials()
    assert (complete.state, complete.trial.values) == ("complete", [0.5])
    assert complete.params == {"x": 0.25, "n": 2}
    assert complete.reports == {1: 0.75, 30: 0.5}
    assert complete.trial.user_attrs == {"host": "h", "cost": 1.5}
    assert complete.trial.constraints == {"c": -1.0}
    assert complete.trial.datetime_start == datetime.fromtimestamp(clock.wall - 7200)
    assert complete.trial.datetime_complete == datetime.fromtimestamp(clock.wall - 3600)
    assert (complete.attempt, complete.record.worker, complete.lease) == (0, None, None)
    assert (failed.state, failed.fail_reason, failed.params) == ("fail", "oom", {"x": 1.0})
    assert failed.trial.datetime_start == failed.trial.datetime_complete
    assert failed.trial.datetime_complete == datetime.fromtimestamp(clock.wall)
    assert (pruned.state, pruned.trial.values) == ("pruned", [0.25])
    assert life.view().best == complete.trial
    assert optuna_study(life).trials == [each.trial for each in (complete, failed, pruned)]
    life.restart()
    life.assert_sound()


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"started_at": -60}, (-60, 0)),
        ({"finished_at": -60}, (-60, -60)),
        ({"started_at": 9}, (9, 9)),
    ],
)
def test_a_time_may_be_left_out(
    new_life: NewLife, clock: Clock, times: dict[str, Any], expected: tuple[float, float]
) -> None:
    life = new_life()
    import_(life, item(1.0, x=0, **{name: clock.wall + offset for name, offset in times.items()}))
    trial = life.trial(0).trial
    assert trial.datetime_start is not None
    assert trial.datetime_complete is not None
    found = (trial.datetime_start.timestamp(), trial.datetime_complete.timestamp())
    assert found == (clock.wall + expected[0], clock.wall + expected[1])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (item(x=0), "needs 1 finite"),
        (item(0.5, 0.5, x=0), "1 objective"),
        (item(float("nan"), x=0), "finite"),
        (item(1.0, state="fail", x=0), "failed trial has no values"),
        (item(1.0, x=2), "is not a number from 0"),
        (item(1.0, n=2.5), "is not a whole number"),
        (replace(item(1.0), params={"zz": 1}), "no parameter"),
        (item(1.0, x=0, distributions={"x": IntDistribution(0, 1)}), "another kind"),
        (item(1.0, x=0, started_at=2, finished_at=1), "before it is started"),
        (item(1.0, x=0, started_at=-1e12), "between"),
        (item(1.0, x=0, finished_at=1e12), "between"),
        (item(1.0, x=0, intermediate_values={2**63: 1.0}), "step"),
    ],
)
def test_one_wrong_item_refuses_all_and_is_named(
    new_life: NewLife, wrong: ImportedTrial, reason: str
) -> None:
    life = new_life(**TWO)
    life.ask("w")
    before = life.dump()
    with pytest.raises(ValueInvalid, match=f"^item 2: .*{reason}") as refused:
        import_(life, item(1.0, x=0), item(1.0, x=1), wrong, item(1.0, x=0.5))
    (error,) = refused.value.extra["errors"]
    assert error["location"][:2] == ["items", 2]
    assert life.dump() == before


def test_a_thousand_trials_are_one_commit(new_life: NewLife) -> None:
    life = new_life(**TWO)
    items = [item(float(n), x=n / 1000, n=1 + n % 3, user_attrs={"n": n}) for n in range(1000)]
    with broken(life, "trial_params"), pytest.raises(StorageUnavailable):
        import_(life, *items)
    wait_until_available(life)
    assert life.counts() == {}
    before = len(life.storage.commit_seconds())
    assert import_(life, *items) == 1000
    assert len(life.storage.commit_seconds()) == before + 1
    assert life.counts() == {"complete": 1000}
    assert life.view().best is not None
    life.assert_sound()


def test_limits_do_not_apply_to_imports(new_life: NewLife) -> None:
    life = new_life(**TWO, max_trials=2)
    life.change(state="finished")
    import_(life, *(item(1.0, x=n / 8) for n in range(5)))
    assert life.counts() == {"complete": 5}
    life.change(state="open")
    assert life.view().finished_reason == "max_trials"


def test_importing_does_not_begin_the_study_s_time(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_duration=60)
    import_(life, item(1.0, x=0, started_at=0, finished_at=1))
    clock.pass_(600)
    assert life.ask("w").number == 1
    clock.pass_(60)
    assert life.view().finished_reason == "max_duration"


def test_what_is_imported_counts_for_target_cost_and_space(new_life: NewLife) -> None:
    life = new_life(parameters=THREE, avoid_duplicates="all", max_cost=5)
    import_(life, item(1.0, n=1, user_attrs={"cost": 2}), item(1.0, n=3))
    asked = life.ask("w", lease_seconds=60.0)
    assert asked.params == {"n": 2}
    assert life.view().state == "open"
    life.complete(asked.number, 1.0)
    assert life.view().finished_reason == "space-exhausted"
    import_(life, item(1.0, n=1, user_attrs={"cost": 3}))
    assert life.view().finished_reason == "max_cost"
    life.assert_sound()


def test_samplers_learn_from_what_is_imported(new_life: NewLife) -> None:
    life = new_life(sampler={"name": "tpe", "seed": 1, "n_startup_trials": 20})
    import_(life, *(item(abs(n / 20 - 0.25), x=n / 20) for n in range(21)))
    found = [trial.params["x"] for trial in ask_many(life, 20)]
    assert sum(abs(x - 0.25) < 0.25 for x in found) > 15


def test_trials_of_several_objectives(new_life: NewLife) -> None:
    life = new_life(objectives={"loss": "minimize", "speed": "maximize"})
    import_(life, item(1.0, 2.0, x=0), item(2.0, 1.0, x=1), item(state="pruned", x=0.5))
    assert [trial.values for trial in life.storage.best_trials(life.id)] == [[1.0, 2.0]]
    with pytest.raises(ValueInvalid, match=r"item 0: .*2 objective"):
        import_(life, item(1.0, x=0))


# A study without parameters of its own


def test_an_empty_space_needs_the_distributions(new_life: NewLife) -> None:
    life = new_life(parameters={})
    before = life.dump()
    with pytest.raises(ValueInvalid, match=r'item 1: .*"n".*distributions'):
        import_(
            life,
            item(1.0, x=1, distributions=KINDS),
            item(1.0, n=2, distributions={"x": KINDS["x"]}),
        )
    with pytest.raises(ValueInvalid, match="item 0: n: 11 is not a whole number from 0 to 10"):
        import_(life, item(1.0, n=11, distributions=KINDS))
    assert life.dump() == before
    import_(life, item(1.0, x=1, n=2, distributions=KINDS))
    trial = life.trial(0).trial
    assert trial.params == {"x": 1.0, "n": 2}
    assert trial.distributions == KINDS
    assert optuna_study(life).trials == [trial]


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (FloatDistribution(0, 1), IntDistribution(0, 1)),
        (CategoricalDistribution([0, 1]), CategoricalDistribution([0, 1, 2])),
    ],
)
def test_one_name_is_one_kind_of_parameter(new_life: NewLife, first: Any, other: Any) -> None:
    one = item(1.0, x=0, distributions={"x": first})
    another = item(1.0, x=0, distributions={"x": other})
    life = new_life(parameters={})
    before = life.dump()
    with pytest.raises(ValueInvalid, match="item 1: "):
        imported(life.study.spec, [one, another], 0.0)
    with pytest.raises(ValueInvalid, match="item 1: "):
        import_(life, one, another)
    assert life.dump() == before
    import_(life, one)
    before = life.dump()
    with pytest.raises(ValueInvalid, match="item 1: "):
        import_(life, one, another)
    assert life.dump() == before
    life.assert_sound()


def test_another_range_is_no_other_kind(new_life: NewLife) -> None:
    life = new_life(parameters={})
    wide, narrow = FloatDistribution(0, 9), FloatDistribution(0, 1)
    import_(life, *(item(1.0, x=1, distributions={"x": d}) for d in (wide, narrow)))
    assert [t.trial.distributions["x"] for t in life.trials()] == [wide, narrow]


def test_a_study_with_parameters_keeps_to_its_own_distributions(new_life: NewLife) -> None:
    life = new_life(**TWO)
    import_(life, item(1.0, x=0.5, distributions=KINDS))
    assert life.trial(0).trial.distributions == {"x": FloatDistribution(0, 1)}


# Keys


def test_the_same_key_imports_once(new_life: NewLife) -> None:
    life = new_life(**TWO)
    items = [item(1.0, x=0), item(2.0, x=1)]
    assert import_(life, *items, key="k") == 2
    before = life.dump()
    assert import_(life, *items, key="k") == 2
    for call in (
        lambda: import_(life, items[0], key="k"),
        lambda: enqueue(life, {"n": 1}, key="k"),
        lambda: life.ask("w", key="k"),
    ):
        with pytest.raises(KeyReused):
            call()
    life.restart()
    assert import_(life, *items, key="k") == 2
    assert life.dump() == before
    assert import_(life, *items) == 2
    assert numbers(life.trials()) == [0, 1, 2, 3]
    life.assert_sound()


def test_two_equal_imports_at_once_import_once(new_life: NewLife) -> None:
    life = new_life(**TWO)
    items = [item(1.0, x=n / 50) for n in range(50)]
    callers = [Caller(lambda: import_(life, *items, key="k")) for _ in range(4)]
    assert [caller.outcome() for caller in callers] == [50] * 4
    assert life.counts() == {"complete": 50}


def test_an_import_checked_against_a_former_specification_is_checked_again(
    new_life: NewLife,
) -> None:
    life = new_life(**TWO)
    wider = spec_from_mapping({"parameters": {**LINE, **THREE}, "description": "changed"})

    class Items(list[ImportedTrial]):
        """Changes the specification after the items were checked."""

        def __iter__(self) -> Any:
            yield from super().__iter__()
            life.study.follow(wider)

    with pytest.raises(Superseded):
        life.study.import_trials(Items([item(1.0, x=0)]), key=None, digest="")
    assert life.counts() == {}


def test_what_a_new_study_would_refuse_is_known_before_it_is_made() -> None:
    spec = spec_from_mapping(TWO)
    assert len(imported(spec, [item(1.0, x=0), item(2.0, n=3)], 0.0)) == 2
    with pytest.raises(ValueInvalid, match="item 1: "):
        imported(spec, [item(1.0, x=0), item(2.0, n=4)], 0.0)
