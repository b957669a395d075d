"""The growth curves as a small SVG: milliseconds of an ask against trials, both on a log scale."""

import math
from collections.abc import Iterable, Sequence

from tests.benchmarks.findings import Curve, figure

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 84, 34, 60, 50

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600 }
.grid { stroke: #d0d7de }
path { fill: none }
.c0 { stroke: #0969da; stroke-width: 3 }
.c1 { stroke: #bc4c00; stroke-width: 2.5 }
.c2 { stroke: #8c959f; stroke-width: 2; stroke-dasharray: 5 4 }
circle.c0 { fill: #0969da; stroke: none }
circle.c1 { fill: #bc4c00; stroke: none }
circle.c2 { fill: #8c959f; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  .grid { stroke: #3d444d }
  .c0 { stroke: #4493f8 }
  .c1 { stroke: #f0883e }
  circle.c0 { fill: #4493f8 }
  circle.c1 { fill: #f0883e }
}
"""


def draw(curves: Sequence[Curve], title: str) -> str:
    """Return the SVG; the legend is above the plot."""
    xs = [trials for curve in curves for trials in curve.points]
    ys = [ms for curve in curves for ms in curve.points.values()]
    decades = range(math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys))) + 1)
    low, high = math.log10(min(xs)), math.log10(max(xs))

    def x(trials: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(trials) - low) / (high - low)

    def y(ms: float) -> float:
        share = (math.log10(ms) - decades[0]) / (decades[-1] - decades[0])
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [f'<text class="title" x="{LEFT}" y="18">{title}</text>']
    for decade in decades:
        at = f"{y(10.0**decade):.1f}"
        parts.append(f'<path class="grid" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>')
        label = f"{10.0**decade:,.0f} ms" if decade >= 0 else f"{10.0**decade:g} ms"
        parts.append(f'<text x="{LEFT - 8}" y="{at}" dy="4" text-anchor="end">{label}</text>')
    for trials in sorted(set(xs)):
        at = f"{x(trials):.1f}"
        parts.append(
            f'<text x="{at}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{trials:,}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) // 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">trials in the study</text>'
    )
    begins = LEFT
    for index, curve in enumerate(curves):
        places = [(x(trials), y(ms)) for trials, ms in sorted(curve.points.items())]
        parts += _curve(f"c{index}", places, curve.points.values())
        parts.append(f'<path class="c{index}" d="M{begins} 36h24"/>')
        parts.append(f'<text x="{begins + 30}" y="40">{curve.name}</text>')
        begins += 52 + 7 * len(curve.name)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>\n"])


def _curve(kind: str, places: Sequence[tuple[float, float]], values: Iterable[float]) -> list[str]:
    line = "L".join(f"{at:.1f} {height:.1f}" for at, height in places)
    dots = [
        f'<circle class="{kind}" cx="{at:.1f}" cy="{height:.1f}" r="3.5"/>' for at, height in places
    ]
    *_, last = values
    at, height = places[-1]
    ends = f'<text x="{at:.1f}" y="{height - 9:.1f}" text-anchor="end">{figure(last)}</text>'
    return [f'<path class="{kind}" d="M{line}"/>', *dots, ends]
