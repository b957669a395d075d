"""Where a command finds the studies: behind a server's URL, or in this machine's own folders."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import click

from optunapi.cli.output import CommandFailed, Exit, ServerUnreachable
from optunapi.errors import OptunAPIError

if TYPE_CHECKING:
    from optunapi.engine.catalog import Catalog

TIMEOUT_SECONDS = 600.0

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class NotPermitted(CommandFailed):
    """The server does not let this caller do it."""

    exit_code = Exit.NOT_PERMITTED


def url_option(function: Decorated) -> Decorated:
    """Add `--url` to a command that may also do its work without a server."""
    option = click.option(
        "--url",
        metavar="URL",
        help="The server that has the folder; without, none may run.",
    )
    return option(function)


def at_server(url: str, method: str, *path: str, **options: Any) -> Any:
    """The content of a server's reply to a request under v1.

    Raises:
        CommandFailed: it refused; the message has code and detail.
        ServerUnreachable: nobody answers.
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
        raise ServerUnreachable(f"{url} was not reached: {error}") from None
    try:
        content = response.json()
    except ValueError:
        content = None
    if response.ok and content is not None:
        return content
    if not isinstance(content, dict) or "code" not in content:
        raise CommandFailed(
            f"{url} answers {response.status_code}, and not as an OptunAPI server does"
        )
    failure = NotPermitted if response.status_code in (401, 403) else CommandFailed
    raise failure(f"{content['code']}: {content['detail']}")


@contextmanager
def catalog_here() -> Iterator["Catalog"]:
    """The studies of this machine's folders, which are this command's until the block ends.

    Raises:
        CommandFailed: a server has them, or what the block does is refused.
    """
    from optunapi.app import new_catalog
    from optunapi.cli.serve import settings_or_fail

    catalog = new_catalog(settings_or_fail())
    try:
        catalog.open()
    except OptunAPIError as error:
        raise CommandFailed(
            f"{error.detail}. While a server runs, go through it: --url http://HOST:PORT"
        ) from None
    try:
        yield catalog
    except OptunAPIError as error:
        raise CommandFailed(f"{error.code}: {error.detail}") from None
    finally:
        catalog.close()
