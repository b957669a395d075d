"""The samplers that keep the history themselves and draw with rustuna, the Optuna project's TPE in Rust.

Optuna's own samplers go through the whole history for every point. These are "native": they are notified
of every trial as it changes, and their draws run in Rust and NumPy, so that a draw takes about the same
time however long the study is and holds Python's lock only for moments. What each part is for, and how it
was chosen, is in docs/samplers.md. Read `engine` and `tpe` first.

    engine.py          which engine draws a study's points, and the protocol of these samplers
    random_search.py   random search
    tpe.py             TPE: the window, rustuna, mixing and screening put together
    window.py          the trials that TPE sees of a growing history
    rustuna_study.py   those trials in rustuna's memory, and points drawn from them
    mixing.py          points between a good trial and another point
    screening.py       candidates in the order in which a Gaussian process prefers them
    gaussian.py        a Gaussian process over ranked points
    likelihood.py      the choice of its kernel
    axes.py            parameters as numbers to draw, and back
    seeds.py           one seed for each point
"""
