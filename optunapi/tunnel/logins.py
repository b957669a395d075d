"""Which keys a gateway is offered, and the login with them."""

import getpass
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]

from optunapi.errors import GatewayUnreachable, LoginRefused
from optunapi.tunnel.gateways import Gateway

DEFAULT_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
KINDS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
log = logging.getLogger("optunapi.tunnel")


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A key that the gateway is asked to take."""

    key: Any
    origin: str

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` writes it."""
        return str(self.key.fingerprint)


class Keys:
    """The keys of this machine, or just the one named.

    A key file is decrypted once: a reconnection in the night has nobody to ask. Set `attended` to
    False when the caller no longer expects a question for a passphrase.
    """

    def __init__(self, *, named: Path | None, passphrase: str | None) -> None:
        self.attended = sys.stdin is not None and sys.stdin.isatty()
        self._named = named
        self._passphrase = passphrase
        self._read: dict[Path, Any] = {}
        self._notes: dict[Path, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Why some key files could not be used."""
        return tuple(self._notes.values())

    def offers(self, gateway: Gateway) -> Iterator[Offer]:
        """Those to try, in turn: named ones before any others that an agent holds."""
        with _agent_keys() as held:
            blobs = {key.asbytes(): key for key in held}
            identities = gateway.identities or DEFAULT_IDENTITIES
            paths = [self._named] if self._named else [Path(p).expanduser() for p in identities]
            lone = self._named is not None or gateway.identities_only
            if not (lone or gateway.identities):
                yield from (Offer(key=key, origin="ssh-agent") for key in held)
                blobs.clear()
            for path in paths:
                if key := blobs.pop(_public_part(path), None):
                    yield Offer(key=key, origin=f"{path} in ssh-agent")
                elif key := self._key(path):
                    yield Offer(key=key, origin=str(path))
            if not lone:
                yield from (Offer(key=key, origin="ssh-agent") for key in blobs.values())

    def _key(self, path: Path) -> Any:
        """The key of a file, None if it cannot be had, for which there is then a note."""
        if path not in self._read:
            self._notes.pop(path, None)
            if path.exists() or self._named:
                try:
                    self._read[path] = self._load(path)
                except (OSError, ValueError, paramiko.SSHException) as error:
                    self._notes[path] = f"{path}: {error}"
        return self._read.get(path)

    def _load(self, path: Path) -> Any:
        try:
            return _private_key(path, None)
        except paramiko.PasswordRequiredException:
            passphrase = self._passphrase
            if passphrase is None and self.attended:
                passphrase = getpass.getpass(f"Passphrase of {path}: ")
            if not passphrase:
                raise ValueError(
                    "it is encrypted; give passphrase=, or load it with ssh-add"
                ) from None
        try:
            return _private_key(path, passphrase)
        except (ValueError, paramiko.SSHException):
            raise ValueError("it is encrypted, and the passphrase is another one") from None


def log_in(transport: paramiko.Transport, gateway: Gateway, keys: Keys) -> None:
    """Log in on a connection whose host key was checked.

    Raises:
        LoginRefused: no key is taken, or one does not suffice.
        GatewayUnreachable: it ended the connection or says nothing any more.
    """
    tried: list[Offer] = []
    hint = ""
    for offer in keys.offers(gateway):
        tried.append(offer)
        try:
            further = transport.auth_publickey(gateway.user, offer.key)
        except paramiko.BadAuthenticationType as error:
            ways = ", ".join(error.allowed_types)
            raise _refused(gateway, keys, tried, f"It takes no keys, only: {ways}. ") from None
        except paramiko.AuthenticationException as error:
            if "algorithm" in str(error):
                hint = "It knows RSA keys with SHA-1 only: make one with ssh-keygen -t ed25519. "
            elif "timeout" in str(error).lower():
                raise GatewayUnreachable(f"{gateway} does not answer to the login") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            hint = f"It ended the connection ({error}). "
        else:
            if not further:
                return
            ways = ", ".join(further)
            hint = f"The key is right but does not suffice, it also wants {ways}. "
            raise _refused(gateway, keys, tried, hint)
        if not transport.is_active():
            hint = hint or "It ended the connection, perhaps since too many keys were tried. "
            break
    raise _refused(gateway, keys, tried, hint)


def _refused(gateway: Gateway, keys: Keys, tried: list[Offer], why: str) -> LoginRefused:
    """The error that says what was tried and what to do."""
    offered = ", ".join(f"{offer.fingerprint} ({offer.origin})" for offer in tried) or "none"
    notes = "".join(f"Not usable: {note}. " for note in keys.notes)
    return LoginRefused(
        f"{gateway} refuses the login. {why}Keys tried: {offered}. {notes}"
        f"The public key has to be in ~{gateway.user}/.ssh/authorized_keys there "
        f"(ssh-copy-id); key= (--key) names another one",
        tried=[offer.fingerprint for offer in tried],
    )


def _private_key(path: Path, passphrase: str | None) -> Any:
    """The key of a file; raises as paramiko does, PasswordRequiredException among them."""
    wrong: Exception | None = None
    for kind in KINDS:
        try:
            return kind.from_private_key_file(str(path), passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except (ValueError, paramiko.SSHException) as error:
            wrong = error
    raise ValueError("this is no private key of type ed25519, ecdsa or rsa") from wrong


def _public_part(path: Path) -> bytes:
    """The encoded public key beside a key file, or of the file if that is what it holds."""
    beside = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
    try:
        return bytes(paramiko.PublicBlob.from_file(str(beside)).key_blob)
    except (OSError, ValueError):
        return b""


@contextmanager
def _agent_keys() -> Iterator[tuple[Any, ...]]:
    """What a running ssh-agent holds, for as long as the block."""
    try:
        agent = paramiko.Agent()
    except (OSError, paramiko.SSHException) as error:
        log.warning("ssh-agent is not used: %s", error)
        yield ()
        return
    try:
        yield agent.get_keys()
    finally:
        agent.close()
