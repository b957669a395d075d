"""schemathesis sends requests that the OpenAPI document allows and forbids; no check of any phase
may fail.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.wire import SPACE, Wire, wire_of
from tests.contract import openapi_checks
from tests.support import ROOT, scaled

CONFIG = """
hooks = "{hooks}"

[checks.positive_data_acceptance]
# 422 too: `openapi_checks.py` checks that it is for a rule that no schema can express.
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429"]
"""


def prepare(wire: Wire) -> None:
    """Two studies, one with trials in every state, most of them running."""
    for name in (openapi_checks.KEPT, openapi_checks.CHANGED):
        spec = {**SPACE, "pruner": {"name": "median"}}
        assert wire.request("PUT", f"/studies/{name}", json=spec).status_code == 201
    name = openapi_checks.KEPT
    for number in range(openapi_checks.KEPT_TRIALS):
        lease = 3600.0 if number % 8 == 7 else None
        assert wire.ask(name, worker="w", lease_seconds=lease)["number"] == number
    wire.tell(name, 0, value=1)
    wire.tell(name, 1, state="pruned", value=2)
    wire.tell(name, 2, state="fail", reason="r")
    wire.ok("POST", f"/studies/{name}/trials/3/release")


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(hooks=Path(openapi_checks.__file__)))
    with wire_of(tmp_path) as wire:
        prepare(wire)
        url = f"{str(wire.client.base_url).rstrip('/')}/openapi.json"
        run = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                f"--config-file={config}",
                "run",
                url,
                "--checks=all",
                "--exclude-path-regex=/events$",  # its reply has no end
                f"--max-examples={scaled(20, 300)}",
                *(["--seed=1"] if scaled(1, 0) else []),
                "--continue-on-failure",
                "--warnings=off",  # most random names are unknown, and most random values are refused
                "--suppress-health-check=all",  # they judge the speed of this machine
                "--no-color",
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=scaled(300, 1800),
        )
        if run.returncode:
            pytest.fail(run.stdout[-20_000:] + run.stderr[-2_000:])
    assert re.search(r"(\d{3,}) generated, \1 passed", run.stdout), run.stdout
