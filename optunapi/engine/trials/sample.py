"""Sampling for the trials of one study: by a native sampler, or by one of Optuna's.

Optuna's samplers are not thread-safe and take their time, so they sample for one request at a time,
under `Sampling.lock`. A native sampler draws a single point without it.
"""

import copy
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.documents.components import without_warnings
from optunapi.engine.samplers.native.engine import NativeSampler
from optunapi.engine.samplers.uniform import UniformSampler
from optunapi.engine.space import sample_conditional
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.points import checked_point
from optunapi.engine.state import transitions
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.taken_points import Point, point_of
from optunapi.engine.state.templates import FIXED, blank_trial
from optunapi.engine.trials.draft import Draft, Drafted, Suggest, drawn
from optunapi.engine.trials.policy import Policy
from optunapi.engine.values import AskRequest
from optunapi.errors import ValueInvalid
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import SamplerFailed

SAMPLER_TRIES = 4

Draw = Callable[[Suggest], object]

Wanted = Sequence[FrozenTrial | None]  # a waiting trial, or None for a new one


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A draft for the trial `waiting`, or for a new one.

    `point` is where it lies if no other trial may lie there, else None.
    """

    draft: Drafted
    waiting: FrozenTrial | None
    policy: Policy
    point: Point | None


class Sampling:
    """What the trials of one study are sampled with. Every method may be called from any thread.

    `lock` is held while Optuna's samplers run. `policy` is replaced under the lock and inside a unit: holding
    either is enough to read it. `random` is for points that no sampler chooses.
    """

    def __init__(self, state: StudyState) -> None:
        self._state = state
        self.random = random.Random(state.spec.sampler.get("seed"))  # nosec B311  # no secret
        self.lock = threading.Lock()
        self.policy = Policy.of(state.spec, state.store.n_trials(state.id))

    @property
    def is_quick(self) -> bool:
        """Whether an ask takes no longer than a few trials' sampling in Rust."""
        return self._state.derived.native is not None

    @property
    def is_instant(self) -> bool:
        """Whether drawing a point takes microseconds, so that it may be done inside a unit."""
        is_native = self._state.derived.native is not None
        return is_native and self.policy.spec.sampler["name"] == "random"

    @property
    def may_prepare(self) -> bool:
        """Whether the next ask's point can be drawn now: no trial runs or waits."""
        if self._state.derived.native is None or self.is_instant:
            return False
        counts = self._state.store.counts(self._state.id)
        return not (counts[TrialState.RUNNING] or counts[TrialState.WAITING])

    def prepare(self) -> None:
        """Draw the next ask's point ahead, unless trials run or wait: then it would not be used."""
        native = self._state.derived.native
        if native is not None and self.may_prepare:
            native.prepare(self._state.store.n_trials(self._state.id))

    def draft(
        self,
        policy: Policy,
        new: Callable[[], Draft],
        draw: Draw,
        adapted: Callable[[BaseSampler], BaseSampler] = lambda sampler: sampler,
    ) -> Draft:
        """A draft for which `draw` has sampled parameters. Call it with `lock` held.

        `adapted` returns what is used for the study's sampler.

        Optuna's samplers raise for some histories, and where numbers get too large for their formulas. A
        trial gets random values then, and the log and the study's view say why. A sampler that raised is
        replaced: it may be left half-updated.

        Raises:
            ValueInvalid: there is no value that can be stored.
        """
        draft = new()
        try:
            with without_warnings():
                draw(draft.suggest(adapted(policy.sampler), policy.spec))
        except Exception as error:  # whatever they raise
            policy.remake_sampler(self._state.store.n_trials(self._state.id))
            return self.random_draft(policy, new, draw, error)
        return draft

    def random_draft(
        self, policy: Policy, new: Callable[[], Draft], draw: Draw, error: BaseException
    ) -> Draft:
        """A draft with random parameters, since the sampler has raised `error`.

        Raises:
            ValueInvalid: there is no value that can be stored.
        """
        self._note_failure(policy.spec.sampler["name"], error)
        draft = new()
        try:
            with without_warnings():
                draw(draft.suggest(UniformSampler(self.random), policy.spec))
        except ValueError as reason:
            raise ValueInvalid(f"no value can be drawn for {reason}") from None
        return draft

    def _note_failure(self, sampler: str, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}"
        if reason != self._state.sampler_failure:
            self._state.sampler_failure = reason
            failed = SamplerFailed(study=self._state.name, sampler=sampler, reason=reason)
            emit(failed, error=error)

    def follow(self, spec: StudySpec, check: Callable[[], None]) -> None:
        """Sample by another specification from the next ask on; queue the points that it adds.

        Returns when that is committed. If it is refused, the former specification stays in force. `check`
        is called first, inside the unit: a trial may get another parameter at any time.
        """
        state = self._state
        policy = Policy.of(spec, state.store.n_trials(state.id))
        with self.lock:
            former_spec, former_policy = state.configured_spec, self.policy
            try:
                with state.unit() as unit:
                    check()
                    added = state.not_queued(spec.enqueue)
                    state.set_spec(spec)
                    self.policy, state.sampler_failure = policy, None
                    for point in added:
                        transitions.enqueue(state, point)
                unit.commit.result()
            except BaseException:
                self.policy = former_policy
                state.restore_spec(former_spec)
                raise


