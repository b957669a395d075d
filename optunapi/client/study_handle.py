"""What a study is, and in which state: its name and directions known, everything else looked up."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from optunapi.client.connection import STUDY_FIELDS, Connection
from optunapi.client.events import StudyEvent, follow
from optunapi.client.optuna_types.distributions import Distribution, from_wire
from optunapi.client.optuna_types.states import StudyDirection

LONGEST_POLL = 5.0


class KnownStudy:
    """A study without its trials: described, opened and closed for all."""

    def __init__(self, connection: Connection, document: Mapping[str, Any]) -> None:
        self.connection = connection
        self._document = document
        self._distributions: dict[str, dict[str, Distribution]] = {}
        self._remember(document)

    def __repr__(self) -> str:
        return f"<Study {self.name!r} at {self.connection.url}>"

    @property
    def name(self) -> str:
        """Its name."""
        return str(self._document["name"])

    @property
    def study_name(self) -> str:
        """Its name, as Optuna calls it."""
        return self.name

    @property
    def slug(self) -> str:
        """What the server's paths call it: its name, wherever that is one OptunAPI allows."""
        return str(self._document["slug"])

    @property
    def directions(self) -> list[StudyDirection]:
        """The direction of each objective."""
        return [StudyDirection.of(each["direction"]) for each in self._document["objectives"]]

    @property
    def direction(self) -> StudyDirection:
        """The direction of the only objective.

        Raises:
            RuntimeError: there are several.
        """
        self._refuse_several("direction", "directions")
        return self.directions[0]

    @property
    def state(self) -> str:
        """`open`, `paused` or `finished`, now."""
        return str(self.document()["state"])

    @property
    def finished_reason(self) -> str | None:
        """Why it is finished, now, such as max_trials, target or stopped; None while it is not."""
        reason: str | None = self.document()["finished_reason"]
        return reason

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Its user attributes, now."""
        return dict(self.document()["user_attrs"])

    def document(self) -> dict[str, Any]:
        """All that the server says of it, now, as the wire has it."""
        return self._remember(self._call("GET", fields=STUDY_FIELDS))

    def set_user_attr(self, key: str, value: Any) -> None:
        """Set an attribute of the study."""
        self._change({"user_attrs": {key: value}})

    @property
    def has_pruner(self) -> bool:
        """Whether the study prunes trials at all."""
        return bool(self._document["pruner"]["name"] != "none")

    def distributions_of(self, spec_version: str | None) -> Mapping[str, Distribution]:
        """The configuration's parameters at a version; where that has gone, at the present one."""
        if spec_version not in self._distributions and spec_version is not None:
            self.document()
            present = self._distributions[self._document["spec_version"]]
            self._distributions.setdefault(spec_version, present)
        return self._distributions[spec_version or self._document["spec_version"]]

    # For all

    def pause(self) -> None:
        """Hand out nothing until `resume`; running trials go on."""
        self._change({"state": "paused"})

    def resume(self) -> None:
        """Open a study that was paused or stopped."""
        self._change({"state": "open"})

    def events(self) -> Iterator[StudyEvent]:
        """What happens in the study from now on, as it happens; ends when the study is deleted.

        Goes on where it was after a connection was lost. A `reset` event says that some were missed.
        """
        return follow(self.connection, self.slug)

    def wait_until_finished(self, timeout: float | None = None) -> bool:
        """Return True when the study is finished, False when `timeout` seconds pass first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.1
        while self.state != "finished":
            left = LONGEST_POLL if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_POLL)
        return True

    # Requests

    def _call(
        self,
        method: str,
        *path: str,
        fields: tuple[str, ...],
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Any:
        return self.connection.call(
            method, "studies", self.slug, *path, body=body, key=key, fields=fields
        )

    def _change(self, body: Mapping[str, Any]) -> None:
        self._call("PATCH", body=body, fields=STUDY_FIELDS)

    def _remember(self, document: dict[str, Any] | Mapping[str, Any]) -> dict[str, Any]:
        found = dict(document)
        self._document = found
        self._distributions[found["spec_version"]] = {
            name: from_wire(each) for name, each in found["parameters"].items()
        }
        return found

    def _refuse_several(self, name: str, instead: str) -> None:
        if len(self._document["objectives"]) > 1:
            raise RuntimeError(f"a study of several objectives has no `{name}`: use `{instead}`")
