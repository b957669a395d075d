"""Run a command through a server's URL, or directly on this machine's folders."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import click

from optunapi.cli.output import CommandFailed, Forbidden, ServerUnreachable
from optunapi.errors import AccessDenied, OptunAPIError, ServerUnavailable

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
    from optunapi.client.profiles import named_server

    meta = click.get_current_context().meta
    url, profile, token_file = (
        meta.get(f"optunapi.{name}") for name in ("url", "profile", "token_file")
    )
    if url is not None and profile is not None:
        raise click.UsageError("--url and --profile name a server each: give one of them.")
    try:
        token = None if token_file is None else Path(token_file).expanduser().read_text().strip()
        return named_server(url, token, profile)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def client_of_server() -> Iterator["Client"]:
    """Return a client of the server that is named, else of the one at `LOCAL`, which tries things once.

    Raises:
        CommandFailed: a request in the block is refused; the message has code and detail.
        ServerUnreachable: no server answers.
        click.UsageError: a file in the block cannot be read or written.
    """
    from optunapi.client.client import Client
    from optunapi.client.profiles import LOCAL

    server = server_given()
    url, token = (LOCAL, None) if server is None else (server.url, server.token)
    try:
        yield Client(url, token, timeout=TIMEOUT_SECONDS, retry_for=0)
    except ServerUnavailable as error:
        raise ServerUnreachable(error.detail) from None
    except OptunAPIError as error:
        failure = Forbidden if isinstance(error, AccessDenied) else CommandFailed
        raise failure(f"{error.code}: {error.detail}") from None
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def at_server(server: "Server", method: str, *path: str, **options: Any) -> Any:
    """Send a request to a server's v1 routes and return the JSON reply.

    Raises:
        CommandFailed: the server refused it; the message has code and detail.
        ServerUnreachable: no server answers.
    """
    import requests

    url = server.url
    headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}
    place = "/".join(quote(part, safe="") for part in path)
    try:
        response = requests.request(
            method,
            f"{url.rstrip('/')}/optunapi/v1/{place}",
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
            headers=headers,
            **options,
        )
    except requests.RequestException as error:
        raise ServerUnreachable(f"{url} cannot be reached: {error}") from None
    try:
        content = response.json()
    except ValueError:
        content = None
    if response.ok and content is not None:
        return content
    if not isinstance(content, dict) or "code" not in content:
        raise CommandFailed(f"{url} answers {response.status_code}, but is not an OptunAPI server")
    failure = Forbidden if response.status_code in (401, 403) else CommandFailed
    raise failure(f"{content['code']}: {content['detail']}")


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
        raise CommandFailed(f"{error.code}: {error.detail}") from None
    finally:
        catalog.close()
