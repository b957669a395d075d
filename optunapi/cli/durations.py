"""Durations on the command line: 90, 90s, 5m, 12h, 30d."""

import re

import click

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
MAX_SECONDS = 100 * 366 * 86_400
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)


def duration(text: str) -> float:
    """The seconds that an option's text stands for; raises BadParameter if it stands for none."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * UNITS[match[2]] if match else -1
    if not 0 <= seconds <= MAX_SECONDS:
        raise click.BadParameter(f"{text!r} is not a duration such as 90, 90s, 5m, 12h or 2d")
    return seconds
