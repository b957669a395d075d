"""How trials are handed out: again, from the queue, or newly sampled.

An ask takes these steps; a request for one trial is a request for n trials with n = 1:

1. Apply the deadlines that are due (`transitions.unit_after_deadlines`).
2. Look up what the request's idempotency key got before (`idempotency`).
3. Plan which trials it gets: again, waiting, new (`Asking._plan`, with the rules in `limits`).
4. Draw the samples that are missing (`sample`), then begin again at 1.
5. Start the planned trials (`transitions`).

Steps 2, 3 and 5 are inside one unit of the state, so nothing changes between them. Step 4 is slow and
outside: what happened meanwhile is seen when the steps are repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from optunapi.engine.limits import allowance
from optunapi.engine.records import TrialRecord
from optunapi.engine.spec.points import checked_point, flaw
from optunapi.engine.state import transitions
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.templates import FIXED
from optunapi.engine.store import Commit
from optunapi.engine.trials.idempotency import trials_of_key
from optunapi.engine.trials.sample import Sample, Samples, Sampling
from optunapi.engine.values import AskRequest, TrialView
from optunapi.errors import SpecConflict, StudyPaused


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One trial to hand out: `trial` as it is now, or a new one where that is None."""

    trial: FrozenTrial | None
    needs_sample: bool = False
    keeps_reports: bool = False


_NEW = Planned(trial=None, needs_sample=True)


class Asking:
    """Hands out the trials of one study. Every method may be called from any thread.

    While `conflict` is set, a request gets trials only if it is a repeat.
    """

    def __init__(self, state: StudyState, sampling: Sampling) -> None:
        self._state = state
        self._sampling = sampling
        self.conflict: SpecConflict | None = None

    def ask(self, request: AskRequest, count: int) -> tuple[list[TrialView], Commit]:
        """Hand out `count` trials, or as many as there are, in one commit.

        In this order: what this request got before; with `resume`, the worker's own; those whose lease
        expired; the oldest waiting ones; new ones. Each is sampled as if those before it ran already.

        Raises:
            SpecConflict: the configuration was changed so that the study's trials do not fit it.
            ValueInvalid: `params` are not of the space.
            StudyPaused: nothing is handed out until the study is opened again.
            StudyFinished: nothing more is handed out; `finished_reason` says why.
            NoSlot: nothing is free now, but something may become free.
            KeyReused: the key came before with another request.
            LeaseLost: a trial that this key got before was handed on since.
        """
        state = self._state
        with Samples(state, self._sampling, request) as samples:
            while True:
                with transitions.unit_after_deadlines(state) as unit:
                    # Another request with this key, a tell or an expiry may have come while this one
                    # waited for its turn or sampled.
                    found = trials_of_key(state, request.key, request.digest)
                    if not found:
                        plan = self._plan(request, count)
                        if self._drop_flawed(plan):
                            continue
                        fitting = samples.fit([each.trial for each in plan if each.needs_sample])
                        if fitting is not None:
                            found = self._hand_out(plan, fitting, request)
                    views = [state.view(trial) for trial in found]
                if views:
                    return views, unit.commit
                count = max(1, count - samples.draw())

    def _plan(self, request: AskRequest, count: int) -> list[Planned]:
        """What the request gets if nothing changes; at least one trial, at most `count`."""
        state = self._state
        self._check(request)
        again = []
        if request.resume and request.worker is not None:
            again = state.derived.tally.running_of(request.worker)
        n_own = len(again)
        if not request.params:
            again = list(dict.fromkeys(again + state.deadlines.leases.expired()))
        allowed = allowance(
            state.limits,
            state.usage(),
            count=count,
            again=len(again),
            takes_waiting=not request.params,
        )
        plan = []
        for place, number in enumerate(again[: allowed.again]):
            plan.append(Planned(trial=state.trial(number), keeps_reports=place < n_own))
        if allowed.waiting:
            # A trial that was given back keeps its parameters: a result for it may still come.
            plan.extend(
                Planned(trial=trial, needs_sample=not TrialRecord.of(trial).attempt)
                for trial in state.waiting()[: allowed.waiting]
            )
        return plan + [_NEW] * allowed.new

    def _check(self, request: AskRequest) -> None:
        """Refuse a request that would get nothing even if all places were free."""
        state = self._state
        if self.conflict is not None:
            raise self.conflict.again()
        if request.params:
            checked_point(state.spec, request.params)
        if state.record.state == "paused":
            raise StudyPaused("the study is paused: ask again when it has been opened")

    def _drop_flawed(self, plan: Sequence[Planned]) -> bool:
        """Cancel planned trials that cannot be sampled, and say whether there were any.

        Optuna queues whatever parameters it is given.
        """
        state, dropped = self._state, False
        for planned in plan:
            if (trial := planned.trial) is None or not planned.needs_sample:
                continue
            reason = flaw(state.spec, trial.system_attrs.get(FIXED))
            if reason is not None:
                transitions.cancel(state, trial, detail=reason)
                dropped = True
        return dropped

    def _hand_out(
        self, plan: Sequence[Planned], samples: Sequence[Sample], request: AskRequest
    ) -> list[FrozenTrial]:
        """Start the planned trials, with a sample for each that needs one."""
        sampled = iter(samples)
        found = []
        for place, planned in enumerate(plan):
            if planned.trial is None or planned.needs_sample:
                trial = self._start_sampled(next(sampled), request, place)
            else:
                trial = transitions.start(
                    self._state,
                    planned.trial,
                    TrialRecord.of(planned.trial),
                    request,
                    place=place,
                    clear_intermediate_values=not planned.keeps_reports,
                )
            found.append(trial)
        return found

    def _start_sampled(self, sample: Sample, request: AskRequest, place: int) -> FrozenTrial:
        state, draft, waiting = self._state, sample.draft, sample.waiting
        for key, value in draft.study_attrs.items():
            state.store.set_study_system_attr(state.id, key, value)
        if state.record.first_ask_at is None:
            state.set_record(first_ask_at=state.clock.time())
        if waiting is None:
            trial = transitions.start_new(state, draft.trial, request, place=place)
        else:
            trial = transitions.start(
                state,
                waiting,
                TrialRecord.of(waiting).with_(spec_version=state.spec.version),
                request,
                place=place,
                params=draft.trial.params,
                distributions=draft.trial.distributions,
                system_attrs=draft.notes(),
            )
        # What was drawn together is kept for parameters that the trial may still be given.
        state.relative.pop(trial.number, None)
        if (relative := draft.relative()) is not None:
            state.relative[trial.number] = relative
        return trial
