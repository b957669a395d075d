"""Of a setting made by hand and one of the specification the later counts, whatever else happens.

A state machine edits a study's file, sends other specifications, changes settings by hand, asks, tells and
restarts the server, and compares what the server shows with a model that is a few lines of plain rules.
"""

import copy
import itertools
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.api.wire import Wire, wire_of
from tests.support import scaled, write_config

LIMITS = ("max_trials", "trial_timeout", "target")
SPACES: dict[str, dict[str, Any]] = {
    "narrow": {"x": {"type": "float", "low": 0, "high": 1}},
    "wide": {"x": {"type": "float", "low": 0, "high": 2}},
    "another kind": {"x": {"type": "int", "low": 0, "high": 1}},
    "without": {"y": {"type": "float", "low": 0, "high": 1}},
}
Document = dict[str, Any]
NOTHING_SET: Document = dict.fromkeys((*LIMITS, "lease_seconds", "description"))


def documents() -> st.SearchStrategy[Document]:
    """Specifications: their settings, and the name of their space."""
    return st.fixed_dictionaries(
        {
            "max_trials": st.sampled_from([None, 1000, 1001]),
            "trial_timeout": st.sampled_from([None, 3600.0, 7200.0]),
            "target": st.sampled_from([None, -1e300]),
            "lease_seconds": st.sampled_from([None, 3600.0, 7200.0]),
            "description": st.sampled_from([None, "this", "that"]),
            "space": st.sampled_from(["narrow", "narrow", "wide", "another kind", "without"]),
        }
    )


def changes() -> st.SearchStrategy[Document]:
    """Settings made by hand."""
    return st.fixed_dictionaries(
        {},
        optional={
            "max_trials": st.sampled_from([None, 1000, 1002]),
            "trial_timeout": st.sampled_from([None, 3600.0, 9000.0]),
            "target": st.sampled_from([None, -1e299]),
            "lease_seconds": st.sampled_from([None, 3600.0, 9000.0]),
            "description": st.sampled_from([None, "this", "by hand"]),
        },
    )


def spec_of(document: Document) -> Document:
    """What a PUT, a POST or a file says; a setting that is null is left out, which is the same."""
    named = {"lease" if k == "lease_seconds" else k: v for k, v in document.items() if k != "space"}
    return {
        **{name: value for name, value in named.items() if value is not None},
        "sampler": {"name": "random"},
        "parameters": SPACES[document["space"]],
    }


