"""What commands print and return: results on stdout, messages on stderr, and exit codes."""

import json
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypeVar

import click

from optunapi.cli.streams import drop_output, prepare_streams

JSON = "optunapi.json"

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Exit(IntEnum):
    """The exit codes of all commands; 0 means success."""

    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_PERMITTED = 4
    INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C


class CommandFailed(click.ClickException):
    """Ends the command with a message on stderr."""

    exit_code = Exit.REFUSED


class Interrupted(CommandFailed):
    """Ctrl-C ended the command."""

    exit_code = Exit.INTERRUPTED


class ServerUnreachable(CommandFailed):
    """No server answers."""

    exit_code = Exit.UNREACHABLE


class Forbidden(CommandFailed):
    """The server or the gateway does not permit it."""

    exit_code = Exit.NOT_PERMITTED


class Commands(click.Group):
    """A group of commands that end with one line and an exit code, whatever the system refuses them.

    Ctrl-C gives the exit code that a shell expects.
    """

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line."""
        prepare_streams()
        try:
            return super().main(*args, **extra)
        except OSError as error:
            drop_output()
            place = "" if error.filename is None else f"{error.filename}: "
            failure = CommandFailed(f"{place}{error.strerror or error}")
        failure.show()
        sys.exit(failure.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None


def json_option(function: Decorated) -> Decorated:
    """Add `--json`, which may be given before or after the command's name."""

    def remember(context: click.Context, _parameter: click.Parameter, given: bool) -> None:
        if given:
            context.meta[JSON] = True  # `meta` is shared by a command and its group

    option = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Print one JSON document on stdout.",
    )
    return option(function)


def wants_json() -> bool:
    """Return whether `--json` was given, before or after the command's name."""
    return JSON in click.get_current_context().meta


def print_json(document: Any) -> None:
    """Print `document` as strict JSON."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))
