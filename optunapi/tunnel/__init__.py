"""A tunnel to a server that only an SSH gateway can reach.

Read from top to bottom: each module uses those below it.

    supervised.py      the tunnel: reconnects when its SSH connection is lost
    forwarder.py       the local port: forwards each connection through an SSH channel
    ssh_connection.py  one SSH connection: connect, check the host key, log in
    logins.py          this machine's keys, and the login with them
    gateways.py        the gateway's address, and `~/.ssh/config`
    known_hosts.py     the host keys in known_hosts
"""

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from optunapi.errors import TunnelFailed

if TYPE_CHECKING:
    from optunapi.tunnel.supervised import Tunnel

__all__ = ["open_tunnel"]

SERVER_PORT = 8000


def open_tunnel(
    gateway: str,
    remote: str,
    *,
    key: str | PathLike[str] | None = None,
    passphrase: str | None = None,
    known_hosts: str | PathLike[str] | None = None,
    accept_new: bool = False,
    port: int = 0,
    ssh_config: str | PathLike[str] | None = "~/.ssh/config",
    timeout: float = 15.0,
    keepalive: float = 15.0,
) -> "Tunnel":
    """Open a tunnel through `gateway` to `remote`; a context manager that returns the local URL.

        with open_tunnel("user@gateway", "private-host:8000") as url:
            client = Client(url)

    When the SSH connection is lost, the tunnel reconnects and keeps the same local port.

    Args:
        gateway: `[user@]host[:port]` of the SSH server; host may be an alias in `ssh_config`.
        remote: `host[:port]` of the server as the gateway sees it. The default port is 8000.
        key: the only private key file to log in with. By default, the keys named in `ssh_config`,
            those of a running ssh-agent, and `~/.ssh/id_*`.
        passphrase: passphrase of an encrypted key file. By default, asked for on the terminal if
            there is one.
        known_hosts: the only file of trusted host keys. By default, the files that ssh uses.
        accept_new: add the host key of an unknown gateway to `known_hosts`. A changed host key is
            still refused.
        port: local port; 0 picks a free one.
        ssh_config: path of the SSH configuration; None reads none.
        timeout: seconds to wait for a connection, for an answer, and for a channel.
        keepalive: seconds between two checks that the gateway still answers.

    Raises:
        TunnelFailed: the tunnel cannot be opened; the subclass and the message say why and what to
            do.
    """
    try:
        from optunapi.tunnel.gateways import Sources, find_gateway, host_and_port
        from optunapi.tunnel.logins import Keys
        from optunapi.tunnel.supervised import Timing, Tunnel
    except ModuleNotFoundError as error:
        if error.name != "paramiko":
            raise
        raise TunnelFailed(
            "The tunnel needs paramiko, which is not installed: pip install 'optunapi[tunnel]' (or "
            "pip install paramiko, if OptunAPI was installed without its dependencies)"
        ) from None
    host, server_port = host_and_port(remote)
    sources = Sources(
        config=Path(ssh_config).expanduser() if ssh_config is not None else None,
        known_hosts=fspath(known_hosts) if known_hosts is not None else None,
    )
    return Tunnel(
        find=lambda: find_gateway(gateway, sources),
        remote=(host, server_port or SERVER_PORT),
        keys=Keys(named=Path(key).expanduser() if key else None, passphrase=passphrase),
        accept_new=accept_new,
        port=port,
        timing=Timing(timeout=timeout, keepalive=keepalive),
    )
