"""A study on its server: what is known of it, how it is reached, and how it hands out trials."""

import logging
import os
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optunapi.client.connection import STUDY_FIELDS, TRIAL_FIELDS, Connection
from optunapi.client.optuna_types.distributions import Distribution, from_wire
from optunapi.client.optuna_types.frozen import FrozenTrial
from optunapi.client.optuna_types.states import StudyDirection
from optunapi.errors import LeaseLost, NoSlot

LONGEST_WAIT = 60.0  # seconds of one request; proxies cut off longer ones

logger = logging.getLogger("optunapi")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a worker asks for; `Study.ask` describes the fields."""

    worker: str | None = None
    resume: bool = False
    lease_seconds: float | None = 60
    fixed_params: Mapping[str, Any] | None = None
    user_attrs: Mapping[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        """The request's body."""
        given = {
            "worker": self.worker or this_worker(),
            "resume": self.resume or None,
            "lease_seconds": self.lease_seconds,
            "params": self.fixed_params and dict(self.fixed_params),
            "user_attrs": self.user_attrs and dict(self.user_attrs),
        }
        return {name: value for name, value in given.items() if value is not None}


def this_worker() -> str:
    """Return the name of this process as a worker: the host's name and the process id."""
    return f"{socket.gethostname()[:200]}-{os.getpid()}"


class StudyHandle:
    """What a `Study` and its trials know of their study, and their way to it.

    `document` is the study as the server last described it. `uid` stays that of the study which this
    handle was made for, or which it first asked; another study of its name is not touched by number.
    `server_id` stays that of its server: another one may answer at the URL one day.
    """

    def __init__(self, connection: Connection, document: Mapping[str, Any]) -> None:
        self.connection = connection
        self.uid: str | None = document.get("uid")
        self.server_id = connection.session.server_id
        self._distributions: dict[str, dict[str, Distribution]] = {}
        self._remember(document)

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.document["name"])

    @property
    def slug(self) -> str:
        """The study's name in paths."""
        return str(self.document["slug"])

    @property
    def directions(self) -> list[StudyDirection]:
        """The direction of each objective."""
        return [StudyDirection.of(each["direction"]) for each in self.document["objectives"]]

    def call(self, method: str, *path: str, **options: Any) -> Any:
        """Send a request about the study; see `Connection.call`."""
        return self.connection.call(method, "studies", self.slug, *path, **options)

    def refresh(self) -> dict[str, Any]:
        """Return the study as the server describes it now."""
        self._remember(self.call("GET", fields=STUDY_FIELDS))
        return self.document

    def ask(self, ask: Ask, *, wait: float = 0.0) -> dict[str, Any]:
        """Return a trial that was handed out; wait up to `wait` seconds for one.

        Raises:
            NoSlot: no trial and no place became free.
        """
        body, deadline = ask.body(), time.monotonic() + float(wait)  # numpy's would not be sent
        while True:
            began = time.monotonic()
            patience = round(min(max(0.0, deadline - began), LONGEST_WAIT), 3)
            try:
                return self._ask("trials", body=body, fields=TRIAL_FIELDS, wait=patience)
            except NoSlot as refusal:
                now = time.monotonic()
                if now >= deadline:
                    raise
                if now - began < patience / 2:  # a server that is about to stop does not wait
                    time.sleep(min(refusal.retry_after, deadline - now))

    def ask_batch(self, ask: Ask, count: int) -> list[dict[str, Any]]:
        """Return up to `count` trials that were handed out, at least one."""
        body = {**ask.body(), "count": count}
        return list(self._ask("trials", "batch", body=body, fields=("items",))["items"])

    def _ask(self, *path: str, wait: float = 0.0, **options: Any) -> dict[str, Any]:
        """Ask with an idempotency key: however often the request is sent, it is one ask."""
        query = {"wait": wait} if wait else {}
        while True:
            key = uuid.uuid4().hex
            try:
                return dict(
                    self.call("POST", *path, query=query, key=key, patience=wait, **options)
                )
            except LeaseLost as error:
                # The first reply was lost, and by now its trial has been handed on.
                logger.info("asking for another trial: %s", error.detail)

    def distributions_of(self, spec_version: str | None) -> Mapping[str, Distribution]:
        """Return the configured parameters at a version; at the present one if that is not known."""
        if spec_version is not None and spec_version not in self._distributions:
            present = self._distributions[self.refresh()["spec_version"]]
            self._distributions.setdefault(spec_version, present)
        return self._distributions[spec_version or self.document["spec_version"]]

    def frozen(
        self, study: Any, document: Mapping[str, Any], suggested: Mapping[str, Distribution]
    ) -> FrozenTrial:
        """Return the trial of a reply, with the configured and the suggested distributions."""
        configured = self.distributions_of(document["spec_version"])
        return FrozenTrial.of(study, document, {**configured, **suggested})

    def _remember(self, document: Mapping[str, Any]) -> None:
        self.document = dict(document)
        self._distributions[document["spec_version"]] = {
            name: from_wire(each) for name, each in document["parameters"].items()
        }
