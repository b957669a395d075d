"""`optunapi upgrade`: databases of an older Optuna, made ready for this server."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optunapi.cli.output import Exit, json_option, print_json, wants_json
from optunapi.errors import OptunAPIError

if TYPE_CHECKING:
    from optunapi.settings import Settings


@click.command()
@click.argument("databases", nargs=-1, metavar="[DB…]")
@json_option
def upgrade(databases: tuple[str, ...]) -> None:
    """Upgrade databases that an older Optuna made; by default all of the db folder.

    DB is a file, or the name of one in the db folder. Stop the server first. The old file is kept
    beside the new one.
    """
    from optunapi.cli.serve import settings_or_fail
    from optunapi.storage.upgrade import upgrade as upgrade_file

    results: list[dict[str, Any]] = []
    for path in _paths(databases, settings_or_fail()):
        kept, error = None, None
        if sys.stderr.isatty() and not wants_json():
            click.echo(f"{path}: upgrading …", err=True)
        try:
            kept = upgrade_file(path)
        except OptunAPIError as refusal:
            error = refusal.detail
        results.append(
            {"path": str(path), "upgraded": bool(kept), "kept": kept and str(kept), "error": error}
        )
        if not wants_json():
            done = f"upgraded; the old file is {kept}" if kept else "nothing to do"
            click.echo(f"{path}: {error or done}", err=error is not None)
    if wants_json():
        print_json({"files": results})
    if any(result["error"] for result in results):
        raise SystemExit(Exit.REFUSED)


def _paths(databases: tuple[str, ...], settings: "Settings") -> list[Path]:
    folder = settings.databases
    if not databases:
        return sorted(path for path in folder.glob("*.db") if path.name[0] != ".")
    given = [Path(name) for name in databases]
    return [
        path if path.exists() or not (folder / path).exists() else folder / path for path in given
    ]
