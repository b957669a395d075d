"""`optunapi export` and `optunapi import`: take a study's trials to a file, and from one."""

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from optunapi.cli.output import json_option, print_json, wants_json
from optunapi.cli.reach import client_of_server, server_options

FORMATS = ("jsonl", "csv")


@click.command("export")
@click.argument("study")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="jsonl is what `import` takes.  [default: the end of FILE's name, else jsonl]",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write FILE, completely or not at all.  [default: standard output]",
)
@server_options
@json_option
def export_trials(study: str, file_format: str | None, output: Path | None) -> None:
    """Write the trials of STUDY, as they are at one moment.

    With --json and no FILE, the trials are the items of one JSON document.
    """
    by_name = output.suffix.removeprefix(".").lower() if output is not None else ""
    chosen = file_format or (by_name if by_name in FORMATS else FORMATS[0])
    if output is None:
        _print(study, chosen)
        return
    with client_of_server() as client:
        client.study(study).export(output, chosen)
    if wants_json():
        print_json({"study": study, "format": chosen, "file": str(output)})
    else:
        click.echo(f"{study} was exported to {output}")


def _print(study: str, file_format: str) -> None:
    if wants_json() and file_format != "jsonl":
        raise click.UsageError("--json prints trials as JSON: leave out --format, or give -o FILE.")
    from optunapi.client.files import exported

    stdout = sys.stdout.buffer
    with client_of_server() as client:
        found = client.study(study)
        with exported(found.connection, found.slug, file_format) as chunks:
            stdout.writelines(_document(chunks) if wants_json() else chunks)
    stdout.flush()


def _document(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One JSON document with the lines as its items."""
    before, rest = b'{"items": [', b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield before + line
            before = b",\n"
    yield b"]}\n" if before == b",\n" else before + b"]}\n"


@click.command("import")
@click.argument("study")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@server_options
@json_option
def import_trials(study: str, file: str) -> None:
    """Import the trials of FILE into STUDY, all of them or none.

    FILE is what `optunapi export` wrote as jsonl; - means standard input. The study has to exist. Its
    limits do not apply.
    """
    with client_of_server() as client:
        found = client.study(study)
        if file != "-":
            count = found.import_trials(file)
        else:
            with tempfile.NamedTemporaryFile() as copy:  # a request may have to read it twice
                shutil.copyfileobj(sys.stdin.buffer, copy)
                copy.flush()
                count = found.import_trials(copy.name)
    if wants_json():
        print_json({"imported": count})
    else:
        click.echo(f"{count} trial(s) were imported into {study}")
