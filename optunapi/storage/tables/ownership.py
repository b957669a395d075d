"""One process per SQLite file: a lock file beside it names the owner.

The lock is the kernel's (flock). It ends with its process, however that ends; a lock file that is left
behind means nothing.
"""

import errno
import fcntl
import logging
import os
import socket
from contextlib import suppress
from pathlib import Path

from optunapi.storage.errors import DatabaseOwned, refusal_of

NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs"}
    | {"lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs"}
)

BLOCK = 4096  # bytes; more than the line that names the owner

logger = logging.getLogger(__name__)


class Ownership:
    """This process's exclusive claim to a SQLite file, until `release`.

    It can also claim a folder, as a name in it that no file has. `called` is then how errors refer to it.

    Raises:
        DatabaseOwned: another process has it, or this one already.
        DatabaseUnusable, StorageUnavailable: the lock file cannot be created.
    """

    def __init__(self, database: Path, called: str | None = None) -> None:
        self._lock = database.with_name(f".{database.name}.lock")
        self._called = called or database.name
        warn_of_network(database)
        self._descriptor: int | None = self._take(self._called)

    def release(self) -> None:
        """Let others have it; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # It is removed while still locked: a process that opened it before finds out in `_take`.
            # On a disk that can no longer be written it stays, without a lock.
            with suppress(OSError):
                if self._is_lock_file(descriptor):  # the folder may have been replaced
                    self._lock.unlink()
            os.close(descriptor)

    @property
    def is_held(self) -> bool:
        """Whether the lock file is still in its place, so that no other process can take it."""
        return self._descriptor is not None and self._is_lock_file(self._descriptor)

    def try_to_write(self) -> None:
        """Write a block to the lock file, make it durable, and drop it again.

        Raises:
            OSError: the disk is full, read-only or broken.
        """
        assert self._descriptor is not None
        try:
            os.pwrite(self._descriptor, bytes(BLOCK), BLOCK)
            os.fsync(self._descriptor)
        finally:
            os.ftruncate(self._descriptor, len(os.pread(self._descriptor, BLOCK, 0).rstrip(b"\0")))

    def _take(self, name: str) -> int:
        while True:
            try:
                descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                failed = "cannot be locked, its folder must be writable"
                raise refusal_of(name, error, failed) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_lock_file(descriptor):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
                    return descriptor
                os.close(descriptor)  # its owner removed it between our opening and locking it
            except OSError as error:
                owner = os.pread(descriptor, 512, 0).decode(errors="replace").split()
                os.close(descriptor)
                if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                    raise refusal_of(name, error, "cannot be locked") from error
                pid, host = owner if len(owner) == 2 else ("?", "?")
                raise DatabaseOwned(
                    f"{name} is in use by process {pid} on {host}: one process at a time can own it"
                ) from None

    def _is_lock_file(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._lock))
        except FileNotFoundError:
            return False


def warn_of_network(database: Path, mounts: Path = Path("/proc/self/mountinfo")) -> None:
    """Log a warning if the file is on a network file system."""
    kind = file_system(database.parent, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        logger.warning(
            "%s is on a network file system (%s), where SQLite's locks and log cannot be relied on: "
            "keep it on a local disk",
            database.name,
            kind,
        )


def file_system(folder: Path, mounts: Path) -> str | None:
    """The kind of file system a folder is on, by the kernel's table of mounts; None if unknown."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    best, kind = -1, None
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].encode().decode("unicode_escape")
        if folder.is_relative_to(point) and len(point) >= best:  # a later mount hides an earlier
            best, kind = len(point), after.split(" ")[0]
    return kind
