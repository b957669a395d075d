"""The keys that are offered to a gateway, and the login with them."""

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
    """A key offered to the gateway."""

    key: Any
    origin: str

    @property
    def fingerprint(self) -> str:
        """The fingerprint as `ssh-keygen -l` prints it."""
        return str(self.key.fingerprint)


class Keys:
    """The keys of this machine, or only the named one.

    A key file is decrypted once, since nobody may be there to type the passphrase when the tunnel
    reconnects. Set `may_ask` to False to stop asking for passphrases on the terminal.
    """

    def __init__(self, *, named: Path | None, passphrase: str | None) -> None:
        self.may_ask = sys.stdin is not None and sys.stdin.isatty()
        self._named = named
        self._passphrase = passphrase
        self._read: dict[Path, Any] = {}
        self._notes: dict[Path, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """The reasons why key files could not be used."""
        return tuple(self._notes.values())

    def offers(self, gateway: Gateway) -> Iterator[Offer]:
        """Yield the keys in the order to try: configured ones before the others in the agent."""
        with _agent_keys() as held:
            blobs = {key.asbytes(): key for key in held}
            identities = gateway.identities or DEFAULT_IDENTITIES
            paths = [self._named] if self._named else [Path(p).expanduser() for p in identities]
            no_others = self._named is not None or gateway.identities_only
            if not (no_others or gateway.identities):
                yield from (Offer(key=key, origin="ssh-agent") for key in held)
                blobs.clear()
            for path in paths:
                if key := blobs.pop(_public_part(path), None):
                    yield Offer(key=key, origin=f"{path} in ssh-agent")
                elif key := self._key(path):
                    yield Offer(key=key, origin=str(path))
            if not no_others:
                yield from (Offer(key=key, origin="ssh-agent") for key in blobs.values())

    def _key(self, path: Path) -> Any:
        """Return the key in a file, or None after noting why it cannot be used."""
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
            if passphrase is None and self.may_ask:
                passphrase = getpass.getpass(f"Passphrase of {path}: ")
            if not passphrase:
                raise ValueError(
                    "the key is encrypted: pass passphrase=, or load the key with ssh-add"
                ) from None
        try:
            return _private_key(path, passphrase)
        except (ValueError, paramiko.SSHException):
            raise ValueError("the passphrase of the key is wrong") from None


def log_in(transport: paramiko.Transport, gateway: Gateway, keys: Keys) -> None:
    """Log in on a connection whose host key has been checked.

    Raises:
        LoginRefused: the gateway accepts no key, wants more than a key, or ends the connection.
        GatewayUnreachable: the gateway no longer answers.
    """
    tried: list[Offer] = []
    hint = ""
    for offer in keys.offers(gateway):
        tried.append(offer)
        try:
            further = transport.auth_publickey(gateway.user, offer.key)
        except paramiko.BadAuthenticationType as error:
            ways = ", ".join(error.allowed_types)
            raise _refused(gateway, keys, tried, f"It accepts no keys, only: {ways}. ") from None
        except paramiko.AuthenticationException as error:
            if "algorithm" in str(error):
                hint = (
                    "It supports RSA keys with SHA-1 only: make a key with ssh-keygen -t ed25519. "
                )
            elif "timeout" in str(error).lower():
                raise GatewayUnreachable(f"{gateway} did not answer the login") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            hint = f"It ended the connection ({error}). "
        else:
            if not further:
                return
            ways = ", ".join(further)
            hint = f"It accepts the key but also requires {ways}. "
            raise _refused(gateway, keys, tried, hint)
        if not transport.is_active():
            hint = hint or "It ended the connection, perhaps because too many keys were tried. "
            break
    raise _refused(gateway, keys, tried, hint)


def _refused(gateway: Gateway, keys: Keys, tried: list[Offer], why: str) -> LoginRefused:
    """Return the error that lists the keys tried and says what to do."""
    offered = ", ".join(f"{offer.fingerprint} ({offer.origin})" for offer in tried) or "none"
    notes = "".join(f"Not usable: {note}. " for note in keys.notes)
    return LoginRefused(
        f"{gateway} refuses the login. {why}Keys tried: {offered}. {notes}"
        f"Add the public key to ~{gateway.user}/.ssh/authorized_keys on the gateway "
        "(ssh-copy-id does it), or choose another key with key= (--key)",
        tried=[offer.fingerprint for offer in tried],
    )


def _private_key(path: Path, passphrase: str | None) -> Any:
    """Load a private key; raises PasswordRequiredException if it is encrypted and passphrase None."""
    wrong: Exception | None = None
    for kind in KINDS:
        try:
            return kind.from_private_key_file(str(path), passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except (ValueError, paramiko.SSHException) as error:
            wrong = error
    raise ValueError("not a private key of type ed25519, ecdsa or rsa") from wrong


def _public_part(path: Path) -> bytes:
    """Return the encoded public key next to a key file, or in the file if it is a public key."""
    beside = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
    try:
        return bytes(paramiko.PublicBlob.from_file(str(beside)).key_blob)
    except (OSError, ValueError):
        return b""


@contextmanager
def _agent_keys() -> Iterator[tuple[Any, ...]]:
    """Yield the keys of a running ssh-agent; they can be used inside the block."""
    try:
        agent = paramiko.Agent()
    except (OSError, paramiko.SSHException) as error:
        log.warning("ssh-agent cannot be used: %s", error)
        yield ()
        return
    try:
        yield agent.get_keys()
    finally:
        agent.close()
