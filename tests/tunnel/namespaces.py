"""Three network namespaces: a trainer, a gateway, and a private server behind the gateway."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.support import missing

GATEWAY_OUTSIDE, GATEWAY_INSIDE = "10.213.1.1", "10.213.2.1"
TRAINER, PRIVATE = "10.213.1.2", "10.213.2.2"


@dataclass(frozen=True, kw_only=True)
class Network:
    """The command prefixes that run a command on each machine."""

    trainer: tuple[str, ...]
    gateway: tuple[str, ...]
    private: tuple[str, ...]

    def set_link(self, state: str) -> None:
        """Connect (`up`) or disconnect (`down`) the gateway and the trainer."""
        _run(*self.gateway, "ip", "link", "set", "outside", state)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def _machine(name: str) -> Iterator[tuple[str, ...]]:
    """A network namespace with only a loopback interface."""
    _run("ip", "netns", "add", name)
    try:
        within = ("ip", "netns", "exec", name)
        _run(*within, "ip", "link", "set", "lo", "up")
        yield within
    finally:
        _run("ip", "netns", "delete", name)


def _cable(left: str, left_name: str, right: str, right_name: str) -> None:
    """Link two machines; the link disappears with them."""
    end = ("type", "veth", "peer", "name", right_name, "netns", right)
    _run("ip", "link", "add", left_name, "netns", left, *end)


@contextmanager
def three_machines() -> Iterator[Network]:
    """Create the machines, and remove them at the end of the block."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        missing("network namespaces need root and ip (apt-get install iproute2)")
    trainer, gateway, private = (f"optunapi-{os.getpid()}-{n}" for n in ("t", "g", "p"))
    with ExitStack() as machines:
        try:
            on_trainer = machines.enter_context(_machine(trainer))
        except subprocess.CalledProcessError as error:
            missing(f"network namespaces cannot be made here: {error.stderr.decode()}")
        on_gateway = machines.enter_context(_machine(gateway))
        on_private = machines.enter_context(_machine(private))
        _cable(trainer, "network", gateway, "outside")
        _cable(private, "network", gateway, "inside")
        for within, link, address in (
            (on_trainer, "network", TRAINER),
            (on_gateway, "outside", GATEWAY_OUTSIDE),
            (on_gateway, "inside", GATEWAY_INSIDE),
            (on_private, "network", PRIVATE),
        ):
            _run(*within, "ip", "address", "add", f"{address}/24", "dev", link)
            _run(*within, "ip", "link", "set", link, "up")
        # Both sides have a route, but the gateway does not forward packets.
        _run(*on_trainer, "ip", "route", "add", "default", "via", GATEWAY_OUTSIDE)
        _run(*on_private, "ip", "route", "add", "default", "via", GATEWAY_INSIDE)
        _run(*on_gateway, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
        yield Network(trainer=on_trainer, gateway=on_gateway, private=on_private)
