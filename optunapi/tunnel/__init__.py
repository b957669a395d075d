"""Reach a server that only an SSH gateway reaches.

From top to bottom:

    supervised.py   a tunnel that connects again when its session is lost
    forwarder.py    the local port, and what goes through it
    sessions.py     one SSH session: host key first, then the login
    logins.py       the keys of this machine
    gateways.py     addresses and `~/.ssh/config`
    known_hosts.py  which host keys are known
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
    """Open a tunnel through `gateway` to `remote`; a context manager that gives the local URL.

        with open_tunnel("user@gateway", "private-host:8000") as url:
            client = Client(url)

    It stays: when the SSH session is lost it is made anew, on the same local port.

    Args:
        gateway: `[user@]host[:port]` of the SSH server; host may be an alias of `ssh_config`.
        remote: `host[:port]` of the server as the gateway sees it; port 8000 if none is given.
        key: private key file to log in with, alone. Without it: those of `ssh_config`, of a
            running ssh-agent, and `~/.ssh/id_*`.
        passphrase: for an encrypted key file; without it a terminal is asked, if there is one.
        known_hosts: file with the host keys to trust, alone. Without it: those ssh uses.
        accept_new: add the host key of a gateway that is unknown to `known_hosts`. A changed one is
            refused nevertheless.
        port: local port, 0 for any that is free.
        ssh_config: None reads none.
        timeout: seconds to wait for a connection, for an answer, and for a channel.
        keepalive: seconds between two questions whether the gateway is still there.

    Raises:
        TunnelFailed: it cannot be opened; the class and the message say why and what to do.
    """
    try:
        from optunapi.tunnel.gateways import Sources, find_gateway, host_and_port
        from optunapi.tunnel.logins import Keys
        from optunapi.tunnel.supervised import Pace, Tunnel
    except ModuleNotFoundError as error:
        if error.name != "paramiko":
            raise
        raise TunnelFailed(
            "The tunnel needs paramiko, which is not installed: pip install 'optunapi[tunnel]', or "
            "pip install paramiko in an environment where OptunAPI is without its dependencies"
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
        pace=Pace(timeout=timeout, keepalive=keepalive),
    )
