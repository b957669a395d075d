"""How to reach a gateway: from the given address and from `~/.ssh/config`.

These options of ssh_config(5) are followed: Host, Match, Include, HostName, Port, User,
IdentityFile, IdentitiesOnly, ProxyJump, ProxyCommand, UserKnownHostsFile, GlobalKnownHostsFile,
HostKeyAlias.
"""

import getpass
import glob
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]

from optunapi.errors import TunnelFailed
from optunapi.tunnel.known_hosts import DEFAULT_FILES, SSH_PORT, host_name

MAX_INCLUDE_DEPTH = 16  # the same limit as ssh
INCLUDE = re.compile(r"\s*include[\s=]+(.*)", re.I)
BLOCK = re.compile(r"\s*(?:host|match)\b", re.I)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """An SSH server and its configuration.

    `name` is its name in known_hosts; `jump` is the gateway in front of it, if any.
    """

    host: str
    port: int
    user: str
    name: str
    known_hosts: tuple[str, ...]
    identities: tuple[str, ...] = ()
    identities_only: bool = False
    jump: "Gateway | None" = None
    command: str | None = None

    def __str__(self) -> str:
        return f"{self.user}@{with_port(self.host, self.port)}"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The files in which gateways are looked up; without `known_hosts`, the files that ssh uses."""

    config: Path | None
    known_hosts: str | None


def with_port(host: str, port: int) -> str:
    """Return `host:port` in the form that `host_and_port` reads."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_and_port(text: str) -> tuple[str, int | None]:
    """Split `host`, `host:port`, `[address]:port` or a bare IPv6 address.

    Raises:
        TunnelFailed: `text` is none of these.
    """
    host, port = text, ""
    if match := re.fullmatch(r"\[(.+)\](?::(\d+))?|([^:]+):(\d+)", text):
        host = match[1] or match[3]
        port = match[2] or match[4] or ""
    elif text.count(":") == 1:
        host = ""
    if not host or re.search(r"[\s@/\[\]]", host) or not 0 < int(port or 1) < 65536:
        raise TunnelFailed(
            f"{text!r} is not an address: write host, host:port or [IPv6 address]:port"
        )
    return host, int(port) if port else None


def find_gateway(text: str, sources: Sources) -> Gateway:
    """Return the gateway at `[user@]host[:port]`; the host may be an alias in the SSH configuration.

    Raises:
        TunnelFailed: the address or the configuration is invalid.
    """
    return _find(text, sources, jumps=None, seen=())


def _find(
    text: str, sources: Sources, *, jumps: tuple[str, ...] | None, seen: tuple[str, ...]
) -> Gateway:
    """Return the gateway. `jumps`, unless None, replace the jump hosts of its configuration."""
    if text in seen:
        raise TunnelFailed(f"ProxyJump forms a circle: {' → '.join((*seen, text))}")
    user, _, place = text.rpartition("@")
    alias, port = host_and_port(place)
    options = _options(alias, user, port, sources.config)
    host = options["hostname"]
    try:
        port = int(options.get("port", SSH_PORT))
    except ValueError:
        raise TunnelFailed(f"Port {options['port']} of {alias} is not a number") from None
    command, configured = _proxy(options)
    hops = configured if jumps is None else jumps
    if len(hops) == 1 and host_and_port(hops[0].rpartition("@")[2])[0] in (alias, host):
        hops = ()  # this is the jump host itself, and a `Host *` block names it
    return Gateway(
        host=host,
        port=port,
        user=options.get("user") or getpass.getuser(),
        name=options.get("hostkeyalias") or host_name(host, port),
        known_hosts=(sources.known_hosts,) if sources.known_hosts else _known_hosts(options),
        identities=tuple(f for f in options.get("identityfile", ()) if f.lower() != "none"),
        identities_only=options.get("identitiesonly", "").lower() == "yes",
        jump=_find(hops[-1], sources, jumps=hops[:-1] or None, seen=(*seen, text))
        if hops
        else None,
        command=None if hops else command,
    )


def _options(alias: str, user: str, port: int | None, config: Path | None) -> Mapping[str, Any]:
    """Return the configuration of a host. As in ssh, the caller's user and port take precedence."""
    given = [f"User {user}"] if user else []
    given += [f"Port {port}"] if port else []
    parsed = paramiko.SSHConfig()
    try:
        parsed.parse([*given, *(_lines(config) if config else ())])
        options: Mapping[str, Any] = parsed.lookup(alias)
    except ImportError:
        raise TunnelFailed(f"{config}: the tunnel does not support `Match exec`") from None
    except (OSError, UnicodeDecodeError, KeyError, ValueError, paramiko.SSHException) as error:
        raise TunnelFailed(f"{config} cannot be used for {alias}: {error}") from None
    return options


def _lines(path: Path, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a configuration and of the files it includes; none if it is missing."""
    if depth > MAX_INCLUDE_DEPTH:
        raise ValueError(f"{path}: too many files include each other")
    if not path.exists():
        return
    block = "Host *"
    for line in path.read_text(encoding="utf-8").splitlines():
        if include := INCLUDE.fullmatch(line):
            for pattern in shlex.split(include[1]):
                files = Path("~/.ssh").expanduser() / Path(pattern).expanduser()
                for file in sorted(glob.glob(str(files))):
                    yield from _lines(Path(file), depth + 1)
            yield block  # a block in an included file ends with that file
            continue
        if BLOCK.match(line):
            block = line
        yield line


def _proxy(options: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """Return ProxyCommand and the hosts of ProxyJump; the one that is written first applies."""
    first = next((key for key in options if key in ("proxycommand", "proxyjump")), None)
    value = str(options[first] or "none") if first else "none"
    if value.lower() == "none":
        return None, ()
    if first == "proxycommand":
        return value, ()
    return None, tuple(hop.strip().removeprefix("ssh://") for hop in value.split(","))


def _known_hosts(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the configured known_hosts files, the user's first."""
    *users, system = DEFAULT_FILES
    files = options.get("userknownhostsfile", " ".join(users)).split()
    files += options.get("globalknownhostsfile", system).split()
    return tuple(file for file in files if file.lower() != "none") or DEFAULT_FILES
