"""Run a command through a server's URL, or directly on this machine's folders."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from optunapi.cli.output import CommandFailed, Forbidden, ServerUnreachable
from optunapi.errors import (
    AccessDenied,
    ConfigInvalid,
    OptunAPIError,
    ServerUnavailable,
    in_one_line,
)

if TYPE_CHECKING:
    from optunapi.client.client import Client
    from optunapi.client.profiles import Server
    from optunapi.engine.catalog import Catalog

TIMEOUT_SECONDS = 600.0
OPTIONS = (
    ("--url", "URL", "Server to send the command to.  [default: OPTUNAPI_URL, else a profile's]"),
    (
        "--profile",
        "NAME",
        "Profile that names the server.  [default: OPTUNAPI_PROFILE, else default]",
    ),
    ("--token-file", "FILE", "File with the token to send.  [default: OPTUNAPI_TOKEN]"),
)

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def server_options(function: Decorated) -> Decorated:
    """Add the options that name a server, which may be given before or after the command's name."""

    def remember(context: click.Context, parameter: click.Parameter, given: str | None) -> None:
        if given is not None:
            context.meta[f"optunapi.{parameter.name}"] = given

    for name, metavar, text in reversed(OPTIONS):
        add = click.option(name, metavar=metavar, expose_value=False, callback=remember, help=text)
        function = add(function)
    return function


def server_given() -> "Server | None":
    """Return the server that the options, the environment or a profile name; None if they name none.

    An option takes precedence over the environment, and the environment over the default profile.
    """
    from optunapi.client.profiles import named_server, token_in

    meta = click.get_current_context().meta
    url, profile, token_file = (
        meta.get(f"optunapi.{name}") for name in ("url", "profile", "token_file")
    )
    if url is not None and profile is not None:
        raise click.UsageError("--url and --profile name a server each: give one of them.")
    try:
        token = None if token_file is None else token_in(Path(token_file).expanduser())
        return named_server(url, token, profile)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def client_of_server(server: "Server | None" = None) -> Iterator["Client"]:
    """Return a client of a server, else of the one that is named, else of that at `LOCAL`.

    It tries things once.

    Raises: as `failures`.
    """
    from optunapi.client.client import Client

    server = server or server_given_or_local()
    with failures():
        yield Client(server.url, server.token, timeout=TIMEOUT_SECONDS, retry_for=0)


def server_given_or_local() -> "Server":
    """Return what `server_given` returns, but the server at `LOCAL` where nothing names one."""
    from optunapi.client.profiles import LOCAL, Server

    return server_given() or Server(url=LOCAL)


@contextmanager
def failures() -> Iterator[None]:
    """Turn what goes wrong with a server into the errors of a command.

    Raises:
        CommandFailed: a request in the block is refused; the message has code and detail.
        ServerUnreachable: no server answers.
        click.UsageError: the URL is none, or a file in the block cannot be read or written.
    """
    try:
        yield
    except ServerUnavailable as error:
        raise ServerUnreachable(error.detail) from None
    except OptunAPIError as error:
        raise _refused(error) from None
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def at_server(server: "Server", method: str, *path: str, **options: Any) -> Any:
    """Send a request to a server's v1 routes and return the JSON reply.

    Raises: as `client_of_server`.
    """
    with client_of_server(server) as client:
        return client.connection.call(method, *path, **options)


def _refused(error: OptunAPIError) -> CommandFailed:
    errors = error.extra.get("errors") if isinstance(error, ConfigInvalid) else None
    failure = Forbidden if isinstance(error, AccessDenied) else CommandFailed
    return failure(f"{error.code}: {in_one_line(errors) if errors else error.detail}")


@contextmanager
def catalog_here() -> Iterator["Catalog"]:
    """Open the studies in this machine's folders and own them until the block ends.

    Raises:
        CommandFailed: a server owns the folders, or an operation in the block is refused.
    """
    from optunapi.app import new_catalog
    from optunapi.cli.serve import settings_or_fail

    catalog = new_catalog(settings_or_fail())
    try:
        catalog.open()
    except OptunAPIError as error:
        raise CommandFailed(
            f"{error.detail}. While a server is running, send the command to it: "
            "--url http://HOST:PORT"
        ) from None
    try:
        yield catalog
    except OptunAPIError as error:
        raise _refused(error) from None
    finally:
        catalog.close()