class Samples:
    """The samples for one request. Holds `Sampling.lock` from the first draw that needs it to the end.

    Use it as a context manager: call `fit` inside a unit and `draw` outside of it, until `fit` returns all
    samples. At the end the native sampler forgets the samples that were drawn and not used.
    """

    def __init__(self, state: StudyState, sampling: Sampling, request: AskRequest) -> None:
        self._state = state
        self._sampling = sampling
        self._request = request
        self._samples: list[Sample | None] = []
        self._wanted: Wanted = ()
        self._has_lock = False
        self._drawn: list[int] = []  # the numbers of the trials that were drafted
        self._n_used = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_lock:
            self._sampling.lock.release()
        native = self._state.derived.native
        if native is not None and len(self._drawn) != self._n_used:
            for number in self._drawn:
                native.forget(number)

    def fit(self, wanted: Wanted) -> list[Sample] | None:
        """The samples for the wanted trials, or None if some have to be drawn first.

        A sample that was drawn before does not fit any more if the specification or its waiting trial
        has changed since, or if another trial took its point.
        """
        derived = self._state.derived
        queued: dict[int, Sample] = {}
        new: list[Sample] = []
        for sample in self._samples:
            if sample is None or sample.policy is not self._sampling.policy:
                continue
            if sample.point in derived.points:
                continue
            if sample.waiting is None:
                new.append(sample)
            else:
                queued[sample.waiting.number] = sample
        self._wanted, self._samples = wanted, []
        for trial in wanted:
            if trial is None:
                self._samples.append(new.pop(0) if new else None)
            else:
                kept = queued.get(trial.number)
                self._samples.append(kept if kept and kept.waiting is trial else None)
        if None in self._samples:
            # All of one specification: `Sampling.follow` replaces them together, inside a unit.
            self._policy, self._native = self._sampling.policy, derived.native
            self._counts_all = derived.counts_all_points
            self._points = derived.points.copy() if len(wanted) > 1 else derived.points
            if len(wanted) == 1 and self._sampling.is_instant:
                self._fill()
        found = [sample for sample in self._samples if sample is not None]
        if len(found) < len(wanted):
            return None
        self._n_used = len(found)
        return found

    def draw(self) -> int:
        """Draw the missing samples; return how many of them found no point left in the space.

        This is slow, and holds no lock that a tell needs. If it needs `Sampling.lock` and does not hold it,
        it only takes the lock and returns 0: what is wanted may have changed during the wait.
        """
        if not self._has_lock and (self._native is None or len(self._wanted) > 1):
            self._sampling.lock.acquire()
            self._has_lock = True
            return 0
        self._fill()
        return len(self._wanted) - len(self._samples)

    def _fill(self) -> None:
        others = [sample.draft for sample in self._samples if sample]
        for draft in others:
            self._points.replace(None, draft.trial)
        found: list[Sample | None] = []
        for trial, sample in zip(self._wanted, self._samples, strict=True):
            if sample is None:
                if trial is None and self._points.exhausted:
                    break
                sample = self._sample(trial, others)
                self._drawn.append(sample.draft.trial.number)
                if len(self._wanted) > 1:  # of a single sample, the points are the study's own
                    self._points.replace(None, sample.draft.trial)
                    others.append(sample.draft)
            found.append(sample)
        self._samples = found

    def _sample(self, waiting: FrozenTrial | None, others: Sequence[Drafted]) -> Sample:
        """A sample at a point that is not taken, if there is one."""
        policy, points, point = self._policy, self._points, None
        for draft in self._drafts(waiting, others):
            if draft.is_fixed or not points.avoid:
                break
            point = point_of(draft.trial.params, draft.trial.distributions)
            if point not in points:
                break
        else:
            params = None if points.exhausted else points.untaken(self._sampling.random)
            point = None
            if params is not None:
                draft.trial.params = params
                draft.trial.distributions = dict(policy.distributions(params))
                point = point_of(params, draft.trial.distributions)
        return Sample(draft=draft, waiting=waiting, policy=policy, point=point)

    def _drafts(self, waiting: FrozenTrial | None, others: Sequence[Drafted]) -> Iterator[Drafted]:
        """Drafts of one trial, each at another point if the sampler has one."""
        for attempt in range(SAMPLER_TRIES):
            if self._native is None:
                yield self._draft(waiting, others)
            else:
                yield self._drawn_by(self._native, attempt, waiting, others)

    def _drawn_by(
        self,
        native: NativeSampler,
        attempt: int,
        waiting: FrozenTrial | None,
        others: Sequence[Drafted],
    ) -> Drafted:
        try:
            return drawn(native, self._policy, self._blank(waiting, others), attempt)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in Rust is no Exception
            self._state.derive_again()
            return self._draft(waiting, others, error)

    def _draft(
        self,
        waiting: FrozenTrial | None,
        others: Sequence[Drafted],
        failure: BaseException | None = None,
    ) -> Drafted:
        """A draft by Optuna's sampler; a random one if a native sampler has raised `failure`."""
        state, policy = self._state, self._policy

        def new() -> Draft:
            return Draft(state.store, state.id, state.name, self._blank(waiting, others), others)

        draw = partial(sample_conditional, policy.spec.parameters)
        if failure is not None:
            return self._sampling.random_draft(policy, new, draw, failure)
        if policy.spec.sampler["name"] == "brute-force" and self._counts_all:
            # It may be any point that is not taken. Optuna's sampler would list all values and trials.
            uniform = UniformSampler(self._sampling.random)
            return self._sampling.draft(policy, new, draw, lambda _: uniform)
        return self._sampling.draft(policy, new, draw)

    def _blank(self, waiting: FrozenTrial | None, others: Sequence[Drafted]) -> FrozenTrial:
        """The trial to draft, without what is sampled."""
        if waiting is not None:
            trial = copy.copy(waiting)
            trial.state = TrialState.RUNNING
            return trial
        state = self._state
        new = sum(other.trial._trial_id < 0 for other in others)
        number = state.store.n_trials(state.id) + new
        trial = blank_trial(number, state.local_time(), TrialState.RUNNING)
        trial._trial_id = -1 - new
        if self._request.params:
            point = checked_point(self._policy.spec, self._request.params)
            trial.system_attrs[FIXED] = point
        return trial
