"""Pruners: what a configuration may name, and whether a reporting trial should be pruned.

Decisions are those of Optuna's pruners, but a report takes the same time however many trials there are: a
rule is notified of each change of a trial, and keeps what its pruner needs of it. Read `rules.py` first.

    rules.py           `Rule`: what it keeps of other trials and decides; all rules but the two in halving.py
    halving.py         the rules of successive-halving and hyperband
    sorted_values.py   the values of many trials in order, for ranks and percentiles
    make.py            the rule for a pruner's name and arguments
    registry.py        the pruners by name: read from a configuration, and made as Optuna's
"""
