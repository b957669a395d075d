"""OpenSSH's known_hosts files: look up a host's keys and add new ones.

The format is described in sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". Hashed names, patterns,
negations, `[host]:port` and the markers `@revoked` and `@cert-authority` are supported.
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
        """The fingerprint as `ssh-keygen -l` prints it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"

    def __str__(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"


@dataclass(frozen=True, kw_only=True)
class KnownHost:
    """What the known_hosts files say about one host; a new key is added to `file`."""

    name: str
    file: Path
    keys: frozenset[HostKey]
    revoked: frozenset[HostKey]
    has_authority: bool

    def check(self, key: HostKey) -> None:
        """Return if the host is known by `key`.

        Raises:
            HostKeyRevoked: the key is marked `@revoked`.
            HostKeyChanged: the host is known by other keys only.
            HostKeyUnknown: the host is not known.
        """
        shown = f"{key.kind} {key.fingerprint}"
        if key in self.revoked:
            raise HostKeyRevoked(
                f"The host key of {self.name} ({shown}) is marked @revoked in {self.file}: do not "
                "log in before the gateway's administrator has explained why"
            )
        if key in self.keys:
            return
        if self.keys:
            known = ", ".join(sorted(f"{k.kind} {k.fingerprint}" for k in self.keys))
            raise HostKeyChanged(
                f"The host key of {self.name} has changed: the gateway shows {shown}, but "
                f"{self.file} has {known}. Somebody may be intercepting the connection, or the "
                "gateway was reinstalled. Ask its administrator for the fingerprint. Only if it "
                f"matches, remove the old key with ssh-keygen -f {self.file} -R '{self.name}' and "
                "connect again"
            )
        line = self.line(key)
        why = (
            " (its certificate authority is known, but the tunnel does not check certificates)"
            if self.has_authority
            else ""
        )
        raise HostKeyUnknown(
            f"The host key of {self.name} is unknown{why}: the gateway shows {shown}. Compare this "
            "fingerprint with the one its administrator publishes. If they match, add this line "
            f"to {self.file}, or let accept_new=True (--accept-new) add it:\n{line}",
            line=line,
        )

    def line(self, key: HostKey) -> str:
        """Return the line that adds `key` to known_hosts, without a newline."""
        return f"{self.name} {key}"

    def add(self, key: HostKey) -> None:
        """Append `key` to the file; the file and its folder are created if missing.

        Raises:
            OSError: the file cannot be written; it is then unchanged.
        """
        folder = self.file.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One appending write: a line that ssh or another tunnel adds at the same time is kept.
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            unfinished = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            content = ("\n" if unfinished else "").encode() + f"{self.line(key)}\n".encode()
            written = file.write(content)
            if written != len(content):
                os.truncate(descriptor, size)
                raise OSError(f"{self.file} could not be written completely: is the disk full?")


def host_name(host: str, port: int) -> str:
    """Return the name of a host and port in known_hosts."""
    host = host.lower()
    return host if port == SSH_PORT else f"[{host}]:{port}"


def known_host(name: str, files: Iterable[str]) -> KnownHost:
    """Look a host up in `files`; missing files are skipped.

    Raises:
        OSError: a file exists but cannot be read.
    """
    paths = [Path(file).expanduser() for file in files]
    keys, revoked, has_authority = set(), set(), False
    for path in paths:
        for marker, key in _entries(path, name):
            if marker == "@revoked":
                revoked.add(key)
            elif marker == "@cert-authority":
                has_authority = True  # this key signs host keys; it is not a host key
            else:
                keys.add(key)
    return KnownHost(
        name=name,
        file=paths[0],
        keys=frozenset(keys - revoked),
        revoked=frozenset(revoked),
        has_authority=has_authority,
    )


def _entries(path: Path, name: str) -> Iterator[tuple[str, HostKey]]:
    """Yield marker and key of each line that matches `name`; malformed lines are skipped."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        marker = fields.pop(0) if fields[0].startswith("@") else ""
        if len(fields) < 3 or not _matches(fields[0], name):
            continue
        try:
            blob = base64.b64decode(fields[2], validate=True)
        except binascii.Error:
            continue
        yield marker, HostKey(kind=fields[1], blob=blob)


def _matches(patterns: str, name: str) -> bool:
    """Return whether the first field of a line matches `name`."""
    if patterns.startswith("|1|"):
        return _is_hash_of(patterns, name)
    matches = False
    for pattern in patterns.lower().split(","):
        # Only * and ? are wildcards in known_hosts; a bracket is part of `[host]:port`.
        plain = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatchcase(name, plain):
            if pattern.startswith("!"):
                return False
            matches = True
    return matches


def _is_hash_of(hashed: str, name: str) -> bool:
    """Return whether `|1|salt|hash` is the HMAC-SHA1 of `name`, as HashKnownHosts writes it."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
