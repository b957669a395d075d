"""What peers achieve at the same work on the same cores, in the same run.

Each of their rounds starts a new study, which is their fastest case; ours grows to 2,000 trials.
"""

from collections.abc import Callable
from functools import partial

from tests.benchmarks.findings import Found, Line, Missing
from tests.benchmarks.peers import optuna_workers, original, oss_vizier
from tests.benchmarks.peers.comparison import Peer
from tests.benchmarks.run import Run


def _beside(peer: Peer, measure: Callable[[Run, Peer], Line], run: Run) -> Found:
    """Our pairs a second over the peer's, or why it cannot be had here."""
    try:
        return Found(lines=(measure(run, peer),))
    except Missing as reason:
        run.say(f"{peer.title}: {reason}")
        return Found(lines=(peer.line(value=None, detail=str(reason)),))


BENCHMARKS: dict[str, Callable[[Run], Found]] = {
    peer.name: partial(_beside, peer, measure)
    for module in (original, optuna_workers, oss_vizier)
    for peer, measure in module.MEASURES.items()
}
