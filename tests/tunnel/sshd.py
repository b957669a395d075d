"""Real SSH servers that a test can configure, stop, kill and restart."""

import contextlib
import getpass
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support import free_port, missing, until

PATIENCE = 30.0  # seconds; the machine may be busy
CONFIG = """
ListenAddress {host}:{port}
AuthorizedKeysFile {authorized}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
"""


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "", *options: str) -> str:
    """Create a key pair and return the type and key of its public line."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path), *options]
    subprocess.run(command, check=True)
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


def fingerprint(path: Path) -> str:
    """Return a key file's fingerprint as ssh-keygen prints it."""
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(path)], check=True, capture_output=True, text=True
    )
    return shown.stdout.split()[1]


class Sshd:
    """An SSH server on one port, with its own keys; `options` are lines of sshd_config."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        host: str = "127.0.0.1",
        port: int | None = None,
        kinds: Sequence[str] = ("ed25519",),
        within: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._options = options
        self._within = within  # a command that runs another one in a network namespace
        self._process: subprocess.Popen[bytes] | None = None
        self.host, self.port = host, port or free_port()
        self.key, self.authorized = folder / "login_key", folder / "authorized_keys"
        self.known_hosts, self.log = folder / "known_hosts", folder / "sshd.log"
        self.authorized.write_text(make_key(self.key))
        self.host_keys = {kind: make_key(folder / f"host_{kind}", kind) for kind in kinds}
        self.know(*kinds)

    @property
    def name(self) -> str:
        """The server's name in known_hosts."""
        return f"[{self.host}]:{self.port}"

    @property
    def address(self) -> str:
        return f"{getpass.getuser()}@{self.host}:{self.port}"

    def know(self, *kinds: str) -> None:
        """Write only these host keys to known_hosts."""
        lines = [f"{self.name} {self.host_keys[kind]}\n" for kind in kinds]
        self.known_hosts.write_text("".join(lines))

    def change_host_key(self, kind: str = "ed25519") -> None:
        """Replace the host key of that type; a running server has to be restarted."""
        path = self._folder / f"host_{kind}"
        path.unlink()
        path.with_name(f"{path.name}.pub").unlink()
        self.host_keys[kind] = make_key(path, kind)

    def start(self) -> None:
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        if sshd is None:
            missing("there is no sshd (apt-get install openssh-server)")
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd separates its privileges
        config = self._folder / "sshd_config"
        text = CONFIG.format(host=self.host, port=self.port, authorized=self.authorized)
        keys = [f"HostKey {self._folder}/host_{kind}\n" for kind in self.host_keys]
        # sshd uses the first of several values.
        config.write_text("\n".join(self._options) + text + "".join(keys))
        with self.log.open("wb") as output:
            command = [*self._within, sshd, "-D", "-e", "-f", str(config)]
            process = subprocess.Popen(command, stderr=output)
        self._process = process
        until(
            lambda: "Server listening" in self.log.read_text() or process.poll() is not None,
            "sshd to listen",
        )
        assert process.poll() is None, self.log.read_text()

    def sessions(self) -> list[int]:
        """Return the processes that serve one connection each."""
        if self._process is None:
            return []
        pid = self._process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def signal_sessions(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the processes that serve connections."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """Kill the server and its sessions."""
        if self._process is None:
            return
        self.signal_sessions()
        self._process.kill()
        self._process.wait()
        self._process = None


@contextmanager
def running(sshd: Sshd) -> Iterator[Sshd]:
    """Run the server until the block ends."""
    try:
        sshd.start()
        yield sshd
    finally:
        sshd.stop()
