"""A separate PostgreSQL server in a temporary folder, with default settings."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.findings import Missing
from tests.support import free_port

DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path:
    """Return the folder of initdb and pg_ctl; raises Missing if there is none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise Missing("not installed: no initdb (on Debian: apt-get install postgresql)")
    return versions[-1].parent


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Run a server until the block ends and yield the URL of an empty database."""
    bin_folder, port = programs(), free_port()
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)

        def run(program: str, *words: str) -> None:
            command = [str(bin_folder / program), "-D", str(folder / "data"), *words]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, user=user)

        run("initdb", "-A", "trust", "-U", "postgres")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
        run("pg_ctl", "-l", str(folder / "log"), "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
