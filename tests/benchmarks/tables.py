"""Format results: as text for a terminal, and as tables for a page."""

from collections.abc import Iterable, Sequence

from tests.benchmarks.findings import Line, Share, figure


def as_text(lines: Iterable[Line]) -> str:
    """Return each line's verdict, value and work, with the figures behind it on the next line."""
    rows = []
    for line in lines:
        bounds = ", ".join(_bounds(line))
        rows.append(f"{line.verdict:17} {_measured(line):>8}  {line.work}")
        rows.append(f"{'':28}{line.detail}" + (f" ({bounds})" if bounds else ""))
    return "\n".join(rows)


def table(lines: Iterable[Line]) -> str:
    """Return the lines as a table."""
    rows = [
        [line.work, _measured(line), _floor(line), _goal(line), line.verdict, line.detail]
        for line in lines
    ]
    return _table(["work", "measured", "floor", "goal", "holds", "figures"], rows)


def shares_table(shares: Sequence[Share]) -> str:
    """Return a table of the processor time of each part, and its share of the whole."""
    asks, pairs = sum(share.ask for share in shares), sum(share.pair for share in shares)
    rows = [
        [
            share.part,
            f"{share.ask:.2f} ms, {share.ask / asks:.0%}",
            f"{share.pair:.2f} ms, {share.pair / pairs:.0%}",
        ]
        for share in shares
    ]
    rows.append(["all", f"{asks:.2f} ms", f"{pairs:.2f} ms"])
    return _table(["part", "an ask, one client", "an ask and a tell, 32 clients"], rows)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    cells = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _measured(line: Line) -> str:
    return "" if line.value is None else _with_unit(line.value, line)


def _floor(line: Line) -> str:
    return "" if line.floor is None else f"{_sign(line)} {_with_unit(line.floor, line)}"


def _goal(line: Line) -> str:
    return "" if line.goal is None else f"{_sign(line)} {_with_unit(line.goal, line)}"


def _bounds(line: Line) -> Iterable[str]:
    if line.floor is not None:
        yield f"floor {_floor(line)}"
    if line.goal is not None:
        yield f"goal {_goal(line)}"


def _sign(line: Line) -> str:
    return "≥" if line.at_least else "≤"


def _with_unit(value: float, line: Line) -> str:
    return f"{figure(value)} {line.unit}".strip()
