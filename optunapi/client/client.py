"""The studies of one server."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optunapi.client.connection import STUDY_FIELDS, Connection
from optunapi.client.optuna_types.states import StudyDirection
from optunapi.client.profiles import server_of
from optunapi.client.study import Study
from optunapi.errors import NameInvalid, SpecConflict, StudyExists, StudyNotFound, TryLater

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
BY_DEFAULT = [StudyDirection.MINIMIZE]

Spec = Mapping[str, Any] | str | os.PathLike[str]


class Client:
    """A server, as a trainer sees it. May be shared by threads, and used on after a fork.

    Results that wait on disk for this server are handed in when a client is made, and whenever the
    server is reached again.

    Args:
        url: Such as `http://head:8000`; by default `OPTUNAPI_URL`, else a profile's.
        token: By default `OPTUNAPI_TOKEN`, or the profile's.
        timeout: Seconds to wait for an answer.
        retry_for: Seconds to try again while the server is not reached.
        profile: A profile of the user's; by default `OPTUNAPI_PROFILE`, else `default`.
        verify: Whether to check the certificate of an https server, or a file of authorities.

    Raises:
        ValueError: nothing says which server, or its URL is none.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        timeout: float = 30,
        retry_for: float = 300,
        *,
        profile: str | None = None,
        verify: bool | str = True,
    ) -> None:
        server = server_of(url, token, profile)
        self._connection = Connection(
            server.url, token=server.token, timeout=timeout, retry_for=retry_for, verify=verify
        )
        with suppress(TryLater):  # then before the next answer
            self._connection.deliver()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    @property
    def url(self) -> str:
        """The server's URL."""
        return self._connection.url

    def ping(self) -> bool:
        """Whether an OptunAPI server answers, tried once."""
        return self._connection.session.is_alive()

    def studies(self, state: str | None = None) -> Iterator[Study]:
        """The server's studies by name, all or those in one state, looked up as they are iterated over."""
        for document in self._connection.pages(
            "studies", query=None if state is None else {"state": state}
        ):
            yield Study(self._connection, document)

    def study(self, name: str) -> Study:
        """A study that is there.

        Raises:
            StudyNotFound: it is not.
            NameInvalid: it cannot be.
        """
        found = self._connection.call("GET", *_path(name), fields=STUDY_FIELDS)
        return Study(self._connection, found)

    def create_study(
        self,
        name: str,
        spec: Spec | None = None,
        direction: Any = "minimize",
        directions: Sequence[Any] | None = None,
        load_if_exists: bool = True,
    ) -> Study:
        """A new study, or the one that is there.

        Args:
            name: 1 to 128 letters, digits, dots, hyphens and underscores.
            spec: What a configuration file says: as a mapping, or the path of a YAML file. Without
                one, every parameter is named by the objective as it runs (define-by-run).
            direction: `minimize` or `maximize`, or Optuna's StudyDirection. A spec that has its own
                rules over the default, and takes no other beside it.
            directions: One for each of several objectives, then called value_0, value_1 …
            load_if_exists: Whether it may be there already, with the same spec; where none was given,
                with the same directions.

        Raises:
            SpecConflict: it is there with another one; `extra["diff"]` says where.
            StudyExists: it is there, and `load_if_exists` is False.
            ConfigInvalid: the spec has errors; `extra["errors"]` has all of them.
            NotPermitted: the token may not create studies.
        """
        wanted = _directions(direction, directions)
        if not load_if_exists and self._is_there(name):
            raise StudyExists(f"there is a study {name!r} already")
        if isinstance(spec, str | os.PathLike):
            if wanted != BY_DEFAULT:
                raise ValueError("a YAML file says the direction itself")
            return self._put(name, content=Path(spec).read_bytes(), content_type="application/yaml")
        body = dict(spec) if spec is not None else {"parameters": {}}
        if wanted != BY_DEFAULT:
            if {"direction", "objectives"} & set(body):
                raise ValueError("the spec says the direction itself")
            body |= _objectives(wanted)
        try:
            return self._put(name, body=body)
        except SpecConflict:
            if spec is not None:
                raise
            there = self.study(name)
            if there.directions != wanted:
                raise
            return there

    def _put(self, name: str, **content: Any) -> Study:
        made = self._connection.call("PUT", *_path(name), fields=STUDY_FIELDS, **content)
        return Study(self._connection, made)

    def _is_there(self, name: str) -> bool:
        try:
            self.study(name)
        except StudyNotFound:
            return False
        return True


def _path(name: str) -> tuple[str, str]:
    if not NAME.fullmatch(name):
        raise NameInvalid(
            f"{name!r} cannot be a study's name: 1 to 128 letters, digits, dots, hyphens and "
            "underscores, the first of them a letter or digit"
        )
    return "studies", name


def _directions(direction: Any, directions: Sequence[Any] | None) -> list[StudyDirection]:
    only = BY_DEFAULT if direction is None else [StudyDirection.of(direction)]
    if directions is None:
        return only
    if only != BY_DEFAULT:
        raise ValueError("give `direction` or `directions`, not both")
    if not directions:
        raise ValueError("`directions` is empty: one is needed for each objective")
    return [StudyDirection.of(each) for each in directions]


def _objectives(directions: Sequence[StudyDirection]) -> dict[str, Any]:
    if len(directions) == 1:
        return {"direction": directions[0].word}
    return {
        "objectives": [
            {"name": f"value_{n}", "direction": each.word} for n, each in enumerate(directions)
        ]
    }
