"""One server, as studies and trials see it: requests, tells that are never lost, leases.

A tell that the server does not take now is kept on disk, and handed in before anything else is asked
of the server: whoever asks first could be given the trial that is told already.
"""

import logging
import math
import threading
import uuid
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from optunapi.client.http.retries import Retries
from optunapi.client.http.session import Request, Session
from optunapi.client.leases import Hold, LeaseKeeper
from optunapi.client.process.forks import PerProcess
from optunapi.client.spool import KeptTell, Spool
from optunapi.errors import (
    AccessDenied,
    BadRequest,
    Internal,
    LeaseLost,
    OptunAPIError,
    TrialNotFound,
    TrialWaiting,
    TryLater,
    UnexpectedReply,
)

PAGE = 500
# What a reply has, whatever else it may have: a login page of some network has none of it.
STUDY_FIELDS = ("slug", "spec_version")
TRIAL_FIELDS = ("number", "spec_version")
# Whether the server has it is unknown, and it may have it another time.
UNDELIVERED = (TryLater, Internal, UnexpectedReply)
RELEASE_SECONDS = 5.0

logger = logging.getLogger("optunapi")


class Connection:
    """What one client's studies and trials share. Safe across threads and forks."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        timeout: float,
        retry_for: float,
        verify: bool | str,
    ) -> None:
        self.session = Session(
            url, token=token, timeout=timeout, retries=Retries(seconds=retry_for), verify=verify
        )
        self.url = self.session.url
        self.retry_for = retry_for
        self.spool = Spool(self.url)
        # Weakly: with the last of client, studies and trials ends what this process could still tell.
        self.leases = LeaseKeeper(weakref.WeakMethod(self._renew))
        self._timeout = timeout
        self._settings = (url, token, timeout, retry_for, verify)
        self._holds: dict[tuple[str, int], Hold] = {}
        self._kept = len(self.spool.waiting())  # counts up; what was delivered catches up with it
        self._delivered = 0
        self._delivering = PerProcess(threading.Lock)

    def __reduce__(self) -> tuple[Any, ...]:
        return _connection, self._settings

    def call(
        self,
        method: str,
        *path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | float] | None = None,
        content: bytes | Path | None = None,
        content_type: str = "application/json",
        key: str | None = None,
        fields: tuple[str, ...] = (),
        patience: float = 0.0,
    ) -> Any:
        """The content of the reply to a request under v1; kept tells are handed in first.

        `fields` are some that the reply has. `patience` is how many seconds the server may take beyond
        the usual: it waits for something.

        Raises:
            OptunAPIError: what the server answers.
            ServerUnavailable: it was not reached for `retry_for` seconds.
        """
        request = Request(
            method=method,
            path=path,
            body=body,
            query=query or {},
            content=content,
            content_type=content_type,
            key=key,
            fields=fields,
            timeout=self._timeout + patience,
        )
        return self.session.send(request, first=self.deliver)

    def pages(
        self, *path: str, query: Mapping[str, str | float] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The items of a list, page by page as they are iterated over.

        Raises: as `call`.
        """
        page: dict[str, str | float] = {"limit": PAGE}
        while True:
            found = self.call(
                "GET", *path, query={**(query or {}), **page}, fields=("items", "next")
            )
            yield from found["items"]
            if found["next"] is None:
                return
            page["page"] = found["next"]

    def ask(
        self,
        path: tuple[str, ...],
        body: Mapping[str, Any],
        *,
        fields: tuple[str, ...],
        wait: float = 0.0,
    ) -> dict[str, Any]:
        """The content of the reply to an ask, which is made once however often it is sent.

        Raises: as `call`.
        """
        while True:
            key = uuid.uuid4().hex
            try:
                found: dict[str, Any] = self.call(
                    "POST",
                    *path,
                    body=body,
                    query={"wait": wait} if wait else {},
                    key=key,
                    fields=fields,
                    patience=wait,
                )
            except LeaseLost as error:
                # The reply was lost so long ago that its trial went to somebody else.
                logger.info("asking anew: %s", error.detail)
            else:
                return found

    # Kept tells

    def deliver(self) -> None:
        """Hand in the tells that wait on disk, if this client knows of any.

        Raises:
            TryLater: the server is still not reached.
        """
        if self._kept == self._delivered:
            return
        with (
            self._delivering.get()
        ):  # who asks meanwhile could be given a trial that is told already
            known = self._kept
            if known != self._delivered:
                try:
                    self.spool.deliver(self._deliver_one)
                except OSError as error:
                    logger.warning("kept results cannot be delivered: %s", error)
                self._delivered = known

    def _deliver_one(self, kept: KeptTell) -> None:
        trial = ("studies", kept.study, "trials", str(kept.number))
        get = Request(method="GET", path=trial, fields=("created_at", "params"))
        there = self.session.send(get, once=True)
        is_same = kept.created_at in (None, there["created_at"]) and all(
            name in there["params"] and there["params"][name] == value
            for name, value in kept.params.items()
        )
        if not is_same:
            raise TrialNotFound(
                f"trial {kept.number} of study {kept.study!r} is another one now: the study was made "
                "anew, or another server answers"
            )
        tell = Request(method="POST", path=(*trial, "tell"), body=kept.body, fields=TRIAL_FIELDS)
        self.session.send(tell, once=True)

    # Trials in hand

    def hold(self, study: str, document: Mapping[str, Any]) -> Hold:
        """The hold on a trial that was just handed out; its lease is renewed from now on."""
        lease = document["lease"]
        hold = Hold(
            study=study,
            number=document["number"],
            created_at=document["created_at"],
            params=dict(document["params"]),
            lease=lease and lease["id"],
            lease_seconds=_term(document),
            stop_requested=document["stop_requested"],
        )
        former = self._holds.get((hold.study, hold.number))
        if former is not None:
            self.leases.drop(former)
        self._take(hold)
        return hold

    def _take(self, hold: Hold) -> None:
        self._holds[hold.study, hold.number] = hold
        self.leases.keep(hold)

    def held(self, study: str, number: int) -> Hold | None:
        """This client's hold on a trial, or None."""
        return self._holds.get((study, number))

    def forget(self, hold: Hold) -> None:
        """Renew its lease no more: the trial is somebody else's, or has a result."""
        hold.closed = True
        self.leases.drop(hold)
        if self._holds.get((hold.study, hold.number)) is hold:
            del self._holds[hold.study, hold.number]

    def _renew(self, hold: Hold) -> None:
        request = Request(
            method="POST",
            path=("studies", hold.study, "trials", str(hold.number), "renew"),
            body={"lease": hold.lease},
            # A reply that got stuck must not keep the other leases waiting.
            timeout=min(self._timeout, max(1.0, hold.interval)),
        )
        hold.learn(self.session.send(request, once=True))

    def tell(self, hold: Hold, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The closed trial; None where the tell was kept to be delivered later, with a warning.

        Raises:
            OptunAPIError: the server refuses. A result that it refuses to take from this client,
                but may take from another, is kept as well.
        """
        path = ("studies", hold.study, "trials", str(hold.number), "tell")
        was_held = self.held(hold.study, hold.number) is hold
        # From here on the trial has a result: no interrupt may release it, nor lose the result.
        self.forget(hold)
        try:
            closed: dict[str, Any] = self.call("POST", *path, body=body, fields=TRIAL_FIELDS)
        except UNDELIVERED as error:
            where = self._keep(hold, body, error)
            warnings.warn(
                f"trial {hold.number} of study {hold.study!r} is told later: {error}. "
                f"Its result is kept in {where}; the next client of {self.url} delivers it",
                stacklevel=3,
            )
            return None
        except AccessDenied as error:
            error.add_note(f"the result is kept in {self._keep(hold, body, error)}")
            raise
        except BadRequest:
            if was_held:  # the trial is as open as before
                hold.closed = False
                self._take(hold)
            raise
        except OptunAPIError:
            raise
        except BaseException as error:
            self._keep(hold, body, error)
            raise
        return closed

    def _keep(self, hold: Hold, body: Mapping[str, Any], error: BaseException) -> Path:
        kept = KeptTell(
            study=hold.study,
            number=hold.number,
            params=hold.params,
            created_at=hold.created_at,
            body=body,
        )
        try:
            path = self.spool.keep(kept)
            self._kept += 1
            return path
        except OSError as full:
            error.add_note(f"nor can {kept} be kept in {self.spool.folder}: {full}")
            raise error from full

    def release(self, hold: Hold) -> None:
        """Give the trial back, if it is still this worker's. Where that fails it is handed on when its
        lease runs out.

        Raises:
            TrialFinished: it is closed.
            TryLater: the server was not reached within seconds.
        """
        self.forget(hold)
        request = Request(
            method="POST",
            path=("studies", hold.study, "trials", str(hold.number), "release"),
            body={"lease": hold.lease},
            fields=TRIAL_FIELDS,
            timeout=min(self._timeout, RELEASE_SECONDS),  # who asked us to end will not wait long
        )
        retries = Retries(seconds=min(self.retry_for, RELEASE_SECONDS))
        with suppress(LeaseLost, TrialWaiting):  # as after a try whose reply was lost
            retries.run(lambda: self.session.send(request, once=True))


def _term(document: Mapping[str, Any]) -> float:
    """The seconds for which a trial that was just handed out is held."""
    if document["lease"] is None:
        return math.inf
    until, since = document["lease"]["expires_at"], document["started_at"]
    seconds = datetime.fromisoformat(until) - datetime.fromisoformat(since)
    return max(1.0, seconds.total_seconds())


def _connection(
    url: str, token: str | None, timeout: float, retry_for: float, verify: bool | str
) -> Connection:
    """The connection of a pickle: the same server, and nothing in hand."""
    return Connection(url, token=token, timeout=timeout, retry_for=retry_for, verify=verify)
