"""Sampling for the trials of one study: by a native sampler, or by one of Optuna's.

Optuna's samplers are not thread-safe and take their time, so they sample for one request at a time,
under `Sampling.lock`. A native sampler draws a single point without it.
"""

import copy
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.native.engine import NativeSampler
from optunapi.engine.space import sample_conditional
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.points import checked_point
from optunapi.engine.state import transitions
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.taken_points import Point, Points, point_of
from optunapi.engine.state.templates import FIXED, blank_trial
from optunapi.engine.trials.draft import Draft, Drafted, drawn
from optunapi.engine.trials.policy import Policy
from optunapi.engine.values import AskRequest

SAMPLER_TRIES = 4

Wanted = Sequence[FrozenTrial | None]  # a waiting trial, or None for a new one


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What samples are drawn from, all of one specification, as it was inside a unit.

    `is_instant` says that drawing takes microseconds and may be done inside the unit; `needs_turn` that
    it must be done under `Sampling.lock`.
    """

    policy: Policy
    native: NativeSampler | None
    points: Points
    is_instant: bool
    needs_turn: bool


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
    """Samples trials of one study. `lock` is held while Optuna's samplers run.

    `policy` is replaced under the lock and inside a unit: it may be read in either.
    """

    def __init__(self, state: StudyState) -> None:
        self._state = state
        self._random = random.Random(state.spec.sampler.get("seed"))  # nosec B311  # no secret
        self.lock = threading.Lock()
        self.policy = Policy.of(state.spec, state.store.n_trials(state.id))

    @property
    def is_quick(self) -> bool:
        """Whether an ask takes no longer than a few trials' sampling in Rust."""
        return self._state.derived.native is not None

    @property
    def may_prepare(self) -> bool:
        """Whether the next ask's point can be drawn now: no trial runs or waits."""
        is_random = self.policy.spec.sampler["name"] == "random"  # drawing ahead gains nothing
        if self._state.derived.native is None or is_random:
            return False
        counts = self._state.store.counts(self._state.id)
        return not (counts[TrialState.RUNNING] or counts[TrialState.WAITING])

    def prepare(self) -> None:
        """Draw the next ask's point ahead, unless trials run or wait: then it would not be used."""
        native = self._state.derived.native
        if native is not None and self.may_prepare:
            native.prepare(self._state.store.n_trials(self._state.id))

    def follow(self, spec: StudySpec) -> None:
        """Sample by another specification from the next ask on; queue the points that it adds.

        Returns when that is committed. If it is refused, the former specification stays in force.
        """
        state = self._state
        policy = Policy.of(spec, state.store.n_trials(state.id))
        with self.lock:
            former_spec, former_policy = state.spec, self.policy
            added = [point for point in spec.enqueue if point not in former_spec.enqueue]
            try:
                with state.unit() as unit:
                    state.set_spec(spec)
                    self.policy = policy
                    for point in added:
                        transitions.enqueue(state, point)
                unit.commit.result()
            except BaseException:
                self.policy = former_policy
                state.restore_spec(former_spec)
                raise

    # Inside a unit

    def basis(self, wanted: Wanted) -> Basis:
        """What samples for the wanted trials are drawn from now."""
        native, points = self._state.derived.native, self._state.derived.points
        is_batch = len(wanted) > 1
        is_random = self.policy.spec.sampler["name"] == "random"
        return Basis(
            policy=self.policy,
            native=native,
            points=points.copy() if is_batch else points,
            is_instant=native is not None and is_random and not is_batch,
            needs_turn=is_batch or native is None,
        )

    def still_fitting(
        self, samples: Sequence[Sample | None], wanted: Wanted
    ) -> list[Sample | None]:
        """For each wanted trial its sample, or None where there is none that still fits.

        A sample no longer fits if the specification or its waiting trial has changed since, or if
        another trial took its point.
        """
        queued: dict[int, Sample] = {}
        new: list[Sample] = []
        for sample in samples:
            if sample is None or sample.policy is not self.policy:
                continue
            if sample.point in self._state.derived.points:
                continue
            if sample.waiting is None:
                new.append(sample)
            else:
                queued[sample.waiting.number] = sample
        found: list[Sample | None] = []
        for trial in wanted:
            if trial is None:
                found.append(new.pop(0) if new else None)
            else:
                kept = queued.get(trial.number)
                found.append(kept if kept and kept.waiting is trial else None)
        return found

    # Outside of a unit

    def fill(
        self,
        samples: Sequence[Sample | None],
        wanted: Wanted,
        basis: Basis,
        request: AskRequest,
    ) -> list[Sample]:
        """The samples with the missing ones drawn; fewer where the space has no more points.

        Slow, unless the basis is instant. It holds no lock that a tell needs.
        """
        others = [sample.draft for sample in samples if sample]
        for draft in others:
            basis.points.replace(None, draft.trial)
        found: list[Sample] = []
        for trial, sample in zip(wanted, samples, strict=True):
            if sample is None:
                if trial is None and basis.points.exhausted:
                    break
                sample = self._sample(trial, basis, request, others)
                if len(wanted) > 1:  # of a single sample, the points are the study's own
                    basis.points.replace(None, sample.draft.trial)
                    others.append(sample.draft)
            found.append(sample)
        return found

    def _sample(
        self,
        waiting: FrozenTrial | None,
        basis: Basis,
        request: AskRequest,
        others: Sequence[Drafted],
    ) -> Sample:
        """A sample at a point that is not taken, if there is one."""
        points, point = basis.points, None
        for draft in self._drafts(waiting, basis, request, others):
            if draft.is_fixed or not points.avoid:
                break
            point = point_of(draft.trial.params, draft.trial.distributions)
            if point not in points:
                break
        else:
            params = points.untaken(self._random) if points.left else None
            point = None
            if params is not None:
                draft.trial.params = params
                draft.trial.distributions = dict(basis.policy.distributions(params))
                point = point_of(params, draft.trial.distributions)
        return Sample(draft=draft, waiting=waiting, policy=basis.policy, point=point)

    def _drafts(
        self,
        waiting: FrozenTrial | None,
        basis: Basis,
        request: AskRequest,
        others: Sequence[Drafted],
    ) -> Iterator[Drafted]:
        """Drafts of one trial, each at another point if the sampler has one."""
        state, policy = self._state, basis.policy
        for attempt in range(SAMPLER_TRIES):
            trial = self._blank(waiting, policy, request, others)
            if basis.native is not None:
                yield drawn(basis.native, policy, trial, attempt)
            else:
                draft = Draft(state.store, state.id, state.name, trial, others)
                suggest = draft.suggest(policy.sampler)
                sample_conditional(policy.spec.parameters, suggest)
                yield draft

    def _blank(
        self,
        waiting: FrozenTrial | None,
        policy: Policy,
        request: AskRequest,
        others: Sequence[Drafted],
    ) -> FrozenTrial:
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
        if request.params:
            trial.system_attrs[FIXED] = checked_point(policy.spec, request.params)
        return trial
