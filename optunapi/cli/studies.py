"""`optunapi fork`: a study anew under another name, with the history that fits."""

from typing import Any

import click

from optunapi.cli.output import json_option, print_json, wants_json
from optunapi.cli.reach import at_server, catalog_here, url_option


@click.command()
@click.argument("old")
@click.argument("new")
@url_option
@json_option
def fork(old: str, new: str, url: str | None) -> None:
    """Make study NEW of study OLD, with the finished trials that fit.

    NEW has the specification of its own configuration file, if there is one, else OLD's. So a
    configuration that was changed in a way its study cannot live with takes effect: put it into the
    config folder under the new name, then fork.
    """
    study = _at_server(url, old, new) if url else _here(old, new)
    if wants_json():
        print_json(study)
        return
    counts = ", ".join(f"{n} {state}" for state, n in study["trials"].items() if n)
    click.echo(f"{new} has {counts or 'no trials'}; the finished ones are from {old}")


def _at_server(url: str, old: str, new: str) -> Any:
    return at_server(url, "POST", "studies", old, "fork", json={"name": new})


def _here(old: str, new: str) -> Any:
    with catalog_here() as catalog:
        from optunapi.api.schemas.studies import study_of

        catalog.fork(old, new)
        view, *_ = catalog.view(new)
        return study_of(view)
