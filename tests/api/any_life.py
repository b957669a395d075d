"""The life of a study as a list of requests: any that its workers and its owner may send, in any order."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from hypothesis import strategies as st

SPACES: dict[str, dict[str, Any]] = {
    "flat": {
        "x": {"type": "float", "low": -1, "high": 1},
        "n": {"type": "int", "low": 1, "high": 4},
        "c": {"type": "categorical", "choices": [None, True, "a", 2.5, "1"]},
    },
    "conditional": {
        "n": {"type": "int", "low": 1, "high": 4},
        "x": {"type": "float", "low": 1e-8, "high": 1, "log": True, "when": {"n": [1, 2]}},
    },
    "define-by-run": {},
}
EXPIRES_AT_ONCE, EXPIRES_NEVER = 1e-9, 86_400.0
OWN, FORMER = "its own lease", "a former lease"  # in place of ids that are not known yet


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request to a study. `{n}` in the path is one of its trials, and `OWN` in a body one of its leases."""

    method: str
    path: str
    n: int = 0
    body: Any = None
    content: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(kw_only=True)
class Life:
    """A study on a server: knows the trials and leases that the server gave."""

    client: httpx.Client
    study: str
    trials: dict[int, list[str]] = field(default_factory=dict)

    def send(self, call: Call) -> httpx.Response:
        """The reply to a request of this study."""
        n = call.n % max(len(self.trials), 1)
        body = self._with_lease(call.body, self.trials.get(n))
        content = call.content if body is None else json.dumps(body).encode()
        path = f"/optunapi/v1/studies/{self.study}{call.path.replace('{n}', str(n))}"
        headers = [*call.headers, ("Content-Type", "application/json")]
        reply = self.client.request(call.method, path, content=content, headers=headers)
        if reply.is_success and "json" in reply.headers.get("Content-Type", ""):
            self._learn(reply.json())
        return reply

    def _with_lease(self, body: Any, leases: list[str] | None) -> Any:
        if isinstance(body, dict) and body.get("lease") in (OWN, FORMER):
            lease = {"lease": leases[-1 if body["lease"] == OWN else 0]} if leases else {}
            return {key: value for key, value in body.items() if key != "lease"} | lease
        return body

    def _learn(self, content: dict[str, Any]) -> None:
        for trial in content.get("items", [content]):
            if "attempt" in trial:
                leases = self.trials.setdefault(trial["number"], [])
                if trial["lease"] and trial["lease"]["id"] not in leases:
                    leases.append(trial["lease"]["id"])


