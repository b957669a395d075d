"""`optunapi tunnel`: a local port to a server behind an SSH gateway."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from optunapi.cli.local_server import exit_on_signals
from optunapi.cli.output import (
    CommandFailed,
    Forbidden,
    ServerUnreachable,
    json_option,
    print_json,
    wants_json,
)
from optunapi.errors import ForwardingRefused, LoginRefused, TunnelFailed

if TYPE_CHECKING:
    from optunapi.tunnel.supervised import Tunnel

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("gateway")
@click.argument("remote")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    help="Local port.",
)
@click.option("--key", type=FILE, help="The only private key to log in with.")
@click.option("--known-hosts", type=FILE, help="The only file of host keys to trust.")
@click.option("--accept-new", is_flag=True, help="Add the host key of an unknown gateway.")
@json_option
def tunnel(
    gateway: str,
    remote: str,
    port: int,
    key: Path | None,
    known_hosts: Path | None,
    accept_new: bool,
) -> None:
    """Open a tunnel through an SSH gateway.

    GATEWAY is user@host:port of the SSH server, or a name in ~/.ssh/config. REMOTE is host:port of
    the OptunAPI server as the gateway sees it; a port alone is one of the gateway itself.

    Prints the URL to use on this machine and keeps the tunnel open until Ctrl-C or SIGTERM. When
    the SSH connection is lost, the tunnel reconnects on the same port.
    """
    from optunapi.tunnel import open_tunnel

    if remote.isascii() and remote.isdigit():
        remote = f"127.0.0.1:{remote}"  # a host whose name is a number does not exist
    try:
        opened = open_tunnel(
            gateway, remote, key=key, known_hosts=known_hosts, accept_new=accept_new, port=port
        )
        _keep(opened)
    except TunnelFailed as error:
        raise _failure(error)(f"{error.code}: {error.detail}") from None


def _keep(opened: "Tunnel") -> None:
    """Print the URL and wait for a signal to close the tunnel; raises if it ends by itself."""
    try:
        with exit_on_signals(), opened as url:
            if wants_json():
                print_json({"url": url, "port": opened.port})
            else:
                click.echo(url)
                click.echo("The tunnel is open. Press Ctrl-C to close it.", err=True)
            opened.wait()
    except (KeyboardInterrupt, SystemExit):
        return  # the usual way to end the command


def _failure(error: TunnelFailed) -> type[CommandFailed]:
    """Return the exception to end the command with: each has its own exit code."""
    if isinstance(error, LoginRefused | ForwardingRefused):
        return Forbidden
    return CommandFailed if type(error) is TunnelFailed else ServerUnreachable
