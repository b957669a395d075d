"""Upgrades a database again and again, killed one step later each time, until an upgrade ends.

A step is a call that opens, links, renames or removes a file: the kill comes just before it. With SQLite's
and the file system's promises nothing else can be seen from outside. Prints the number of steps.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

import optuna

from optunapi.storage.tables.schema import versions
from optunapi.storage.upgrade import upgrade

STEPS = {"sqlite3.connect", "os.rename", "os.link", "os.remove", "os.truncate"}


def upgrade_killed_at(path: Path, step: int) -> bool:
    """Upgrade in a child process that is killed at this step; False if it ended before."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            if event in STEPS or (event == "open" and path.name in str(arguments[0])):
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        upgrade(path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def values(path: Path) -> list[list[float] | None]:
    """The values of the upgraded study's trials."""
    study = optuna.load_study(study_name=path.stem, storage=f"sqlite:///{path}")
    return [trial.values for trial in study.trials]


def main(given: Path) -> None:
    """Run, and print the number of steps."""
    versions()  # known before the kills begin
    old = given.read_bytes()
    folder = given.parent / "killed"
    expected, step = None, 0
    while True:
        step += 1
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = folder / given.name
        path.write_bytes(old)
        was_killed = upgrade_killed_at(path, step)
        kept = folder / f"{path.name}.before-upgrade-of-v3.0.0.d"
        # The file is either the old one or the new one, whole, and the old one is never lost.
        assert path.read_bytes() == old or kept.read_bytes() == old, step
        upgrade(path)
        expected = expected or values(path)
        assert values(path) == expected, step
        assert kept.read_bytes() == old, step
        assert sorted(os.listdir(folder)) == [path.name, kept.name], (step, os.listdir(folder))
        if not was_killed:
            break
    print(step - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
