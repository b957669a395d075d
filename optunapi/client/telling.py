"""A trial's result on its way to the server."""

import warnings
from typing import TYPE_CHECKING, Any

from optunapi.client.leases import Hold
from optunapi.client.optuna_types.frozen import FrozenTrial
from optunapi.client.optuna_types.scalars import finite, numbers_of
from optunapi.client.optuna_types.states import TrialState

if TYPE_CHECKING:
    from optunapi.client.study import Study
    from optunapi.client.trial_handle import HeldTrial


def tell_held(
    study: "Study",
    hold: Hold,
    values: Any,
    state: Any,
    *,
    reason: str | None = None,
    trial: "HeldTrial | None" = None,
) -> FrozenTrial:
    """Close a trial in hand with its result; see `Study.tell`."""
    told = TrialState.COMPLETE if state is None else TrialState.of(state)
    numbers = None if values is None else numbers_of(values)
    diverged = False
    if numbers is not None and not finite(numbers):
        diverged = True
        reason = f"{numbers[0] if len(numbers) == 1 else numbers} is not finite"
        told, numbers = TrialState.FAIL, None
    given = {
        "values": numbers,
        "reason": reason,
        "lease": hold.lease,
        "user_attrs": dict(hold.user_attrs) or None,
        "constraints": dict(hold.constraints) or None,
    }
    body = {"state": told.word} | {k: v for k, v in given.items() if v is not None}
    known = trial.distributions if trial is not None else None
    document = study.connection.tell(hold, body)
    if diverged:
        warnings.warn(
            f"trial {hold.number} of study {study.name!r} failed: {reason}",
            RuntimeWarning,
            stacklevel=3,
        )
    if document is not None:
        return study.frozen(document, known)
    return FrozenTrial(
        study=study,
        number=hold.number,
        state=told,
        values=numbers,
        params=trial.params if trial is not None else dict(hold.params),
        distributions=known or {},
        fail_reason=reason,
        user_attrs=trial.user_attrs if trial is not None else {},
        constraints=dict(hold.constraints),
    )
