"""A thousand clients that renew their leases: runs the crash suite's test and reads its figures."""

import re
import subprocess
import sys

from tests.benchmarks.findings import Found, Line, figure
from tests.benchmarks.run import Run
from tests.support import ROOT, clean_environment

TEST = "tests/crash/test_thousand_clients.py"
SIZE = re.compile(r"within (?P<arrival>\S+) s: (?P<clients>\d+) clients, (?P<seconds>\S+) s")
P99 = re.compile(r"^(?P<kind>\w+): \d+ requests, .* p99 (?P<ms>[0-9.]+) ms", re.MULTILINE)


def measure(run: Run) -> Found:
    """The slowest kind of request's p99, if the test finds no error, no lost and no double trial."""
    run.say("Clients that hold leases and renew them; the test checks every trial")
    soak = {} if run.quick else {"OPTUNAPI_SOAK": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", TEST, "-q", "-s", "-k", "tpe and one", "--timeout=0"],
        cwd=ROOT,
        env=clean_environment(OPTUNAPI_REQUIRE_ALL="1", **soak),
        capture_output=True,
        text=True,
        check=False,
    )
    size = SIZE.search(ended.stdout)
    if ended.returncode or size is None:
        raise RuntimeError(f"{TEST} failed:\n{ended.stdout}{ended.stderr}")
    found = {match["kind"]: float(match["ms"]) for match in P99.finditer(ended.stdout)}
    line = Line(
        name="leases",
        work=(
            f"{int(size['clients']):,} clients holding leases, renewing them, for {size['seconds']} s: "
            "no error, no trial lost or handed out twice; the slowest kind of request's p99"
        ),
        value=max(found.values()),
        unit="ms",
        goal=100,
        detail="p99 of " + ", ".join(f"{kind} {figure(ms)} ms" for kind, ms in found.items()),
    )
    return Found(lines=(line,))
