"""Draws a study's optimisation history as a small SVG: every complete trial, and the best so far.

    python docs/figures/history.py sqlite:///db/digits.db digits docs/figures/digits.svg

docs/figures/digits.svg is from 60 trials of examples/train_digits.py.
"""

import math
import sys
from itertools import accumulate
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 30, 40

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #57606a }
.grid { stroke: #d0d7de }
.trial { fill: #8c959f; stroke: #8c959f }
.beyond { fill: none }
.best { stroke: #0969da; fill: none; stroke-width: 2.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  .grid { stroke: #3d444d }
  .trial { fill: #656c76; stroke: #656c76 }
  .beyond { fill: none }
  .best { stroke: #4493f8 }
}
"""


def axis(values: list[float], *, maximize: bool) -> list[float]:
    """Round numbers for the axis: from the best value to the worst but the worst quarter.

    All of them would leave no room for the differences that matter.
    """
    ordered = sorted(values, reverse=maximize)
    ends = ordered[0], ordered[len(ordered) * 3 // 4]
    low, high = min(ends), max(ends)
    rough = (high - low) / 3 or 1.0
    magnitude = 10 ** math.floor(math.log10(rough))
    step = magnitude * next(factor for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, last + 1)]


def draw(values: list[float], *, maximize: bool, title: str) -> str:
    """The SVG of these values in the order of their trials."""
    ticks = axis(values, maximize=maximize)
    low, high = ticks[0], ticks[-1]

    def x(index: int) -> str:
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * (index + 0.5) / len(values):.1f}"

    def y(value: float) -> str:
        share = (min(max(value, low), high) - low) / (high - low)
        return f"{HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share:.1f}"

    parts = [f'<text x="{LEFT}" y="15">{title}</text>']
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick)}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y(tick)}" dy="4" text-anchor="end">{tick:.4g}</text>'
        )
    for index, value in enumerate(values):
        kind = "trial" if low <= value <= high else "trial beyond"
        parts.append(f'<circle class="{kind}" cx="{x(index)}" cy="{y(value)}" r="3.5"/>')
    best = list(accumulate(values, max if maximize else min))
    steps = "".join(f"H{x(index)}V{y(value)}" for index, value in enumerate(best))
    parts.append(f'<path class="best" d="M{LEFT} {y(best[0])}{steps}H{WIDTH - RIGHT}"/>')
    legend = f"{len(values)} trials; open circles lie beyond the axis"
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 12}" text-anchor="end">{legend}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>\n"])


def main(
    storage: str,
    name: str,
    path: str,
    title: str = "Validation accuracy: trials, and the best so far",
) -> None:
    """Draw the study of this name in this storage to a file."""
    study = optuna.load_study(study_name=name, storage=storage)
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    values = [trial.value for trial in complete if trial.value is not None]
    picture = draw(values, maximize=study.direction is StudyDirection.MAXIMIZE, title=title)
    Path(path).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
