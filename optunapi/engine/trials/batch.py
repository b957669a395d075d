"""Many trials handed out at once: all in one commit, so that a request cut off leaves none behind."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.lifecycle import finished_reason, full_reason
from optunapi.engine.records import TrialRecord
from optunapi.engine.store import Commit
from optunapi.engine.trials.ask import Asking
from optunapi.engine.trials.draft import Drafted
from optunapi.engine.trials.idempotency import trials_of_key
from optunapi.engine.values import AskRequest, TrialView
from optunapi.errors import NoSlot, StudyFinished


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be handed out: the worker's `own`, those whose lease is `lost`, the oldest that wait,
    and so many `new` ones. Its trials are as they were when it was made.
    """

    own: Sequence[FrozenTrial]
    lost: Sequence[FrozenTrial]
    waiting: Sequence[FrozenTrial]
    new: int

    @property
    def to_sample(self) -> list[FrozenTrial | None]:
        """The waiting trials that lack a draft, then None for each new one.

        One that was given back keeps its parameters, as a result for it may still come.
        """
        queued = [trial for trial in self.waiting if not TrialRecord.of(trial).attempt]
        return [*queued, *[None] * self.new]


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """A draft, of a waiting trial or a new one, and whether it is to lie where no other trial does."""

    draft: Drafted
    waiting: FrozenTrial | None
    is_unused: bool


class BatchAsking(Asking):
    """Hands out trials one by one, as `Asking` does, and many at once."""

    def ask_many(self, request: AskRequest, count: int) -> tuple[list[TrialView], Commit]:
        """Hand out `count` trials, or as many as there are, in the order of `ask`.

        Each is sampled with those before it in the history, as if they ran already.

        Raises: as `ask`, when there is none.
        """
        state = self._state
        with state.settled_unit() as unit:
            views = self._given_before(request)
        if views:
            return views, unit.commit
        with self._sampling:  # which also keeps the policy as it is
            found: list[Sampled | None] = []
            while True:
                with state.unit() as unit:
                    # Another request with this key, or a tell, while this one waited or sampled.
                    views = self._given_before(request)
                    if not views:
                        plan = self._plan(request, count)
                        dropped = [trial for trial in plan.waiting if self._drops(trial)]
                        if dropped:
                            continue
                        found = self._fitting(plan, found)
                        ready = [each for each in found if each is not None]
                        if len(ready) == len(found):
                            views = self._hand_out_all(plan, ready, request)
                if views:
                    return views, unit.commit
                found = self._sample_all(plan, found, request)
                if len(found) < len(plan.to_sample):  # the space has no more points
                    count = max(1, count - len(plan.to_sample) + len(found))

    def _given_before(self, request: AskRequest) -> list[TrialView]:
        """What this request got before, if it is a repeated one."""
        state = self._state
        if found := trials_of_key(state, request.key, request.digest):
            return [state.view(trial) for trial in found]
        self._check(request)
        return []

    def _plan(self, request: AskRequest, count: int) -> Plan:
        """At most `count` trials, at least one, as the limits are now."""
        state = self._state
        own = state.tally.all_running_of(request.worker or "") if request.resume else []
        lost = [] if request.params else [n for n in state.leases.all_expired() if n not in own]
        again = [*own, *lost][:count]
        room, waiting = count - len(again), []
        usage = state.usage()
        if reason := finished_reason(state.limits, usage, state.clock()):
            if not again:
                raise StudyFinished(f"the study is finished: {reason}", finished_reason=reason)
            room = 0
        if (limit := state.limits.max_running) is not None and usage.running + room > limit:
            room = max(0, limit - usage.running)
            if not room and not again:
                raise NoSlot(f"{usage.running} trials are running, which is the limit: ask again")
        if not request.params:
            open_trials = state.store.open_trials(state.id)
            waiting = [t for t in open_trials if t.state == TrialState.WAITING][:room]
            room -= len(waiting)
        if full_reason(state.limits, usage):
            room = 0
        elif (limit := state.limits.max_trials) is not None:
            taken = usage.waiting + usage.running + usage.complete + usage.pruned
            room = min(room, limit - taken)
        if not again and not waiting and not room:
            raise NoSlot("every place is taken, but an open trial may give its own back: ask again")
        return Plan(
            own=[state.trial(number) for number in again[: len(own)]],
            lost=[state.trial(number) for number in again[len(own) :]],
            waiting=waiting,
            new=room,
        )

    def _fitting(self, plan: Plan, sampled: Sequence[Sampled | None]) -> list[Sampled | None]:
        """For each trial that the plan samples its draft, or None where that is still to be made."""
        points = self._state.points
        queued = {each.waiting.number: each for each in sampled if each and each.waiting}
        new = (
            each
            for each in sampled
            if each and not each.waiting
            if not (each.is_unused and points.clashes(each.draft.trial))
        )
        found: list[Sampled | None] = []
        for trial in plan.to_sample:
            each = next(new, None) if trial is None else queued.get(trial.number)
            found.append(each if each and each.waiting is trial else None)
        return found

    def _sample_all(
        self, plan: Plan, sampled: Sequence[Sampled | None], request: AskRequest
    ) -> list[Sampled | None]:
        """The drafts with those that lack; fewer where the space has not so many points."""
        with self._state.unit():
            points = self._state.points.copy()
        others = [each.draft for each in sampled if each]
        for draft in others:
            points.replace(None, draft.trial)
        found: list[Sampled | None] = []
        for trial, each in zip(plan.to_sample, sampled, strict=True):
            if each is None:
                if trial is None and points.exhausted:
                    break
                native = self._state.native
                draft, is_unused = self._sample(self.policy, native, trial, request, others, points)
                points.replace(None, draft.trial)
                others.append(draft)
                each = Sampled(draft=draft, waiting=trial, is_unused=is_unused)
            found.append(each)
        return found

    def _hand_out_all(
        self, plan: Plan, sampled: Sequence[Sampled], request: AskRequest
    ) -> list[TrialView]:
        views = []
        drafts = (each.draft for each in sampled)
        trials = [*plan.own, *plan.lost, *plan.waiting, *[None] * plan.new]
        for place, trial in enumerate(trials):
            asked = replace(request, place=place)
            if trial is None or not TrialRecord.of(trial).attempt:
                view = self._hand_out(self.policy, next(drafts), trial, asked)
            else:
                anew = place >= len(plan.own)
                view = self._start(trial, asked, clear_intermediate_values=anew)
            views.append(view)
        return views
