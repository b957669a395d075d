"""What can happen to the trials of a live study.

`ask.py` and `tell.py` are the two ends of a trial's life; read them first. Each module changes trials
through `optunapi.engine.state` alone, and knows no other study.

    ask.py           hand out trials: again, from the queue, or new
    sample.py        sample for the trials of one study
    draft.py         the history and one trial, as Optuna's samplers see them
    policy.py        Optuna's sampler for a specification
    suggest.py       define-by-run: another parameter for a running trial
    held.py          report, renew, release, stop, cancel, attributes
    tell.py          close a trial with its result
    queue.py         points to try, in order
    imports.py       trials that were finished elsewhere
    artifacts.py     files of trials
    idempotency.py   repeated requests get the same trials
"""
