"""How commands speak: text or one JSON document on stdout, the rest on stderr, and exit codes."""

import json
from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypeVar

import click

JSON = "optunapi.json"

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Exit(IntEnum):
    """The exit codes of every command, besides 0 for done."""

    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_PERMITTED = 4
    INTERRUPTED = 130  # as a shell reports a program ended by Ctrl-C


class CommandFailed(click.ClickException):
    """Ends the command with one message on stderr."""

    exit_code = Exit.REFUSED


class ServerUnreachable(CommandFailed):
    """No server answers."""

    exit_code = Exit.UNREACHABLE


def json_option(function: Decorated) -> Decorated:
    """Add `--json`, which may stand before the command's name or after it."""

    def remember(context: click.Context, _parameter: click.Parameter, given: bool) -> None:
        if given:
            context.meta[JSON] = True  # shared by a command and the group it belongs to

    option = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Print one JSON document on stdout.",
    )
    return option(function)


def wants_json() -> bool:
    """Whether `--json` was given to this command or before it."""
    return JSON in click.get_current_context().meta


def print_json(document: Any) -> None:
    """Print `document` as strict JSON."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))
