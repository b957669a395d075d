"""One held trial: what this process knows of it, and how it ends: told, kept on disk, or given back."""

import json
import logging
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from optunapi.client.connection import TRIAL_FIELDS
from optunapi.client.delivery import is_final
from optunapi.client.http.retries import Retries
from optunapi.client.http.session import Request
from optunapi.client.kept_tell import KeptTell
from optunapi.client.leases import RELEASE_SECONDS, HeldTrial
from optunapi.client.optuna_types.attributes import text_of
from optunapi.client.optuna_types.distributions import Distribution
from optunapi.client.optuna_types.frozen import FrozenTrial
from optunapi.client.optuna_types.scalars import fault_of, not_finite, numbers_of, shown
from optunapi.client.optuna_types.states import TrialState
from optunapi.client.process.forks import generation
from optunapi.client.process.signals import enter_block, leave_block
from optunapi.client.study_handle import StudyHandle
from optunapi.client.telling import UNDELIVERED, Telling
from optunapi.errors import (
    BadRequest,
    LeaseLost,
    OptunAPIError,
    StudyReplaced,
    TooLarge,
    TrialFinished,
    TrialWaiting,
)

logger = logging.getLogger("optunapi")

# The trial is no longer this worker's: it was handed on, cancelled, told by another, or its study is gone.
TAKEN_AWAY = (LeaseLost, StudyReplaced, TrialFinished)
LONGEST_REASON = 10_000
MOST_UNSENT = 2**19  # bytes of attributes that go with a result; the server takes 1 MiB in all
STOPPED = "stopped"
NO_VALUE = "no-score"


class TrialPruned(Exception):
    """Raised by an objective to prune its trial, as `optuna.TrialPruned` is."""


def is_pruned(error: BaseException | None) -> bool:
    """Whether this is `TrialPruned`, ours or Optuna's."""
    optuna = sys.modules.get("optuna")  # if it is not loaded, nothing has raised its exception
    theirs = getattr(optuna, "TrialPruned", TrialPruned)
    return isinstance(error, (TrialPruned, theirs))


