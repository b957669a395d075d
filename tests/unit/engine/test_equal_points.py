"""`skip_if_exists` skips the points that Optuna skips."""

import math
from typing import Any

import optuna
from hypothesis import given, settings
from hypothesis import strategies as st

from optunapi.engine.trials.equal_points import KnownPoints
from tests.support import scaled

optuna.logging.set_verbosity(optuna.logging.WARNING)

NUMBERS = st.one_of(
    st.sampled_from([0.3, 0.1 + 0.2, 1, 1.0, True, False, 0, 0.0, -0.0, math.nan, math.inf, 2**60]),
    st.floats(allow_nan=False, allow_infinity=False),
)
NEAR = st.builds(
    lambda value, part: value * (1 + part),
    st.sampled_from([1.0, -3.0, 0.1, 1e-300, 1e300, 5e-324, math.e, 100_000.0]),
    st.sampled_from([0, 1e-16, 9e-6, 1.1e-5, -9e-6, -1.1e-5]),
)
VALUES = st.one_of(NUMBERS, NEAR, st.sampled_from([None, "a", "1", 100_000, 100_001]))
POINTS = st.dictionaries(st.sampled_from("xy"), VALUES, max_size=2)


@settings(max_examples=scaled(200, 5_000), deadline=None)
@given(st.lists(POINTS, max_size=8))
def test_the_points_that_optuna_skips_are_known(points: list[dict[str, Any]]) -> None:
    study = optuna.create_study()
    known: KnownPoints[int] = KnownPoints()
    for index, point in enumerate(points):
        before = len(study.trials)
        study.enqueue_trial(point, skip_if_exists=True)
        is_new = known.find(point) is None
        assert is_new == (len(study.trials) > before), point
        if is_new:
            known.add(point, index)
