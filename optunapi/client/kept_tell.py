"""A result as it is kept on disk, and how it is sent later: only to the trial that it belongs to."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from optunapi.client.http.session import Request, Session
from optunapi.client.optuna_types.scalars import json_default
from optunapi.errors import StudyReplaced, TrialNotFound

FORMAT = 1
DELIVERY_SECONDS = 10.0  # a study that does not answer must not hold up the others for longer
REQUIRED = {"study": str, "number": int, "params": dict, "created_at": str | None, "body": dict}
OPTIONAL = ("study_uid", "server", "url")  # files of older clients have none of the first two


@dataclass(frozen=True, kw_only=True)
class KeptTell:
    """A tell. `study_uid`, `params` and `created_at` identify its trial: the study may have been deleted and
    made again. `server` is the id of the server that has the trial. Both are None if they are not known.
    `url` is where the server was reached.
    """

    study: str
    number: int
    params: Mapping[str, Any]
    created_at: str | None
    body: Mapping[str, Any]
    study_uid: str | None = None
    server: str | None = None
    url: str | None = None

    def __str__(self) -> str:
        return f"trial {self.number} of study {self.study!r}"

    @property
    def path(self) -> tuple[str, ...]:
        """The trial's path below v1."""
        return "studies", self.study, "trials", str(self.number)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The tell of a file.

        Raises:
            ValueError: the content is not a tell.
            OSError: it cannot be read.
        """
        try:
            return cls._of(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"a kept result cannot be read ({error!r})") from None

    @classmethod
    def _of(cls, content: Any) -> Self:
        found = {name: content[name] for name in REQUIRED}
        found |= {name: content.get(name) for name in OPTIONAL}
        for name, value in found.items():
            if not isinstance(value, REQUIRED.get(name, str | None)):
                raise TypeError(f"{name} is {value!r}")
        if found["study"] in ("", ".", "..") or "/" in found["study"]:
            raise ValueError(f"{found['study']!r} is not a study's name")
        # A request holds neither NaN nor half of a surrogate pair.
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
        return cls(**found)

    def to_json(self) -> str:
        """The content of its file.

        Raises:
            TypeError, ValueError: JSON cannot hold a value.
        """
        content = {"format": FORMAT, **asdict(self)}
        return json.dumps(content, default=json_default, allow_nan=False)

    def send(self, session: Session) -> None:
        """Send the tell, if the trial is still the same one.

        Raises:
            StudyReplaced: another study has this name now.
            TrialNotFound: another trial has this number now.
            OptunAPIError: as `Session.send`.
        """
        timeout = min(session.timeout, DELIVERY_SECONDS)
        fields = ("created_at", "params")
        stored = session.send(Request(method="GET", path=self.path, fields=fields, timeout=timeout))
        if self.study_uid not in (None, stored.get("study_uid")):
            raise StudyReplaced(
                f"study {self.study!r} was deleted, and another one has its name: the result belongs to "
                "none of its trials"
            )
        params = {n: value for n, value in stored["params"].items() if n in self.params}
        if params != self.params or self.created_at not in (None, stored["created_at"]):
            raise TrialNotFound(
                f"trial {self.number} of study {self.study!r} is a different trial now: the study "
                "was created again, or another server answers"
            )
        tell = Request(
            method="POST",
            path=(*self.path, "tell"),
            body=self.body,
            fields=("number",),
            timeout=timeout,
        )
        session.send(tell)
