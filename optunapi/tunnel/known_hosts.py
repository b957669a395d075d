"""What OpenSSH's known_hosts files say of a host: its keys, revoked ones, and new lines.

The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": hashed names, patterns, negations,
`[host]:port` and the markers `@revoked` and `@cert-authority` are understood.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from optunapi.errors import HostKeyChanged, HostKeyRevoked, HostKeyUnknown

DEFAULT_FILES = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts")
SSH_PORT = 22


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """A public host key: its type, such as `ssh-ed25519`, and its encoded bytes."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` writes it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"

    def __str__(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of one host; `file` is where a new line would go."""

    name: str
    file: Path
    keys: frozenset[HostKey]
    revoked: frozenset[HostKey]
    has_authority: bool

    def check(self, key: HostKey) -> None:
        """Return if `key` is a known one.

        Raises:
            HostKeyRevoked: it is marked as no longer to be trusted.
            HostKeyChanged: only other keys are known.
            HostKeyUnknown: nothing is known of the host.
        """
        shown = f"{key.kind} {key.fingerprint}"
        if key in self.revoked:
            raise HostKeyRevoked(
                f"The host key of {self.name} ({shown}) is marked @revoked in {self.file}: do not "
                "log in there before its keeper says why"
            )
        if key in self.keys:
            return
        if self.keys:
            known = ", ".join(sorted(f"{k.kind} {k.fingerprint}" for k in self.keys))
            raise HostKeyChanged(
                f"The host key of {self.name} is not the known one: it shows {shown}, known is "
                f"{known} ({self.file}). Somebody may be listening in, or the gateway was set up "
                "anew: ask its keeper for the fingerprint. Only if it is the one shown, remove the "
                f"old key with ssh-keygen -f {self.file} -R '{self.name}' and connect again"
            )
        line = self.line(key)
        why = (
            " (its certificate authority is known, but certificates are not checked here)"
            if self.has_authority
            else ""
        )
        raise HostKeyUnknown(
            f"The host key of {self.name} is unknown{why}: it shows {shown}. Compare that with "
            f"what the gateway's keeper says; if it is the same, add this line to {self.file}, or "
            f"let accept_new=True (--accept-new) add it:\n{line}",
            line=line,
        )

    def line(self, key: HostKey) -> str:
        """The line of known_hosts that makes `key` a known one, without the newline."""
        return f"{self.name} {key}"

    def add(self, key: HostKey) -> None:
        """Append `key` to the file, which with its folder is made where it is missing.

        Raises:
            OSError: it cannot be written; then it is as before.
        """
        folder = self.file.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One write at the end: what ssh or another tunnel adds at the same time is kept.
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            unfinished = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            content = ("\n" if unfinished else "").encode() + f"{self.line(key)}\n".encode()
            written = file.write(content)
            if written != len(content):
                os.truncate(descriptor, size)
                raise OSError(f"{self.file} could not be written to its end: is the disk full?")


def host_name(host: str, port: int) -> str:
    """How known_hosts names a host on a port."""
    host = host.lower()
    return host if port == SSH_PORT else f"[{host}]:{port}"


def known(name: str, files: Iterable[str]) -> Known:
    """What `files` say of the host of that name; a file that is not there says nothing.

    Raises:
        OSError: a file is there and cannot be read.
    """
    paths = [Path(file).expanduser() for file in files]
    keys, revoked, has_authority = set(), set(), False
    for path in paths:
        for marker, key in _entries(path, name):
            if marker == "@revoked":
                revoked.add(key)
            elif marker == "@cert-authority":
                has_authority = True  # such a key signs host keys; it is none
            else:
                keys.add(key)
    return Known(
        name=name,
        file=paths[0],
        keys=frozenset(keys - revoked),
        revoked=frozenset(revoked),
        has_authority=has_authority,
    )


def _entries(path: Path, name: str) -> Iterator[tuple[str, HostKey]]:
    """The markers and keys of the lines that are about that name; unreadable ones say nothing."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        marker = fields.pop(0) if fields[0].startswith("@") else ""
        if len(fields) < 3 or not _is_about(fields[0], name):
            continue
        try:
            blob = base64.b64decode(fields[2], validate=True)
        except binascii.Error:
            continue
        yield marker, HostKey(kind=fields[1], blob=blob)


def _is_about(patterns: str, name: str) -> bool:
    """Whether the first field of a line means that name."""
    if patterns.startswith("|1|"):
        return _is_hash_of(patterns, name)
    matches = False
    for pattern in patterns.lower().split(","):
        # Only * and ? are special there; a bracket is part of `[host]:port`.
        plain = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatchcase(name, plain):
            if pattern.startswith("!"):
                return False
            matches = True
    return matches


def _is_hash_of(hashed: str, name: str) -> bool:
    """Whether `|1|salt|hash` is that name's: an HMAC-SHA1, as OpenSSH's HashKnownHosts makes it."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
