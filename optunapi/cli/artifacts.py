"""`optunapi artifacts`: the files that trainers keep with their trials."""

from typing import Any

import click

from optunapi.cli.output import json_option, print_json, wants_json
from optunapi.cli.reach import at_server, catalog_here, server_given, server_options
from optunapi.durations import MAX_SECONDS, seconds_of


def duration(text: str) -> float:
    """Return the seconds of an option's text; a number without a unit is in seconds."""
    seconds = seconds_of(text if text[-1:].isalpha() else f"{text}s")
    if seconds is None or seconds > MAX_SECONDS:
        raise click.BadParameter(f"{text!r} is not a duration such as 90, 90s, 5m, 12h or 2d")
    return seconds


@click.group()
def artifacts() -> None:
    """Manage the files kept with trials."""


@artifacts.command()
@click.argument("study")
@click.option(
    "--older-than",
    type=duration,
    required=True,
    metavar="AGE",
    help="Delete files uploaded longer ago than this: 12h, 30d.",
)
@click.option(
    "--keep-best",
    type=click.IntRange(0, 1000),
    default=0,
    show_default=True,
    metavar="N",
    help="Keep the files of the best N trials.",
)
@server_options
@json_option
def prune(study: str, older_than: float, keep_best: int) -> None:
    """Delete old files of STUDY.

    The files of running trials are kept. Without a server (--url, OPTUNAPI_URL, a profile) the study in
    this machine's folders is meant, and no server may be running on them.
    """
    if server := server_given():
        query = {"older_than": older_than, "keep_best": keep_best}
        pruned = at_server(server, "DELETE", "studies", study, "artifacts", query=query)
    else:
        pruned = _here(study, older_than, keep_best)
    if wants_json():
        print_json(pruned)
        return
    click.echo(f"{pruned['deleted']} file(s) deleted, {pruned['size']} bytes")


def _here(name: str, older_than: float, keep_best: int) -> Any:
    with catalog_here() as catalog:
        study = catalog.find(name)
        if study is None:
            return {"deleted": 0, "size": 0}
        removed, commit = study.artifacts.prune(older_than, keep_best)
        commit.result()
        catalog.artifacts.remove(removed.ids)
        return {"deleted": len(removed.artifacts), "size": removed.size}
