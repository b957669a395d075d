"""`optunapi spool`: results that were kept on disk because they could not be told."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from optunapi.cli.output import Exit, json_option, print_json, wants_json
from optunapi.cli.reach import failures, server_given_or_local, server_options

STATES = {".json": "kept", ".refused": "refused"}


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def spool(context: click.Context) -> None:
    """Results that could not be told to their server, and were kept on this machine's disk.

    Without a command they are listed. The next client of their server delivers those that are kept;
    those that the server refused for good stay until their files are removed.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_results)


@spool.command("list")
@json_option
def list_results() -> None:
    """List the results of all servers, oldest first; no server is asked."""
    from optunapi.client.spool import files_in
    from optunapi.client.spool_folders import spool_folders

    try:
        folders = spool_folders()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    items = [_item(file) for suffix in STATES for file in files_in(folders, suffix)]
    if wants_json():
        print_json({"items": items})
        return
    if not items:
        click.echo(f"nothing is kept in {' or '.join(str(each.path) for each in folders)}")
    for item in items:
        click.echo(f"{item['state']} {item['file']}\n  {item['reason'] or _in_words(item)}")


@spool.command()
@server_options
@json_option
@click.pass_context
def deliver(context: click.Context) -> None:
    """Deliver the results of one server, and say what became of each.

    Without --url, OPTUNAPI_URL or a profile it is the server at http://127.0.0.1:8000. The exit code is
    1 if a result was not delivered.
    """
    from optunapi.client.connection import Connection

    server = server_given_or_local()
    with failures():
        connection = Connection(
            server.url, token=server.token, timeout=30, retry_for=0, verify=True
        )
        outcomes = connection.deliveries.run_now()
    if wants_json():
        print_json(
            {
                "items": [
                    {"file": str(each.file), "state": each.became, "reason": each.reason or None}
                    for each in outcomes
                ]
            }
        )
    else:
        for each in outcomes:
            click.echo(f"{each.became} {each.file}" + (f"\n  {each.reason}" if each.reason else ""))
        if not outcomes:
            click.echo(f"nothing is kept for {connection.url}")
    if any(each.became != "delivered" for each in outcomes):
        context.exit(Exit.REFUSED)


def _in_words(item: dict[str, Any]) -> str:
    values = item["body"].get("values")
    told = f"{item['body'].get('state')}" + ("" if values is None else f" {values}")
    trial = f"trial {item['number']} of study {item['study']} at {item['url']}"
    return f"{trial}: {told}, since {item['kept_at']}"


def _item(file: Path) -> dict[str, Any]:
    """What a file says, for `--json`."""
    from optunapi.client.kept_tell import KeptTell

    found: dict[str, Any] = {
        "file": str(file),
        "state": STATES[file.suffix],
        "kept_at": None,
        "reason": None,
    }
    names = ("study", "study_uid", "number", "server", "url")
    try:
        modified = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        tell = KeptTell.read(file)
    except (OSError, ValueError) as error:
        return {**dict.fromkeys((*names, "body")), **found, "reason": str(error)}
    kept_at = modified.isoformat(timespec="seconds").replace("+00:00", "Z")
    said = {name: getattr(tell, name) for name in names}
    return {**found, **said, "body": tell.body, "kept_at": kept_at}
