"""The comparisons as lines to print, as JSON, and as a table in a document."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.quality.judging import Verdict

HEADINGS = ("problem", "workers", "Optuna", "OptunAPI", "difference", "90 % interval", "holds")
BEGIN, END = "<!-- quality: begin -->", "<!-- quality: end -->"


def row(verdict: Verdict | None) -> str:
    """Return a line of the printed table, or the headings for None."""
    cells = HEADINGS if verdict is None else _cells(verdict)
    return " ".join(f"{cell:>17}" for cell in cells)


def described(verdict: Verdict, ours: Any, theirs: Any) -> dict[str, Any]:
    """A comparison as JSON, with both sides' regrets along the way."""
    found = {
        key: round(value, 5) if isinstance(value, float) else value
        for key, value in asdict(verdict).items()
    }
    holds = {"holds": verdict.holds, "by_interval": verdict.within}
    return found | holds | {"curves": {"ours": ours, "optuna": theirs}}


def write_between_marks(document: Path, verdicts: Sequence[Verdict]) -> None:
    """Write the table between the page's marks."""
    before, rest = document.read_text().split(BEGIN)
    _, after = rest.split(END)
    lines = [
        " | ".join(("", *HEADINGS, "")).strip(),
        "| --- | ---: | ---: | ---: | ---: | :---: | :---: |",
        *(" | ".join(("", *_cells(verdict), "")).strip() for verdict in verdicts),
        "",
        _outcome(verdicts),
    ]
    document.write_text("\n".join((before + BEGIN, *lines, END + after)))


def _outcome(verdicts: Sequence[Verdict]) -> str:
    held = sum(verdict.holds for verdict in verdicts)
    by_interval = sum(verdict.within for verdict in verdicts)
    others = (
        "" if held == by_interval else ", the others because the median difference is not above 0"
    )
    return (
        f"{held} of {len(verdicts)} hold, {by_interval} of them by the upper end of the interval "
        f"(at most 0.05){others}."
    )


def _cells(verdict: Verdict) -> tuple[str, ...]:
    return (
        verdict.problem,
        str(verdict.workers),
        f"{verdict.theirs:.3f}",
        f"{verdict.ours:.3f}",
        f"{verdict.difference:+.3f}",
        f"{verdict.low:+.3f} … {verdict.high:+.3f}",
        "yes" if verdict.holds else "**no**",
    )
