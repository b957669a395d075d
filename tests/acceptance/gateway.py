"""A real sshd on a loopback port, for tests through an SSH gateway."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import free_port, missing, until

CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/login_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A running SSH server: its address, its keys and its log."""

    port: int
    user: str
    key: Path
    known_hosts: Path
    log: Path

    @property
    def address(self) -> str:
        return f"{self.user}@127.0.0.1:{self.port}"


def make_key(path: Path) -> str:
    """Create an ed25519 key pair and return the public line."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_name(f"{path.name}.pub").read_text()


def known_hosts_line(port: int, public_key: str) -> str:
    """Return the line of known_hosts for this port and key."""
    return f"[127.0.0.1]:{port} {public_key}"


def wait_until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    def is_listening() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"sshd did not start:\n{log.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True

    until(is_listening, "sshd to listen")


@contextmanager
def running_gateway(folder: Path) -> Iterator[Gateway]:
    """Run sshd until the block ends, with its keys and log in `folder`."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        missing("there is no sshd (apt-get install openssh-server)")
    Path("/run/sshd").mkdir(exist_ok=True)  # where sshd separates its privileges
    port = free_port()
    host_key = make_key(folder / "host_key")
    make_key(folder / "login_key")
    known_hosts, log, config = (folder / n for n in ("known_hosts", "sshd.log", "sshd_config"))
    known_hosts.write_text(known_hosts_line(port, host_key))
    config.write_text(CONFIG.format(port=port, folder=folder))
    with log.open("wb") as output:
        process = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stderr=output)
    try:
        wait_until_listening(port, process, log)
        yield Gateway(
            port=port,
            user=getpass.getuser(),
            key=folder / "login_key",
            known_hosts=known_hosts,
            log=log,
        )
    finally:
        process.terminate()
        process.wait()
