"""Measure OptunAPI against its floors, its goals and its peers, on this machine.

    python -m tests.benchmarks [--only NAME …] [--quick] [--json FILE] [--write]

Prints each line with its floor, its goal and whether they are met, and writes the same as JSON, with a
picture of how the time of an ask grows with the study. `--write` puts all of it into
docs/performance.md. The exit code is 1 if something is below its floor, 2 if a measurement failed.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import (
    calls,
    document,
    growth,
    large,
    leases,
    peers,
    pruning,
    slow_sampler,
    storage,
    throughput,
    where_time_goes,
)
from tests.benchmarks.findings import Found, Line, Missing, Verdict
from tests.benchmarks.picture import draw
from tests.benchmarks.run import Run
from tests.benchmarks.tables import as_text, shares_table, table

BENCHMARKS: dict[str, Callable[[Run], Found]] = {
    "throughput": throughput.measure,
    "growth": growth.measure,
    "pruning": pruning.measure,
    "large": large.measure,
    "leases": leases.measure,
    "gp": slow_sampler.measure,
    **peers.BENCHMARKS,
    "storage": storage.measure,
    "calls": calls.measure,
    "profile": where_time_goes.measure,
}
TITLE = "Time of an ask as the study grows (TPE, p50, one client)"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and when a run was made."""

    date: str
    cores: int
    memory_gb: int
    kind: str
    python: str
    optuna: str
    optunapi: str
    fastapi: str
    uvicorn: str

    @staticmethod
    def this() -> "Machine":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Machine(
            date=datetime.now(UTC).date().isoformat(),
            cores=len(os.sched_getaffinity(0)),
            memory_gb=round(memory / 2**30),
            kind=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            optuna=version("optuna"),
            optunapi=version("optunapi"),
            fastapi=version("fastapi"),
            uvicorn=version("uvicorn"),
        )

    def sentence(self) -> str:
        return (
            f"Measured on {self.date} on {self.cores} cores with {self.memory_gb} GB ({self.kind}): "
            f"OptunAPI {self.optunapi}, Python {self.python}, Optuna {self.optuna}, "
            f"FastAPI {self.fastapi}, uvicorn {self.uvicorn}."
        )


def main() -> int:
    """Measure, print and write; return the exit code."""
    options = _options()
    machine = Machine.this()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        run = Run(folder=Path(folder), quick=options.quick)
        found, sound = _measured(run, options.only or list(BENCHMARKS))
    print(machine.sentence())
    print(as_text(found.lines))
    if found.shares:
        print(shares_table(found.shares))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": asdict(machine), "quick": options.quick, **found.as_json()}
    options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if found.curves:
        options.json.with_suffix(".svg").write_text(draw(found.curves, TITLE), encoding="utf-8")
    if not sound:
        return 2
    if options.write:
        _write(machine, found)
    return int(any(line.verdict is Verdict.BELOW for line in found.lines))


def _measured(run: Run, names: Sequence[str]) -> tuple[Found, bool]:
    """Run the benchmarks of these names; return what they found and whether none failed."""
    parts, sound = [], True
    for name in names:
        try:
            parts.append(BENCHMARKS[name](run))
        except Missing as reason:
            parts.append(_nothing(name, str(reason)))
        except Exception as error:  # the other benchmarks still run
            traceback.print_exc()
            parts.append(_nothing(name, f"failed: {type(error).__name__}"))
            sound = False
    return Found.joined(parts), sound


def _nothing(name: str, reason: str) -> Found:
    return Found(lines=(Line(name=name, work=name, value=None, detail=reason),))


def _write(machine: Machine, found: Found) -> None:
    sections = {
        "machine": machine.sentence(),
        "lines": table(found.lines),
        "picture": document.PICTURE_LINK,
        "shares": shares_table(found.shares),
    }
    text = document.rewritten(document.DOCUMENT.read_text(encoding="utf-8"), sections)
    document.DOCUMENT.write_text(text, encoding="utf-8")
    document.PICTURE.write_text(draw(found.curves, TITLE), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = ", ".join(BENCHMARKS)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help=names)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all works")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"), metavar="FILE")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    if options.write and (options.quick or options.only):
        parser.error("--write needs a complete run, without --quick and --only")
    return options


if __name__ == "__main__":
    sys.exit(main())
