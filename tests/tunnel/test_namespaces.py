"""A whole job on three machines; the trainer can reach only the gateway."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import ROOT, clean_environment, scaled, until
from tests.tunnel.namespaces import GATEWAY_OUTSIDE, PRIVATE, Network, three_machines
from tests.tunnel.sshd import Sshd, make_key, running
from tests.tunnel.trainer import STEPS

PORT = 8000
TRIALS = scaled(40, 1000)


@dataclass(frozen=True, kw_only=True)
class Site:
    """Three machines, an SSH server on the gateway, OptunAPI on the private one."""

    network: Network
    gateway: Sshd
    home: Path

    @contextmanager
    def running(
        self, within: tuple[str, ...], log: Path, *words: object, is_read: bool
    ) -> Iterator["subprocess.Popen[str]"]:
        """Run a Python program on that machine until the block ends.

        The log gets stderr. It also gets stdout unless the test reads it: a full pipe would block
        the program.
        """
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*within, sys.executable, *map(str, words)],
                cwd=ROOT,
                env=clean_environment(HOME=os.environ["HOME"], OPTUNAPI_HOME=str(self.home)),
                stdout=subprocess.PIPE if is_read else errors,
                stderr=errors,
                text=True,
            )
        try:
            yield process
        finally:
            process.terminate()
            process.communicate()

    @property
    def log(self) -> Path:
        """The trainer's stderr."""
        return self.home / "trainer.log"

    def fetched(self, within: tuple[str, ...], path: str) -> "subprocess.CompletedProcess[str]":
        """Run curl on that machine, directly to the server."""
        return subprocess.run(
            [*within, "curl", "-sf", "--max-time", "2", f"http://{PRIVATE}:{PORT}{path}"],
            capture_output=True,
            text=True,
            check=False,
        )

    def training(
        self, study: str, known_hosts: Path
    ) -> AbstractContextManager["subprocess.Popen[str]"]:
        """Run a trainer of a new study."""
        config = self.home / "config"
        shutil.copy(config / "optunapi-test.yaml", config / f"{study}.yaml")
        words = [self.gateway.address, f"{PRIVATE}:{PORT}", self.gateway.key]
        words += [known_hosts, study, TRIALS]
        program = ["-m", "tests.tunnel.trainer", *words]
        return self.running(self.network.trainer, self.log, *program, is_read=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    tmp_path = tmp_path_factory.mktemp("site")
    home = tmp_path / "home"
    shutil.copytree(ROOT / "config", home / "config")
    with three_machines() as network:
        folder, within = tmp_path / "gateway", network.gateway
        sshd = Sshd(folder, host=GATEWAY_OUTSIDE, port=22, within=within)
        sshd.known_hosts.write_text(f"{GATEWAY_OUTSIDE} {sshd.host_keys['ed25519']}\n")
        site = Site(network=network, gateway=sshd, home=home)
        program = "from optunapi.cli import main; main()"
        serve = ["-c", program, "serve", "--host", PRIVATE, "--port", PORT]
        with (
            running(sshd),
            site.running(network.private, home / "server.log", *serve, is_read=False) as server,
        ):
            until(
                lambda: (
                    site.fetched(network.private, "/optunapi/ping").returncode == 0
                    or server.poll() is not None
                ),
                "the server",
            )
            assert server.poll() is None, (home / "server.log").read_text()
            yield site


def lose_connection(site: Site) -> None:
    site.gateway.signal_sessions()


def lose_sshd(site: Site) -> None:
    site.gateway.stop()
    site.gateway.start()


def lose_network(site: Site) -> None:
    """Disconnect the network: only the tunnel's own checks can notice it."""
    noticed = site.log.read_text().count("connection was lost")
    site.network.set_link("down")
    until(
        lambda: site.log.read_text().count("connection was lost") > noticed,
        "the loss to be noticed",
    )
    site.network.set_link("up")


@pytest.mark.parametrize("lose", [lose_connection, lose_sshd, lose_network])
def test_every_trial_is_finished_once_whatever_is_lost_on_the_way(
    site: Site, lose: Callable[[Site], None]
) -> None:
    direct = site.fetched(site.network.trainer, "/optunapi/ping")
    assert direct.returncode in {7, 28}  # curl: no connection, or no answer
    told = []
    study = lose.__name__
    with site.training(study, site.gateway.known_hosts) as trainer:
        assert trainer.stdout is not None
        for number, line in enumerate(trainer.stdout, start=1):
            told.append(json.loads(line))
            if number in {TRIALS // 4, TRIALS // 2}:
                lose(site)
        assert trainer.wait(timeout=60) == 0, site.log.read_text()
    assert site.log.read_text().count("the SSH connection is restored") >= 2
    assert [trial["number"] for trial in told] == list(range(TRIALS))
    assert len({trial["port"] for trial in told}) == 1
    shown = site.fetched(site.network.private, f"/optunapi/v1/studies/{study}")
    states = json.loads(shown.stdout)["trials"]
    assert {state: n for state, n in states.items() if n} == {"complete": TRIALS}
    path = f"/optunapi/v1/studies/{study}/trials?limit=1000"
    stored = json.loads(site.fetched(site.network.private, path).stdout)["items"]
    assert [trial["attempt"] for trial in stored] == [1] * TRIALS  # no trial was handed out again
    assert {len(trial["intermediate_values"]) for trial in stored} == {STEPS}
    assert "is told later" not in site.log.read_text()


def test_a_gateway_with_another_host_key_gets_neither_login_nor_request(
    site: Site, tmp_path: Path
) -> None:
    lose_sshd(site)  # its log starts empty
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"{GATEWAY_OUTSIDE} {make_key(tmp_path / 'key')}\n")
    with site.training("refused", known_hosts) as trainer:
        shown, _ = trainer.communicate(timeout=60)
    assert (trainer.returncode, shown) == (1, "")
    assert f"HostKeyChanged: The host key of {GATEWAY_OUTSIDE} has changed" in site.log.read_text()
    assert "Accepted" not in site.gateway.log.read_text()
