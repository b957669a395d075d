"""Real faults of the disk under a running server, each until its block ends."""

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
    """Run a system command; `missing` if it does not exist or fails."""
    if shutil.which(command[0]) is None:
        missing(f"there is no {command[0]} here")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A separate file system at `folder`, in memory."""
    folder.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def read_only_disk(folder: Path) -> Iterator[None]:
    """The folder's file system, in which no file is open, is read-only."""
    run("mount", "-o", "remount,ro", str(folder))
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """The folder's file system has no free byte."""
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
    """Every fsync of the process fails with EIO, or those that `when` selects, in strace's syntax."""
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
    """Files cannot be written, and in folders nothing can be created or removed.

    Root cannot do so either, nor a process that has a file open.
    """
    _probe_immutable(paths[0].parent)
    try:
        run("chattr", "+i", *map(str, paths))
        yield
    finally:
        subprocess.run(["chattr", "-i", *map(str, paths)], check=True)


def _probe_immutable(folder: Path) -> None:
    """Not every file system applies the flag to a file that is open already."""
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
