"""What can happen to the trials of an open study: one module for each kind of request.

Read `ask.py` and `tell.py` first: a trial begins with the one and ends with the other. Each module changes
trials only through `optunapi.engine.state`, and knows no other study.

    ask.py           hand out trials: again, from the queue, or new; the order of an ask
    sample.py        sample for the trials that an ask hands out, outside of the unit
    draft.py         the history and one trial, as Optuna's samplers see them
    policy.py        a specification together with Optuna's sampler for it
    suggest.py       define-by-run: another parameter for a running trial
    held.py          report, renew, release, stop, cancel, attributes
    tell.py          close a trial with its result
    equal_points.py  which points count as equal for `skip_if_exists`
    queue.py         points to try, in order
    imports.py       trials that were finished elsewhere
    artifacts.py     files of trials
    idempotency.py   repeated requests get the same trials
"""
