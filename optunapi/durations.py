"""Durations as people write them, in files and on the command line: 90s, 5m, 1.5h, 1e3s, 30d."""

import re

MAX_SECONDS = 36_500 * 86_400.0  # about a hundred years

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*([smhd])", re.ASCII)


def seconds_of(text: str) -> float | None:
    """Return the seconds of a number with a unit, None if `text` is something else."""
    match = _DURATION.fullmatch(text.strip())
    return float(match[1]) * _UNITS[match[2]] if match else None
