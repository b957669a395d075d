"""Memory holds values as the database will return them, and shares none with a caller."""

import json
import math
from typing import Any

import pytest
from optuna.trial import TrialState

from optunapi.storage import WriteThroughStorage
from optunapi.storage.encoding import normal_attrs
from tests.unit.storage.support import opened, template


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": 1, "b": 0.1, "c": "é\ud800", "d": None, "e": True, "f": math.inf},
        {"a": [1, 2], "b": {"c": {}}},
        {1: "one", None: "none", False: "false"},
        [1, (2, 3)],
        (),
    ],
    ids=repr,
)
def test_a_value_is_what_json_returns_and_shared_with_no_caller(value: Any) -> None:
    found = normal_attrs({"k": value})["k"]
    assert (found, type(found)) == ((known := json.loads(json.dumps(value))), type(known))
    assert found is not value
    if isinstance(found, dict):
        assert all(type(key) is str for key in found)
        found["new"] = 1
        assert "new" not in value


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError):
        normal_attrs({"k": {"a": object()}})


def test_a_zero_has_no_sign_in_memory_as_in_the_database(
    storage: WriteThroughStorage, study_id: int, url: str
) -> None:
    trial = storage.add_trial(
        study_id,
        template(TrialState.COMPLETE, values=[-0.0], params={"x": -0.0}, reports={1: -0.0}),
    )
    storage.committed().result()
    storage.close()
    with opened(url) as again:
        for found in (trial, again.get_trial(trial._trial_id)):
            assert found.values is not None
            zeros = [*found.values, *found.params.values(), *found.intermediate_values.values()]
            assert [math.copysign(1, zero) for zero in zeros] == [1, 1, 1]
