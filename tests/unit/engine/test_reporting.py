"""The answer to a report, also when it is sent again because the answer was lost."""

import pytest

from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Clock, Life

RUNGS = {"min_resource": 1, "reduction_factor": 2}
HALVING = {"name": "successive-halving", **RUNGS}
HYPERBAND = {"name": "hyperband", **RUNGS, "max_resource": 2}


def losing(life: Life) -> tuple[int, str | None]:
    """A trial in the same bracket as the other, with worse values reported."""
    number, step = 0, 0
    while not life.report(
        (seen := life.ask("w")).number, 4, float(step), seen.lease_id
    ).should_prune:
        number, step = seen.number, step + 1
        assert number < 20, "no trial was pruned"
    return seen.number, seen.lease_id


@pytest.mark.parametrize("pruner", [HALVING, HYPERBAND], ids=["halving", "hyperband"])
def test_a_report_sent_again_is_answered_as_the_first_time(
    new_life: NewLife, pruner: dict[str, object]
) -> None:
    life = new_life(pruner=pruner)
    number, lease = losing(life)
    before = life.dump()
    assert life.report(number, 4, 0.0, lease).should_prune
    assert life.dump() == before
    life.restart()
    assert life.report(number, 4, 0.0, lease).should_prune


def test_a_later_step_is_judged_by_itself(new_life: NewLife) -> None:
    life = new_life(pruner={"name": "threshold", "upper": 1.0})
    seen = life.ask("w")
    assert life.report(seen.number, 1, 2.0, seen.lease_id).should_prune
    assert not life.report(seen.number, 2, 0.5, seen.lease_id).should_prune


def test_an_attempt_ignores_the_answers_to_the_attempt_before(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(pruner={"name": "threshold", "upper": 1.0})
    lost = life.ask("a", lease_seconds=60)
    assert life.report(lost.number, 1, 2.0, lost.lease_id).should_prune
    clock.pass_(61)
    on = life.ask("b")
    assert on.number == lost.number
    assert not life.report(on.number, 1, 0.5, on.lease_id).should_prune