# What JSON can hold

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
texts = words | st.sampled_from(
    ["long " * 1500, 'two\nlines, "and" a tab\t', "=1+1", "null", "ü\u2028"]
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
scalars = st.none() | st.booleans() | numbers | texts
documents = st.recursive(
    scalars, lambda of: st.lists(of, max_size=3) | st.dictionaries(words, of, max_size=3)
)
attrs = st.dictionaries(words | st.just("cost"), documents, max_size=2) | st.just(
    {"late_for": {"this": "names no trial"}}
)
values = st.floats(allow_nan=False, allow_infinity=False)
constraints = st.dictionaries(st.sampled_from(["memory", "a/b~"]) | words, values, max_size=2)
points = st.fixed_dictionaries(
    {},
    optional={
        "x": st.floats(0.01, 1) | st.just(0),
        "n": st.integers(1, 4),
        "c": st.sampled_from([None, True, "a", 2.5, "1"]),
    },
)
steps = st.integers(0, 5) | st.just(2**63 - 1)
workers = st.sampled_from(["a", "b", "ü" * 255])
leases = st.sampled_from([OWN, OWN, OWN, FORMER])
distributions = st.sampled_from(
    [
        {"type": "float", "low": -1, "high": 1},
        {"type": "float", "low": 0, "high": 1, "step": 0.25},
        {"type": "int", "low": 1, "high": 2**53},
        {"type": "categorical", "choices": [None, True, "a", 2.5, "1", "long " * 100]},
    ]
)


def _call(
    method: str, path: str, bodies: st.SearchStrategy[Any] | None = None, **given: Any
) -> st.SearchStrategy[Call]:
    return st.builds(
        Call,
        method=st.just(method),
        path=st.just(path),
        n=st.integers(0, 3),
        body=st.none() if bodies is None else bodies,
        **given,
    )


def _body(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


def calls(n_objectives: int) -> st.SearchStrategy[Call]:
    """A request of any kind to a study with `n_objectives` objectives."""
    results = st.lists(values, min_size=n_objectives, max_size=n_objectives)
    asked: dict[str, st.SearchStrategy[Any]] = {
        "worker": workers,
        "lease_seconds": st.sampled_from([EXPIRES_AT_ONCE, EXPIRES_AT_ONCE, EXPIRES_NEVER]),
        "user_attrs": attrs,
    }
    told: dict[str, st.SearchStrategy[Any]] = {"constraints": constraints, "user_attrs": attrs}
    point = st.fixed_dictionaries({"params": points}, optional={"user_attrs": attrs})
    keys = st.sampled_from([(), (), (("Idempotency-Key", "k"),)])
    asks = _call("POST", "/trials", _body(**asked, params=points), headers=keys)
    results_of = [
        st.fixed_dictionaries({"values": results}, optional={**told, "lease": leases}),
        st.fixed_dictionaries({"state": st.just("pruned"), "lease": leases}, optional=told),
        st.fixed_dictionaries(
            {"state": st.just("fail"), "reason": texts, "lease": leases}, optional=told
        ),
    ]
    tells = _call("POST", "/trials/{n}/tell", st.one_of(results_of))
    reports = _call(
        "POST",
        "/trials/{n}/report",
        st.fixed_dictionaries({"step": steps, "lease": leases, "value": values})
        | st.fixed_dictionaries(
            {"step": steps, "lease": leases, "value": st.none()},
            optional={"infinity": st.sampled_from("+-")},
        ),
    )
    retries = _call("POST", "/trials/{n}/retry")
    rest = st.one_of(
        _call(
            "POST",
            "/trials/batch",
            st.fixed_dictionaries({"count": st.integers(1, 3)}, optional=asked),
        ),
        _call(
            "POST", "/trials", st.fixed_dictionaries({"worker": workers, "resume": st.just(True)})
        ),
        _call("POST", "/trials/{n}/renew", st.fixed_dictionaries({"lease": leases})),
        _call("POST", "/trials/{n}/release", st.fixed_dictionaries({"lease": leases})),
        _call("POST", "/trials/{n}/stop"),
        _call(
            "POST",
            "/trials/{n}/suggest",
            st.fixed_dictionaries(
                {"name": words | st.just("more"), "distribution": distributions, "lease": leases}
            ),
        ),
        _call("PATCH", "/trials/{n}", st.fixed_dictionaries({"user_attrs": attrs})),
        _call("DELETE", "/trials/{n}"),
        _call("DELETE", "/trials?state=running&worker=a"),
        _call("POST", "/queue", point),
        _call("POST", "/queue", st.fixed_dictionaries({"items": st.lists(point, max_size=3)})),
        _call("DELETE", "/queue/{n}"),
        _call("PUT", "/trials/{n}/artifacts/model%20%C3%BC.pt", content=st.binary(max_size=3)),
        _call("PUT", "/trials/{n}/artifacts/log.txt", content=st.binary(max_size=3)),
        _call("DELETE", "/trials/{n}/artifacts/log.txt"),
    )
    # Not `one_of`, to which each of the rest would count as much as the asks.
    kinds = [asks, asks, asks, tells, tells, reports, reports, retries, rest, rest]
    return st.sampled_from(kinds).flatmap(lambda kind: kind)


@st.composite
def lives(draw: st.DrawFn, *, max_size: int) -> tuple[dict[str, Any], list[Call]]:
    """A specification, and requests to the study that it describes."""
    n_objectives = draw(st.sampled_from([1, 1, 2, 3]))
    spec = {
        "objectives": {
            f"o{place}": draw(st.sampled_from(["minimize", "maximize"]))
            for place in range(n_objectives)
        },
        "sampler": {"name": "random", "seed": 1},
        "pruner": {"name": "median", "n_startup_trials": 1}
        if n_objectives == 1
        else {"name": "none"},
        "max_attempts": draw(st.integers(1, 4)),
        "parameters": SPACES[draw(st.sampled_from(sorted(SPACES)))],
    }
    return spec, draw(st.lists(calls(n_objectives), min_size=max_size // 2, max_size=max_size))
