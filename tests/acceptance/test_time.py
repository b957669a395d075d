"""A server's process under real clocks: the time is set, and the process is stopped for a while."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from optunapi.engine.clock import STILL_SECONDS
from tests.api.wire import SPACE, Wire
from tests.support import Server, running_server, until

HOUR = 3600.0


@contextmanager
def served(home: Path, **environment: str) -> Iterator[tuple[Server, Wire]]:
    with (
        running_server(
            home, target="tests.acceptance.ahead_server:optunapi", environment=environment
        ) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield server, Wire(client=client, home=home)


@pytest.mark.parametrize("step", [2 * HOUR, -2 * HOUR, 1e9, -1e9])
def test_the_time_is_set_under_a_running_server(tmp_path: Path, step: float) -> None:
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    with served(tmp_path, AHEAD=str(ahead)) as (_, wire):
        name = wire.put(SPACE, max_trials=2, max_duration=HOUR, trial_timeout=HOUR)
        kept, lost = (wire.ask(name, lease_seconds=term) for term in (600, 3))
        (tmp_path / "next").write_text(str(step))
        (tmp_path / "next").replace(ahead)
        wire.refused("POST", f"/studies/{name}/trials", 429, "no-slot", json={})
        lease = wire.trial(name, kept["number"])["lease"]
        left = datetime.fromisoformat(lease["expires_at"]).timestamp() - (time.time() + step)
        assert 500 < left < 600
        until(lambda: wire.request("POST", f"/studies/{name}/trials", json={}).is_success)
        again = wire.trial(name, lost["number"])
        assert (again["attempt"], again["stop_requested"]) == (2, False)
        assert not wire.trial(name, kept["number"])["stop_requested"]


def test_a_process_that_was_stopped_gives_every_lease_a_fresh_term(tmp_path: Path) -> None:
    (tmp_path / "ahead").write_text("0")
    with served(tmp_path, AHEAD=str(tmp_path / "ahead")) as (server, wire):
        name = wire.put(SPACE, max_trials=1)
        trial = wire.ask(name, lease_seconds=2)
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(STILL_SECONDS + 1)
        server.process.send_signal(signal.SIGCONT)
        resumed = datetime.now(UTC)
        wire.refused("POST", f"/studies/{name}/trials", 429, "no-slot", json={})
        shown = datetime.fromisoformat(wire.trial(name, 0)["lease"]["expires_at"])
        assert (shown - resumed).total_seconds() > 1
        lease = {"lease": trial["lease"]["id"]}
        wire.ok("POST", f"/studies/{name}/trials/0/renew", json=lease)
        until(lambda: wire.request("POST", f"/studies/{name}/trials", json={}).is_success)
        wire.refused("POST", f"/studies/{name}/trials/0/renew", 409, "lease-lost", json=lease)
