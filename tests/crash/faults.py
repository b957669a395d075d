"""Real faults of the disk under a running server, and how to take them away again."""

import errno
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tests.support import missing


def run(*command: str) -> None:
    """Run a system command; `missing` if it is not there or not allowed."""
    if shutil.which(command[0]) is None:
        missing(f"there is no {command[0]} here")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own at `folder`, in memory, until the block ends."""
    folder.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def read_only_disk(folder: Path) -> Iterator[None]:
    """Nothing in the folder's file system, in which no file is open, can be written meanwhile."""
    run("mount", "-o", "remount,ro", str(folder))
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Not a byte is free in the folder's file system until the block ends."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**16, 1):
            with suppress(OSError):
                while file.write(b"\0" * size):
                    pass
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def failing_fsync(pid: int, when: str = "1+") -> Iterator[None]:
    """Every fsync of the process, or which `when` says in strace's words, fails with EIO meanwhile."""
    if shutil.which("strace") is None:
        if os.geteuid():
            missing("there is no strace here")
        run("apt-get", "install", "-y", "-qq", "strace")
    calls = "fsync,fdatasync"
    command = ["strace", "-f", "-p", str(pid), "-o", "/dev/null"]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when={when}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        try:
            assert strace.stderr is not None
            if "attached" not in (said := strace.stderr.readline()):
                missing(f"strace cannot attach: {said.strip()}")
            yield
        finally:
            with suppress(ProcessLookupError):
                strace.send_signal(signal.SIGINT)


@contextmanager
def immutable(*paths: Path) -> Iterator[None]:
    """Files cannot be written, in folders nothing made or removed, until the block ends.

    Not by root, and not by who has them open.
    """
    _probe_immutable(paths[0].parent)
    try:
        run("chattr", "+i", *map(str, paths))
        yield
    finally:
        subprocess.run(["chattr", "-i", *map(str, paths)], check=True)


def _probe_immutable(folder: Path) -> None:
    """Not every file system heeds the flag in a file that is open already."""
    with tempfile.NamedTemporaryFile(dir=folder, buffering=0) as probe:
        run("chattr", "+i", probe.name)
        try:
            refused = _cannot_write(probe)
        finally:
            subprocess.run(["chattr", "-i", probe.name], check=True)
    if not refused:
        missing("this file system lets an open file be written after chattr +i")


def _cannot_write(probe: IO[bytes]) -> bool:
    try:
        probe.write(b"\0")
    except OSError as error:
        return error.errno in {errno.EPERM, errno.EROFS, errno.EACCES}
    return False
