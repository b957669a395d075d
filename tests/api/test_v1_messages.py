"""Whatever is wrong in a body, the text of the refusal names the field and the value."""

from collections.abc import Iterator
from typing import Any

import pytest

from optunapi.engine.documents.document import quoted
from tests.api.wire import SPACE, Wire
from tests.support import scaled
from tests.unit.test_spec_messages import WRONG, paths, replaced

POINT = {"x": 0.5, "n": 3}
BODIES: dict[str, dict[str, Any]] = {
    "POST /trials": {"worker": "w", "resume": False, "lease_seconds": 9.5, "params": POINT},
    "POST /trials/batch": {"count": 2, "worker": "w", "lease_seconds": 9.5},
    "POST /trials/0/tell": {"state": "fail", "reason": "r", "constraints": {"c": 1.5}},
    "POST /trials/0/report": {"step": 1, "value": 0.5, "lease": "no"},
    "POST /trials/0/renew": {"lease": "no", "lease_seconds": 9.5},
    "POST /trials/0/suggest": {
        "name": "y",
        "distribution": {"type": "float", "low": 0.5, "high": 1.5, "log": True},
        "lease": "no",
    },
    "PATCH /trials/0": {"user_attrs": {"a": 1}},
    "PATCH ": {
        "state": "open",
        "limits": {"max_trials": 9, "max_duration": 9.5, "target": {"score": 1.5}},
        "lease_seconds": 9.5,
        "description": "d",
    },
    "POST /queue": {"items": [{"params": POINT, "skip_if_exists": True}]},
    "POST /import": {"items": [{"params": POINT, "values": [0.5], "user_attrs": {"a": 1}}]},
    "POST /tell": {"items": [{"number": 7, "value": 0.5, "state": "complete"}]},
}  # fmt: skip
# JSON has these, and each has another type than most fields.
SENT = [each for each in WRONG if each not in (10**400, 1e300, "y" * 200)]


def parts(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield from parts(below)


@pytest.mark.parametrize("route", BODIES)
def test_a_refusal_of_a_body_names_the_field_and_the_value(wire: Wire, route: str) -> None:
    method, _, path = route.partition(" ")
    name = wire.put(SPACE, max_running=1)
    wire.ask(name)
    url, whole = f"/studies/{name}{path}", BODIES[route]
    refused = 0
    for number, place in enumerate(paths(whole)):
        for wrong in SENT if scaled(0, 1) else SENT[number % 3 :: 3]:
            response = wire.request(method, url, json=replaced(whole, place, wrong))
            document = response.json()
            if response.status_code != 422:
                assert response.status_code in (200, 201, 404, 409, 429), response.text
                continue
            said = " ".join([document["detail"], *map(str, document.get("errors", ()))])
            assert any(str(part) in said for part in place if isinstance(part, str)), (place, said)
            shown = [form for each in parts(wrong) for form in (quoted(each), str(each))]
            assert (
                "is missing" in said or "none given" in said or any(each in said for each in shown)
            ), (wrong, said)
            refused += 1
    assert refused >= 4
