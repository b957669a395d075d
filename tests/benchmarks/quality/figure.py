"""A picture of both sides' regrets: a panel for each problem and number of workers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT, GAP, LEFT, TOP = 150, 92, 16, 52, 58
COLOURS = {"optuna": "#d0622d", "ours": "#1f6fb4"}
NAMES = {"optuna": "Optuna's default TPE, local", "ours": "OptunAPI's tpe"}
LEAST, MOST = 0.02, 5.0  # the ends of the logarithmic axis; values beyond are drawn at the end


def figure(cells: Sequence[Mapping[str, Any]]) -> str:
    """An SVG; rows are problems, columns are counts of workers."""
    names = list(dict.fromkeys(cell["problem"] for cell in cells))
    counts = sorted({cell["workers"] for cell in cells})
    width = LEFT + len(counts) * (WIDTH + GAP) + 90
    height = TOP + len(names) * (HEIGHT + GAP) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_legend(),
    ]
    for column, workers in enumerate(counts):
        label = f"{workers} worker{'s' if workers > 1 else ''}"
        parts.append(_text(LEFT + column * (WIDTH + GAP) + WIDTH / 2, TOP - 8, label, "middle"))
    for cell in cells:
        line, column = names.index(cell["problem"]), counts.index(cell["workers"])
        left, top = LEFT + column * (WIDTH + GAP), TOP + line * (HEIGHT + GAP)
        parts.append(f'<g transform="translate({left} {top})">')
        parts.extend(_panel(cell, is_first=column == 0))
        parts.append("</g>")
    for line, name in enumerate(names):
        left = LEFT + len(counts) * (WIDTH + GAP) - 8
        parts.append(_text(left, TOP + line * (HEIGHT + GAP) + HEIGHT / 2, name, "start"))
    trials = cells[0]["curves"]["ours"][-1]["trials"]
    axes = f"trials, to {trials} at the right; regret, upwards"
    parts.append(_text(LEFT, height - 10, axes, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    parts = []
    for place, (side, name) in enumerate(NAMES.items()):
        left = LEFT + place * 190
        parts.append(
            f'<path d="M{left} 14h22" stroke="{COLOURS[side]}" stroke-width="2" fill="none"/>'
        )
        parts.append(_text(left + 28, 18, name, "start"))
    note = "Median and quartiles over the seeds; random search's median at the end is 1."
    return [*parts, _text(LEFT, 33, note, "start")]


def _panel(cell: Mapping[str, Any], *, is_first: bool) -> list[str]:
    last = cell["curves"]["ours"][-1]["trials"]
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbbbbb"/>']
    for level in (0.1, 1.0):
        parts.append(f'<path d="M0 {_y(level):.1f}h{WIDTH}" stroke="#dddddd" fill="none"/>')
        if is_first:
            parts.append(_text(-4, _y(level) + 3, f"{level:g}", "end"))
    for side, colour in COLOURS.items():
        points = cell["curves"][side]
        places = [point["trials"] / last * WIDTH for point in points]
        low, high = ([_y(point["quartiles"][end]) for point in points] for end in (0, 1))
        band = [*zip(places, low, strict=True), *reversed(list(zip(places, high, strict=True)))]
        line = list(zip(places, [_y(point["median"]) for point in points], strict=True))
        parts.append(f'<polygon points="{_joined(band)}" fill="{colour}" opacity="0.15"/>')
        parts.append(
            f'<polyline points="{_joined(line)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
    return parts


def _y(regret: float) -> float:
    bounded = min(max(regret, LEAST), MOST)
    return HEIGHT * math.log(MOST / bounded) / math.log(MOST / LEAST)


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'
