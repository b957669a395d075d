"""`optunapi fork`: continue a study under another name."""

from typing import Any

import click

from optunapi.cli.output import json_option, print_json, wants_json
from optunapi.cli.reach import at_server, catalog_here, server_given, server_options


@click.command()
@click.argument("old")
@click.argument("new")
@server_options
@json_option
def fork(old: str, new: str) -> None:
    """Create study NEW with the finished trials of study OLD.

    NEW uses its own configuration file if there is one, otherwise OLD's specification. Trials that
    do not fit NEW's search space are left out. Use it to continue a study with a changed search
    space: put the new configuration into the config folder under the new name, then fork.

    Without a server (--url, OPTUNAPI_URL, a profile) the studies in this machine's folders are meant,
    and no server may be running on them.
    """
    server = server_given()
    if server is None:
        study = _here(old, new)
    else:
        study = at_server(server, "POST", "studies", old, "fork", body={"name": new})
    if wants_json():
        print_json(study)
        return
    counts = ", ".join(f"{n} {state}" for state, n in study["trials"].items() if n)
    click.echo(f"{new} was created from {old}: {counts or 'no trials'}")


def _here(old: str, new: str) -> Any:
    with catalog_here() as catalog:
        from optunapi.api.schemas.studies import study_of

        catalog.fork(old, new)
        view, *_ = catalog.view(new)
        return study_of(view)
