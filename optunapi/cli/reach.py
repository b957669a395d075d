"""Run a command through a server's URL, or directly on this machine's folders."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import click

from optunapi.cli.output import CommandFailed, Forbidden, ServerUnreachable
from optunapi.errors import OptunAPIError

if TYPE_CHECKING:
    from optunapi.engine.catalog import Catalog

TIMEOUT_SECONDS = 600.0

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def url_option(function: Decorated) -> Decorated:
    """Add `--url` to a command that can also run without a server."""
    option = click.option(
        "--url",
        metavar="URL",
        help="Server to send the command to. Without it, no server may be running on the folder.",
    )
    return option(function)


def at_server(url: str, method: str, *path: str, **options: Any) -> Any:
    """Send a request to a server's v1 routes and return the JSON reply.

    Raises:
        CommandFailed: the server refused it; the message has code and detail.
        ServerUnreachable: no server answers.
    """
    import requests

    place = "/".join(quote(part, safe="") for part in path)
    try:
        response = requests.request(
            method,
            f"{url.rstrip('/')}/optunapi/v1/{place}",
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
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
