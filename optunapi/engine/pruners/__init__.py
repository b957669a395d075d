"""Pruners: what a configuration may name, and whether a reporting trial should be pruned.

Decisions are those of Optuna's pruners, but a report costs the same however many trials there are. Read
`incremental` first.

    registry.py        the pruners by name: read from a configuration, and Optuna's pruner made
    incremental.py     the rule for a pruner, which is notified of every trial as it changes
    rules.py           what a rule is; none, threshold, median, percentile, patient, wilcoxon
    halving.py         successive-halving, hyperband
    sorted_values.py   the values of many trials in order, for ranks and percentiles
"""
