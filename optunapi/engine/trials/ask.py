"""How a trial comes to be handed out: again, handed on, from the queue, or newly sampled.

What decides and changes does so inside one unit of the state. Sampling is slow and stays outside: it
works on a draft, one draft at a time in a study, and what the draft was based on is looked at again
before it becomes a trial.
"""

import copy
import logging
import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.lifecycle import CANCELLED, finished_reason, full_reason, stop_reason
from optunapi.engine.records import TrialRecord
from optunapi.engine.samplers.native.engine import NativeSampler
from optunapi.engine.space import sample_conditional
from optunapi.engine.spec.points import checked_point, flaw
from optunapi.engine.spec.read import StudySpec
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.taken_points import Points
from optunapi.engine.state.templates import FIXED, blank_trial
from optunapi.engine.store import Commit
from optunapi.engine.trials.draft import Draft, Drafted, drawn
from optunapi.engine.trials.idempotency import trials_of_key
from optunapi.engine.trials.policy import Policy
from optunapi.engine.values import AskRequest, TrialView
from optunapi.errors import NoSlot, SpecConflict, StudyFinished, StudyPaused

logger = logging.getLogger(__name__)

SAMPLER_TRIES = 4


class Asking:
    """Hands out the trials of one study. Every method may be called from any thread.

    While `conflict` is set, nothing is handed out that was not handed out before.
    """

    def __init__(self, state: StudyState) -> None:
        self._state = state
        self._sampling = threading.Lock()
        self._random = random.Random(state.spec.sampler.get("seed"))  # nosec B311  # no secret
        self.policy = Policy.of(state.spec, state.store.n_trials(state.id))
        self.conflict: SpecConflict | None = None

    @property
    def sampling(self) -> threading.Lock:
        """Held while something of the study is sampled; the policy stays as it is meanwhile."""
        return self._sampling

    def ask(self, request: AskRequest) -> tuple[TrialView, Commit]:
        """Hand out a trial, in this order: the one this request got before; with `resume`, the
        worker's own; one whose lease expired; the oldest waiting; a new sample.

        Raises:
            SpecConflict: the configuration has become one that the study's trials cannot live with.
            ValueInvalid: `params` are not of the space.
            StudyPaused: nothing is handed out until the study is opened again.
            StudyFinished: nothing more is handed out; `finished_reason` says why.
            NoSlot: nothing is free now, something may become free.
            KeyReused: the key came before with another request.
            LeaseLost: the trial this key got before was handed on since.
        """
        state = self._state
        if state.native is not None:  # it has no turns
            return self._ask(request)
        with state.settled_unit() as unit:
            view = self._hand_out_again(request)
        if view is not None:
            return view, unit.commit
        with self._sampling:
            return self._ask(request)

    @property
    def is_quick(self) -> bool:
        """Whether an ask takes no longer than a few trials' sampling in Rust."""
        return self._state.native is not None

    @property
    def may_prepare(self) -> bool:
        """Whether what the next ask gets can be drawn now: nobody trains, and no trial waits."""
        counts = self._state.store.counts(self._state.id)
        is_alone = not (counts[TrialState.RUNNING] or counts[TrialState.WAITING])
        return is_alone and self.is_quick and not self._samples_at_once

    def prepare(self) -> None:
        """Draw for the next ask ahead. With others about it would be in vain, and is left."""
        native = self._state.native
        if native is not None and self.may_prepare:
            native.prepare(self._state.store.n_trials(self._state.id))

    def _ask(self, request: AskRequest) -> tuple[TrialView, Commit]:
        state = self._state
        while True:
            with state.settled_unit() as unit:
                # Of one specification: `follow` replaces them together, in a unit too.
                policy, native, points = self.policy, state.native, state.points
                # Another request with this key, or an expiry, while this one waited its turn.
                view = self._hand_out_again(request)
                waiting = None if view else self._next_waiting(request)
                if waiting is not None and self._drops(waiting):
                    continue
                if waiting is not None and TrialRecord.of(waiting).attempt:
                    # It was given back: its parameters stay, as a result for it may still come.
                    view = self._start(waiting, request, clear_intermediate_values=True)
                elif view is None and self._samples_at_once:
                    draft, _ = self._sample(policy, native, waiting, request)
                    view = self._hand_out(policy, draft, waiting, request)
            if view is not None:
                return view, unit.commit
            draft, is_unused = self._sample(policy, native, waiting, request, points=points)
            with state.unit() as unit:
                view = self._hand_out_again(request)
                if view is None and not (is_unused and state.points.clashes(draft.trial)):
                    view = self._place(policy, draft, waiting, request)
            if view is not None:
                return view, unit.commit

    @property
    def _samples_at_once(self) -> bool:
        """Whether sampling takes so little that it may be done inside a unit."""
        return self._state.native is not None and self.policy.spec.sampler["name"] == "random"

    def _hand_out_again(self, request: AskRequest) -> TrialView | None:
        """A running trial for this request: (0) or (1) of the order, or a repeated request's."""
        state = self._state
        if found := trials_of_key(state, request.key, request.digest):
            return state.view(found[0])
        self._check(request)
        if request.resume and request.worker is not None:
            number = state.tally.running_of(request.worker)
            if number is not None:
                return self._start(state.trial(number), request)
        if request.params:
            return None
        number = state.leases.first_expired()
        if number is None:
            return None
        return self._start(state.trial(number), request, clear_intermediate_values=True)

    def _check(self, request: AskRequest) -> None:
        """Refuse what nothing can be handed out for."""
        state = self._state
        if self.conflict is not None:
            raise self.conflict.again()
        if request.params:
            checked_point(state.spec, request.params)
        if state.record.state == "paused":
            raise StudyPaused("the study is paused: ask again when it has been opened")
        if reason := stop_reason(state.limits, state.usage(), state.clock()):
            raise StudyFinished(f"the study is finished: {reason}", finished_reason=reason)

    def _next_waiting(self, request: AskRequest) -> FrozenTrial | None:
        """The oldest waiting trial, or None where a new one may be sampled."""
        state = self._state
        usage = state.usage()
        if reason := finished_reason(state.limits, usage, state.clock()):
            raise StudyFinished(f"the study is finished: {reason}", finished_reason=reason)
        limit = state.limits.max_running
        if limit is not None and usage.running >= limit:
            raise NoSlot(f"{usage.running} trials are running, which is the limit: ask again")
        if usage.waiting and not request.params:
            return next(
                trial
                for trial in state.store.open_trials(state.id)
                if trial.state == TrialState.WAITING
            )
        if full_reason(state.limits, usage):
            raise NoSlot("every place is taken, but an open trial may give its own back: ask again")
        return None

    def _drops(self, waiting: FrozenTrial) -> bool:
        """Whether the trial has just left the queue: Optuna puts there whatever it is given."""
        state = self._state
        record = TrialRecord.of(waiting)
        reason = None if record.attempt else flaw(state.spec, waiting.system_attrs.get(FIXED))
        if reason is None:
            return False
        logger.warning("trial %d of study %s is cancelled: %s", waiting.number, state.name, reason)
        state.fail(waiting, record, CANCELLED)
        return True

    def _sample(
        self,
        policy: Policy,
        native: NativeSampler | None,
        waiting: FrozenTrial | None,
        request: AskRequest,
        others: Sequence[Drafted] = (),
        points: Points | None = None,
    ) -> tuple[Drafted, bool]:
        """A draft with all its parameters, and whether it is to lie where no other trial does.

        `others` are drafts to become trials with this one, which `points` has taken into account.
        Slow, and holds no lock that a tell needs.
        """
        points = points or self._state.points
        for draft in self._drafts(policy, native, waiting, request, others):
            if draft.is_fixed or not points.avoid:
                return draft, False
            if not points.clashes(draft.trial):
                return draft, True
        params = points.untaken(self._random) if points.left else None
        if params is None:
            return draft, False
        draft.trial.params = params
        draft.trial.distributions = dict(policy.distributions(params))
        return draft, True

    def _drafts(
        self,
        policy: Policy,
        native: NativeSampler | None,
        waiting: FrozenTrial | None,
        request: AskRequest,
        others: Sequence[Drafted],
    ) -> Iterator[Drafted]:
        """Drafts of one trial, each at another point if the sampler has one."""
        for attempt in range(SAMPLER_TRIES):
            trial = self._blank(policy, waiting, request, others)
            if native is not None:
                yield drawn(native, policy, trial, attempt)
            else:
                draft = Draft(self._state.store, self._state.id, self._state.name, trial, others)
                suggest = draft.suggest(policy.sampler)
                sample_conditional(policy.spec.parameters, suggest)
                yield draft

    def _blank(
        self,
        policy: Policy,
        waiting: FrozenTrial | None,
        request: AskRequest,
        others: Sequence[Drafted],
    ) -> FrozenTrial:
        """The trial that is to be drafted, without what is sampled."""
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

    def _place(
        self, policy: Policy, draft: Drafted, waiting: FrozenTrial | None, request: AskRequest
    ) -> TrialView | None:
        """The draft as a trial, if it may still be one; None if what it was drafted for is gone."""
        if self._next_waiting(request) is not waiting or policy is not self.policy:
            return None
        return self._hand_out(policy, draft, waiting, request)

    def _hand_out(
        self, policy: Policy, draft: Drafted, waiting: FrozenTrial | None, request: AskRequest
    ) -> TrialView:
        """The draft as a trial."""
        state = self._state
        for key, value in draft.study_attrs.items():
            state.store.set_study_system_attr(state.id, key, value)
        if state.record.first_ask_at is None:
            state.set_record(first_ask_at=state.clock())
        if waiting is not None:
            record = TrialRecord.of(waiting)
            self._remember(waiting.number, draft)
            return self._start(
                waiting,
                request,
                record=record.with_(spec_version=policy.spec.version),
                params=draft.trial.params,
                distributions=draft.trial.distributions,
                system_attrs=draft.notes(),
            )
        record = state.next_attempt(
            TrialRecord(spec_version=policy.spec.version), **self._hold_of(request)
        )
        draft.trial.user_attrs = dict(request.user_attrs)
        draft.trial.datetime_start = state.local_time()
        trial = state.add(draft.trial, record)
        state.hold(trial.number, record)
        self._remember(trial.number, draft)
        return state.view(trial)

    def _remember(self, number: int, draft: Drafted) -> None:
        """Keep what was drawn together for parameters that the trial may still be given."""
        self._state.relative.pop(number, None)
        if (relative := draft.relative()) is not None:
            self._state.relative[number] = relative

    def _start(
        self,
        trial: FrozenTrial,
        request: AskRequest,
        *,
        record: TrialRecord | None = None,
        **changes: Any,
    ) -> TrialView:
        started = self._state.start(
            trial,
            record or TrialRecord.of(trial),
            user_attrs=request.user_attrs or None,
            **self._hold_of(request),
            **changes,
        )
        return self._state.view(started)

    def _hold_of(self, request: AskRequest) -> dict[str, Any]:
        seconds = request.lease_seconds or self._state.lease_seconds if request.leased else None
        return {
            "worker": request.worker,
            "lease_seconds": seconds,
            "key": request.key,
            "request": request.digest,
            "place": request.place,
        }

    def follow(self, spec: StudySpec) -> None:
        """Go by another specification from the next ask on; points it adds to the queue are queued.

        Returns when that is committed; if it is refused, the former one stays in force.
        """
        state = self._state
        policy = Policy.of(spec, state.store.n_trials(state.id))
        with self._sampling:
            former_spec, former_policy = state.spec, self.policy
            added = [point for point in spec.enqueue if point not in former_spec.enqueue]
            try:
                with state.unit() as unit:
                    state.set_spec(spec)
                    self.policy = policy
                    for point in added:
                        state.enqueue(point)
                unit.commit.result()
            except BaseException:
                self.policy = former_policy
                state.back_to_spec(former_spec)
                raise