class TrialHandle:
    """What a `Trial` knows of its trial, and the ways in which it ends.

    Attributes:
        study: The `Study`, which results refer to.
        document: The trial as it was handed out; empty if the server was not asked for it here.
        suggested: The distributions that the objective has used.
        should_prune: The pruner's last answer.
        result: What the trial became, once it is closed.
    """

    def __init__(
        self, study: Any, study_handle: StudyHandle, held: HeldTrial, document: Mapping[str, Any]
    ) -> None:
        self.study = study
        self.study_handle = study_handle
        self.held = held
        self.document = document
        self.suggested: dict[str, Distribution] = {}
        self.should_prune = False
        self.result: FrozenTrial | None = None
        self._process = generation()
        self._telling: Telling | None = None

    @classmethod
    def handed_out(cls, study: Any, study_handle: StudyHandle, document: Mapping[str, Any]) -> Self:
        """The trial of the reply to an ask; its lease is renewed from now on."""
        held = HeldTrial.of(study_handle.slug, document)
        study_handle.uid = study_handle.uid or held.study_uid
        study_handle.connection.held.add(held)
        return cls(study, study_handle, held, document)

    def __str__(self) -> str:
        return f"trial {self.held.number} of study {self.study_handle.name!r}"

    def distributions(self, spec_version: str | None) -> dict[str, Distribution]:
        """Return the parameters' distributions: those suggested, and those configured at a version."""
        found = {**self.study_handle.distributions_of(spec_version), **self.suggested}
        return {name: each for name, each in found.items() if name in self.held.params}

    @property
    def is_open(self) -> bool:
        """Whether this client has neither told the trial nor given it back."""
        return not self.held.closed

    @property
    def should_stop(self) -> bool:
        """Whether the server asks to stop, or this process is about to end."""
        return self.held.stop_requested or self.held.ending

    @property
    def stop_requested(self) -> bool:
        """Whether work on the trial should end."""
        return self.should_stop or self.held.lost is not None

    def call(self, method: str, *path: str, **options: Any) -> Any:
        """Send a request about the trial; see `Connection.call`.

        It names the study, which may have been made again.

        Raises:
            StudyReplaced: another study has its name.
        """
        named = {} if self.held.study_uid is None else {"study_uid": self.held.study_uid}
        place = "body" if "body" in options else "query"
        options[place] = {**options.get(place, {}), **named}
        return self.study_handle.connection.call(method, *self.held.path, *path, **options)

    def call_with_lease(self, verb: str, body: Mapping[str, Any], *fields: str) -> Any:
        """Send a request that only the trial's holder may send.

        Raises:
            LeaseLost: the trial was handed on.
            StudyReplaced: another study has its study's name.
        """
        try:
            return self.call("POST", verb, body={**body, **self.held.claim}, fields=fields)
        except (LeaseLost, StudyReplaced) as error:
            self.held.lost = error
            raise

    def set_user_attr(self, name: str, value: Any) -> None:
        """Send an attribute, which JSON can hold; see `Trial.set_user_attr`."""
        unsent = self.held.unsent_attrs
        try:
            if unsent:
                self._send_attrs(unsent)
                unsent.clear()
            try:
                self._send_attrs({name: value})
            except TooLarge as error:
                self._warn_too_large(name, value, error.detail)
                self._send_attrs({name: None})
        except UNDELIVERED as error:
            if not self.is_open:
                raise
            logger.warning("the attribute %r of %s is sent with its result: %s", name, self, error)
            unsent.pop(name, None)
            size = len(json.dumps({**unsent, name: value}, ensure_ascii=False).encode())
            if size > MOST_UNSENT:
                self._warn_too_large(name, value, f"{MOST_UNSENT} bytes can go with a result")
                value = None
            unsent[name] = value

    def _send_attrs(self, attrs: Mapping[str, Any]) -> None:
        self.call("PATCH", body={"user_attrs": attrs}, fields=TRIAL_FIELDS)

    def _warn_too_large(self, name: str, value: Any, reason: str) -> None:
        text = f"the attribute {name!r} of {self}, {shown(value)}, is too large and kept as null: "
        warnings.warn(text + reason, RuntimeWarning, stacklevel=4)

    # The end of a trial

    def tell(self, values: Any, state: Any = "complete", reason: str | None = None) -> FrozenTrial:
        """Close the trial with its result; see `Study.tell`."""
        told = TrialState.COMPLETE if state is None else TrialState.of(state)
        numbers = None if values is None else numbers_of(values)
        fault = None if numbers is None else not_finite(numbers)
        if fault is not None:
            told, numbers, reason = TrialState.FAIL, None, fault
        if reason is not None:
            reason = text_of(reason).replace("\0", "\ufffd")[:LONGEST_REASON]
        given = {
            "values": numbers,
            "reason": reason,
            **self.held.claim,
            "user_attrs": self.held.unsent_attrs or None,
            "constraints": self.held.constraints or None,
        }
        body = {"state": told.word} | {k: v for k, v in given.items() if v is not None}
        document = self._send_or_keep(body)
        if fault is not None:
            warnings.warn(f"{self} failed: {reason}", RuntimeWarning, stacklevel=3)
        if document is not None:
            self.result = self.study_handle.frozen(self.study, document, self.suggested)
        else:
            self.result = FrozenTrial(
                study=self.study,
                number=self.held.number,
                state=told,
                values=numbers,
                params=dict(self.held.params),
                distributions=self.distributions(None),  # the present ones, which need no request
                fail_reason=reason,
                user_attrs=dict(self.held.user_attrs),
                constraints=dict(self.held.constraints),
            )
        return self.result

    def tell_as_optuna(
        self, values: Any, state: TrialState | None = None, reason: str | None = None
    ) -> FrozenTrial:
        """Close the trial as Optuna's `Study.tell` does; see `Study.tell`."""
        if state not in (None, TrialState.COMPLETE):
            return self.tell(values, state, reason)
        fault = fault_of(values, len(self.study_handle.directions))
        if fault is None:
            return self.tell(values)
        if state is not None:
            raise ValueError(f"{self} cannot be complete: {fault}")
        closed = self.tell(None, "fail", fault)
        warnings.warn(f"{self} failed: {fault}", RuntimeWarning, stacklevel=3)
        return closed

    def _send_or_keep(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the closed trial, or None if the result was kept on disk, with a warning."""
        connection, held = self.study_handle.connection, self.held
        was_held = connection.held.get(held.study, held.number) is held
        # From here on the trial has a result: an interrupt must neither release it nor lose the result.
        tell = KeptTell(
            study=held.study,
            study_uid=held.study_uid,
            server=self.study_handle.server_id,
            url=connection.url,
            number=held.number,
            params=held.params,
            created_at=held.created_at,
            body=body,
        )
        self._telling = Telling(connection, tell)
        connection.held.remove(held)
        try:
            return self._telling.send()
        except BadRequest as error:
            if was_held and is_final(error):  # the trial is as open as before
                connection.held.add(held)
            raise
        finally:
            self._telling = None

    def end_now(self) -> None:
        """Give the trial back, or keep its result if that is on its way: this process is about to end.

        Raises:
            OSError: the result cannot be kept.
            OptunAPIError: as `release`.
        """
        telling = self._telling
        if telling is not None:
            telling.keep()
        elif self.is_open:
            self.release()

    def release(self) -> None:
        """Give the trial back, if it is still this worker's. If that fails, its lease has to run out.

        Raises:
            TrialFinished: the trial is closed.
            TryLater: the server was not reached within seconds.
        """
        connection, held = self.study_handle.connection, self.held
        connection.held.remove(held)
        body, path = held.claim, (*held.path, "release")
        # Short: this process may have been asked to end, and be killed soon.
        timeout = min(connection.session.timeout, RELEASE_SECONDS)
        request = Request(method="POST", path=path, body=body, fields=TRIAL_FIELDS, timeout=timeout)
        retries = Retries(seconds=min(connection.retries.seconds, RELEASE_SECONDS))
        with suppress(
            LeaseLost, StudyReplaced, TrialWaiting
        ):  # the reply of an earlier attempt was lost
            retries.run(lambda: connection.session.send(request))

    # A `with` block around a trial

    def end_soon(self) -> None:
        """Note that this process is about to end."""
        self.held.ending = True

    def begin_block(self) -> None:
        """Begin the trial's block, in which SIGTERM gives the trial back."""
        enter_block(self.end_soon)

    def end_block(self, error: BaseException | None) -> bool:
        """End the block and, if it is open, the trial; return whether `error` goes no further."""
        if generation() != self._process:  # a fork that leaves the block is not the trainer
            return False
        try:
            if self.is_open:
                self._end(error)
        except OptunAPIError as refusal:
            if error is None or is_pruned(error):
                raise
            error.add_note(f"and the server was not told: {refusal}")
        finally:
            leave_block(self.end_soon)
        return is_pruned(error)

    def _end(self, error: BaseException | None) -> None:
        is_pruning = is_pruned(error)
        if self.stop_requested and (error is None or (is_pruning and not self.should_prune)):
            self.release() if self.held.ending else self.tell(None, "fail", STOPPED)
        elif error is None:
            text = f"{self} ended without a result: it fails with the reason {NO_VALUE}"
            warnings.warn(text, RuntimeWarning, stacklevel=4)
            self.tell(None, "fail", NO_VALUE)
        elif isinstance(error, TAKEN_AWAY):
            self.study_handle.connection.held.remove(self.held)
        elif is_pruning:
            self.tell(None, "pruned")
        elif isinstance(error, Exception):
            self.tell(None, "fail", f"{type(error).__name__}: {text_of(error)}")
        else:
            self.release()
