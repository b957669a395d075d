"""The studies of one server."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from optunapi.client.connection import STUDY_FIELDS, Connection
from optunapi.client.files import Spec, spec_sent
from optunapi.client.optuna_types.states import StudyDirection
from optunapi.client.profiles import server_of
from optunapi.client.study import Study
from optunapi.errors import NameInvalid, ServerUnavailable, SpecConflict, StudyExists, StudyNotFound

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
BY_DEFAULT = [StudyDirection.MINIMIZE]


class Client:
    """A server. A client may be shared by threads, and used in forks.

    Results kept on disk for this server are delivered when a client is made, and before each request.

    Args:
        url: Such as `http://head:8000`; by default `OPTUNAPI_URL`, else a profile's, else
            `http://127.0.0.1:8000`.
        token: By default `OPTUNAPI_TOKEN`, or the profile's.
        timeout: Seconds to wait for a reply.
        retry_for: Seconds for which a request is tried again while the server is not reached.
        profile: The name of a profile; by default `OPTUNAPI_PROFILE`, else `default`.
        verify: Whether to check the certificate of an https server, or the path of a CA bundle.

    Raises:
        ValueError: the profile is missing or not valid, or the URL is not.
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
        with suppress(ServerUnavailable):  # the next request tries again
            self._connection.deliveries.run()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    @property
    def connection(self) -> Connection:
        """The way to the server, for requests that no method here sends."""
        return self._connection

    @property
    def url(self) -> str:
        """The server's URL."""
        return self._connection.url

    def ping(self) -> bool:
        """Whether an OptunAPI server answers; this is tried once."""
        return self._connection.session.is_alive()

    def studies(self, state: str | None = None) -> Iterator[Study]:
        """Iterate over the studies by name, all or those in one state, requested page by page."""
        query = {} if state is None else {"state": state}
        for document in self._connection.pages("studies", query=query):
            yield Study(self._connection, document)

    def study(self, name: str) -> Study:
        """Return an existing study.

        Raises:
            StudyNotFound: there is no study of this name.
            NameInvalid: no study can have this name.
        """
        return self._request("GET", name)

    def create_study(
        self,
        name: str,
        spec: Spec | None = None,
        direction: Any = "minimize",
        directions: Sequence[Any] | None = None,
        load_if_exists: bool = True,
    ) -> Study:
        """Return a new study, or the existing one.

        Args:
            name: 1 to 128 letters, digits, dots, hyphens and underscores.
            spec: What a configuration file has: a mapping, or the path of a YAML file. Without one, the
                objective names its parameters as it runs (define-by-run).
            direction: `minimize` or `maximize`, or Optuna's StudyDirection. A direction in the spec
                replaces the default, and then no other direction can be given.
            directions: One for each of several objectives; `set_metric_names` names them.
            load_if_exists: Whether to return an existing study with the same spec; if no spec is given,
                with the same directions.

        Raises:
            SpecConflict: the existing study has another spec; `extra["diff"]` says where.
            StudyExists: the study exists, and `load_if_exists` is False.
            ConfigInvalid: the spec has errors; `extra["errors"]` lists all of them.
            NotPermitted: the token may not create studies.
        """
        wanted = _directions(direction, directions)
        if not load_if_exists and self._exists(name):
            raise StudyExists(f"the study {name!r} already exists")
        if isinstance(spec, str | os.PathLike):
            if wanted != BY_DEFAULT:
                raise ValueError("a YAML file has the direction itself")
            return self._request("PUT", name, **spec_sent(spec))
        body = dict(spec) if spec is not None else {"parameters": {}}
        if wanted != BY_DEFAULT:
            if {"direction", "objectives"} & set(body):
                raise ValueError("the spec has the direction itself")
            body |= _objectives(wanted)
        try:
            return self._request("PUT", name, body=body)
        except SpecConflict:
            if spec is not None:
                raise
            existing = self.study(name)
            if existing.directions != wanted:
                raise
            return existing

    def _request(self, method: str, name: str, **options: Any) -> Study:
        """Send a request about the study itself; return the study of the reply."""
        if not NAME.fullmatch(name):
            raise NameInvalid(
                f"{name!r} cannot be a study's name: 1 to 128 letters, digits, dots, hyphens and "
                "underscores, the first of them a letter or digit"
            )
        found = self._connection.call(method, "studies", name, fields=STUDY_FIELDS, **options)
        return Study(self._connection, found)

    def _exists(self, name: str) -> bool:
        try:
            self.study(name)
        except StudyNotFound:
            return False
        return True


def _directions(direction: Any, directions: Sequence[Any] | None) -> list[StudyDirection]:
    only = BY_DEFAULT if direction is None else [StudyDirection.of(direction)]
    if directions is None:
        return only
    if only != BY_DEFAULT or not directions:
        raise ValueError("give `direction`, or `directions` with one for each objective")
    return [StudyDirection.of(each) for each in directions]


def _objectives(directions: Sequence[StudyDirection]) -> dict[str, Any]:
    if len(directions) == 1:
        return {"direction": directions[0].word}
    return {
        "objectives": [
            {"name": f"score_{n}", "direction": each.word} for n, each in enumerate(directions)
        ]
    }
