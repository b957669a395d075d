"""`optunapi check`: the errors of configuration files, before a server reads them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optunapi.cli.output import CommandFailed, Exit, json_option, print_json, wants_json
from optunapi.errors import ConfigInvalid

if TYPE_CHECKING:
    from optunapi.engine.spec.model import StudySpec


def error_line(path: Path, error: dict[str, Any]) -> str:
    """`file:line: key: reason`, without the parts that are not known."""
    place = ":".join(str(part) for part in (path, error.get("line")) if part is not None)
    return ": ".join(part for part in (place, error.get("key"), error["reason"]) if part)


def summary(spec: "StudySpec") -> str:
    """What a valid file defines, in one line."""
    parameters = ", ".join(
        p.name + (f" (if {', '.join(p.when)})" if p.when else "") for p in spec.parameters
    )
    objectives = ", ".join(f"{o.direction} {o.name}" for o in spec.objectives)
    return (
        f"{objectives} over {parameters or 'what trainers suggest'}; "
        f"sampler {spec.sampler['name']}, pruner {spec.pruner['name']}"
    )


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE…]")
@json_option
def check(files: tuple[Path, ...]) -> None:
    """Check configuration files, and list all their errors.

    FILE may be a folder. Without FILE, the config folder of the home is checked, as a server reads it. A
    line that begins with `notice` is about something valid that may not be meant.
    """
    from optunapi.engine.config_files import misplaced
    from optunapi.engine.spec.files import read_with_notices

    results = []
    for path, is_in_folder in _paths(files):
        spec = None
        errors: list[dict[str, Any]] = []
        notices: list[dict[str, Any]] = []
        try:
            if is_in_folder and (fault := misplaced(path)):
                raise fault
            spec, notices = read_with_notices(path)
        except ConfigInvalid as error:
            errors = list(error.extra["errors"])
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
            errors = [{"file": path.name, "line": None, "key": None, "reason": reason}]
        found = {"path": str(path), "spec": spec and spec.to_json()}
        results.append(found | {"errors": errors, "notices": notices})
        if not wants_json():
            for each in errors:
                click.echo(error_line(path, each))
            for each in notices:
                click.echo(f"notice: {error_line(path, each)}")
            if spec:
                click.echo(f"{path}: {summary(spec)}")
    if wants_json():
        print_json({"files": results})
    if any(result["errors"] for result in results):
        raise SystemExit(Exit.REFUSED)


def _paths(given: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    """The files to check, each with whether it was found in a folder."""
    from optunapi.cli.serve import settings_or_fail
    from optunapi.engine.config_files import files_of

    for path in given or (settings_or_fail().configs,):
        if given and not path.is_dir():
            yield path, False
            continue
        try:
            found = files_of(path)
        except OSError as error:
            raise CommandFailed(f"{path} cannot be read: {error.strerror}") from None
        if not found:
            click.echo(f"{path} contains no configuration", err=True)
        for file in found:
            yield file, True