class LaterCounts(RuleBasedStateMachine):
    folder: Path
    _numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.home = self.folder / str(next(self._numbers))
        self.home.mkdir()
        self.server = ExitStack()
        self.file: Document | str | None = None  # as it is on the disk
        self.read: Document | str | None = None  # as the server has read it
        self.spec: Document = {}
        self.by_hand: Document = {}
        self.versions: list[str] = []
        self.last_of: dict[str, Document] = {}  # a version: the last specification that had it
        self.ids: dict[str, str] = {}
        self.kind: str | None = None  # of the parameter that the trials have
        self.holds_asks = False
        self.is_open = True
        self.n_trials = 0

    def teardown(self) -> None:
        self.server.close()

    def start(self) -> None:
        self.wire: Wire = self.server.enter_context(wire_of(self.home))

    @initialize(document=documents(), has_file=st.booleans())
    def create(self, document: Document, has_file: bool) -> None:
        self.start()
        if has_file:
            self.write(document)
            self.read = self.file
            self.wire.ok("PATCH", "/studies/m", json={})  # creates it
        else:
            reply = self.wire.request("PUT", "/studies/m", json=spec_of(document))
            assert reply.status_code == 201, reply.text
        self.spec = document
        self.versions = [_version(document)]

    # The model

    def fits(self, document: Document) -> bool:
        """Whether the study can have this specification: with trials, a parameter's kind is fixed."""
        kinds = {_kind(self.spec), self.kind, _kind(document)} - {None}
        return not self.n_trials or _kind(document) is None or len(kinds) == 1

    def follow(self, document: Document) -> None:
        """Another specification: what it changes counts from now on."""
        for name in NOTHING_SET:
            if document[name] != self.spec[name]:
                self.by_hand.pop(name, None)
        if _version(document) != _version(self.spec):
            self.versions.append(_version(document))
        self.last_of[_version(self.spec)] = self.spec
        self.last_of[_version(document)] = self.spec = document

    def notice(self) -> None:
        """What the server does when it looks at the file."""
        self.is_open = True
        if self.file == self.read:
            return
        self.read = copy.deepcopy(self.file)
        self.holds_asks = isinstance(self.read, dict) and not self.fits(self.read)
        if isinstance(self.read, dict) and not self.holds_asks:
            self.follow(self.read)

    # What happens

    @rule(document=documents())
    def write(self, document: Document) -> None:
        self._write(yaml.safe_dump(spec_of(document)))
        self.file = document

    @precondition(lambda self: isinstance(self.file, dict))
    @rule(part=changes())
    def edit(self, part: Document) -> None:
        assert isinstance(self.file, dict)
        self.write({**self.file, **part})

    @rule()
    def break_file(self) -> None:
        self._write("parameters: [")
        self.file = "broken"

    @rule()
    def remove_file(self) -> None:
        (self.home / "config" / "m.yaml").unlink(missing_ok=True)
        self.file = None

    def _write(self, text: str) -> None:
        new = self.home / "new"
        write_config(new, text)
        os.replace(new, self.home / "config" / "m.yaml")

    @rule(document=documents())
    def post(self, document: Document) -> None:
        self._post(document, spec_of(document))

    @rule(part=changes())
    def post_an_edit(self, part: Document) -> None:
        self.notice()
        document = {**self.spec, **part}
        self._post(document, spec_of(document))

    @rule(place=st.integers(0, 9))
    def go_back(self, place: int) -> None:
        version = self.versions[place % len(self.versions)]
        if version in self.ids:
            self.notice()
            self._post(self.last_of.get(version, self.spec), {"version": self.ids[version]})

    def _post(self, document: Document, body: Document) -> None:
        self.notice()
        path = "/studies/m/spec"
        if document != self.spec and (self.file is not None or not self.fits(document)):
            self.wire.refused("POST", path, 409, "spec-conflict", json=body)
        else:
            self.wire.ok("POST", path, json=body)
            self.follow(document)

    @rule(document=documents())
    def put(self, document: Document) -> None:
        self.notice()
        if document == self.spec:
            assert self.wire.request("PUT", "/studies/m", json=spec_of(document)).status_code == 200
        else:
            self.wire.refused("PUT", "/studies/m", 409, "spec-conflict", json=spec_of(document))

    @rule(change=changes())
    def patch(self, change: Document) -> None:
        self.notice()
        limits = {name: change[name] for name in LIMITS if name in change}
        if limits.get("target") is not None:
            limits["target"] = {"score": limits["target"]}
        rest = {name: value for name, value in change.items() if name not in LIMITS}
        self.wire.ok("PATCH", "/studies/m", json={"limits": limits, **rest})
        self.by_hand.update(change)

    @rule()
    def ask(self) -> None:
        self.notice()
        if self.holds_asks:
            self.wire.refused("POST", "/studies/m/trials", 409, "spec-conflict", json={})
            return
        trial = self.wire.ask("m")
        assert trial["number"] == self.n_trials
        assert (trial["lease"] is not None) == (self.in_force("lease_seconds") is not None)
        self.n_trials += 1
        self.kind = _kind(self.spec) or self.kind
        self.look()
        assert trial["spec_version"] == self.ids[_version(self.spec)]

    @precondition(lambda self: self.n_trials)
    @rule(number=st.integers(0, 9))
    def tell(self, number: int) -> None:
        if not self.is_open:  # a tell looks at the file only to open the study
            self.notice()
        self.wire.tell("m", number % self.n_trials, value=0.5)

    @rule()
    def restart(self) -> None:
        self.server.close()
        self.start()
        self.is_open = False

    def in_force(self, name: str) -> Any:
        return self.by_hand.get(name, self.spec[name])

    @rule()
    def look(self) -> None:
        self.notice()
        study = self.wire.study("m")
        shown = {**study["limits"], **{n: study[n] for n in ("lease_seconds", "description")}}
        shown["target"] = shown["target"] and shown["target"]["score"]
        assert {name: shown[name] for name in NOTHING_SET} == {
            name: self.in_force(name) for name in NOTHING_SET
        }
        assert shown.keys() == study["limits_source"].keys()
        source = "http" if self.file is None else "file"
        assert {name: study["limits_source"][name] for name in NOTHING_SET} == {
            name: "patch" if name in self.by_hand else None if self.spec[name] is None else source
            for name in NOTHING_SET
        }
        assert (study["config_error"] is not None) == (self.holds_asks or self.file == "broken")
        assert study["parameters"].keys() == SPACES[self.spec["space"]].keys()
        found = self.wire.ok("GET", "/studies/m/spec")
        assert found["source"] == source
        for shown, version in zip(found["versions"], self.versions, strict=True):
            assert shown["spec_version"] == self.ids.setdefault(version, shown["spec_version"])
        assert len(set(self.ids.values())) == len(self.ids)
        assert (
            study["spec_version"] == found["spec_version"] == found["versions"][-1]["spec_version"]
        )


def _version(document: Document) -> str:
    """What one version of the specification has in common: all but the description."""
    return repr(sorted((k, v) for k, v in document.items() if k != "description"))


def _kind(document: Document) -> str | None:
    """The kind of the parameter that may be another's."""
    kind = SPACES[document["space"]].get("x", {}).get("type")
    assert kind is None or isinstance(kind, str)
    return kind


def test_of_settings_by_hand_and_of_the_specification_the_later_counts(tmp_path: Path) -> None:
    LaterCounts.folder = tmp_path
    run_state_machine_as_test(
        LaterCounts,
        settings=settings(
            max_examples=scaled(6, 300),
            stateful_step_count=scaled(40, 80),
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each step waits for a server
            suppress_health_check=list(HealthCheck),
        ),
    )
