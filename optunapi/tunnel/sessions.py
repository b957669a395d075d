"""One SSH session with a gateway: connected, host key checked, then logged in."""

import contextlib
import logging
import os
import socket
import subprocess  # nosec B404
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any, Self

import paramiko  # type: ignore[import-untyped]

from optunapi.errors import (
    ForwardingRefused,
    GatewayTooOld,
    GatewayUnreachable,
    HostKeyUnknown,
    RemoteUnreachable,
    TunnelFailed,
)
from optunapi.tunnel.gateways import Gateway, with_port
from optunapi.tunnel.known_hosts import HostKey, Known, known
from optunapi.tunnel.logins import Keys, log_in

PROTOCOL_LOG = "optunapi.tunnel.paramiko"
JOIN_SECONDS = 5.0
# RFC 4254, 5.1
PROHIBITED, CONNECT_FAILED, UNKNOWN_KIND = 1, 2, 3
# What a known RSA key signs with; ssh-rsa, which is SHA-1, is gone.
ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}

log = logging.getLogger("optunapi.tunnel")
protocol_log = logging.getLogger(PROTOCOL_LOG)
if protocol_log.level == logging.NOTSET:
    # paramiko logs each failure with its traceback, and raises it as well.
    protocol_log.setLevel(logging.CRITICAL)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How to get into a gateway: the keys, whether to learn its host key, how long to wait."""

    keys: Keys
    accept_new: bool
    timeout: float


class Session:
    """An SSH session that is logged in; `close` ends it, and those with the gateways before it."""

    def __init__(self, gateway: Gateway, transport: paramiko.Transport, opened: ExitStack) -> None:
        self._gateway = gateway
        self._transport = transport
        self._opened = opened

    @classmethod
    def open(cls, gateway: Gateway, entry: Entry) -> Self:
        """Connect, check the host key, log in.

        Raises:
            GatewayUnreachable, GatewayTooOld, HostKeyRefused, LoginRefused, or, for a gateway
            behind others, ForwardingRefused, RemoteUnreachable.
        """
        with ExitStack() as opened:
            carrier = opened.enter_context(_carrier(gateway, entry))
            transport = opened.enter_context(_transport(carrier, entry.timeout))
            _check_host_key(transport, gateway, entry)
            log_in(transport, gateway, entry.keys)
            return cls(gateway, transport, opened.pop_all())

    def channel(self, to: tuple[str, int], source: tuple[str, int], timeout: float) -> Any:
        """A connection from the gateway to host and port: a socket-like paramiko.Channel.

        Raises:
            ForwardingRefused: the gateway must not or cannot forward there.
            RemoteUnreachable: nothing answers there.
            GatewayUnreachable: the session is lost.
        """
        place = with_port(*to)
        try:
            return self._transport.open_channel("direct-tcpip", to, source, timeout=timeout)
        except paramiko.ChannelException as error:
            if error.code in (PROHIBITED, UNKNOWN_KIND):
                raise ForwardingRefused(
                    f"{self._gateway} lets you in but forwards nothing to {place}: its keeper has "
                    "to allow that (AllowTcpForwarding and PermitOpen in sshd_config, no "
                    "no-port-forwarding or restrict in authorized_keys)"
                ) from None
            raise RemoteUnreachable(
                f"{self._gateway} is there, but behind it nothing answers at {place} "
                f"({error.text}): does the server run, on that port, on an address the gateway "
                "reaches, and does the gateway know that name?"
            ) from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            if self._transport.is_active():
                raise RemoteUnreachable(
                    f"{self._gateway} is there, but cannot connect to {place} within {timeout:g} s:"
                    " is it the right address, and no firewall between them?"
                ) from None
            raise GatewayUnreachable(f"The session with {self._gateway} is lost: {error}") from None

    def wait_until_lost(self, interval: float, patience: float) -> None:
        """Return when the session has ended, or nothing is heard of the gateway for `patience` s.

        It is asked each `interval` seconds: without that, a session whose network went away looks
        alive. Whatever comes counts, since an answer may be long in coming behind a large upload.
        """
        while True:
            self._transport.join(interval)
            if not self._transport.is_active():
                return
            question = Thread(target=self._ask, name="tunnel-alive", daemon=True)
            question.start()
            while question.is_alive():
                heard = self._transport.packetizer.heard
                question.join(patience)
                if question.is_alive() and self._transport.packetizer.heard == heard:
                    self._transport.close()
                    question.join(JOIN_SECONDS)

    def close(self) -> None:
        """End it; what goes through it is cut off."""
        self._opened.close()

    def _ask(self) -> None:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):  # it ends: seen above
            self._transport.global_request("keepalive@openssh.com", wait=True)


class _Hearing(paramiko.Packetizer):  # type: ignore[misc]
    """Counts what comes from the gateway."""

    heard = 0

    def read_message(self) -> Any:
        message = super().read_message()
        self.heard += 1
        return message


@contextmanager
def _transport(carrier: Any, timeout: float) -> Iterator[paramiko.Transport]:
    """A transport that has not begun to speak; at the end of the block it and its thread ended."""
    transport = paramiko.Transport(carrier, packetizer_class=_Hearing)
    transport.set_log_channel(PROTOCOL_LOG)
    transport.auth_timeout = timeout
    # Longer than the key exchange is waited for, whose end says more.
    transport.banner_timeout = transport.handshake_timeout = 2 * timeout
    try:
        yield transport
    finally:
        transport.close()
        transport.packetizer.complete_handshake()  # a failed one's timer would hold up the exit
        if transport.is_alive():
            transport.join(JOIN_SECONDS)


def _check_host_key(transport: paramiko.Transport, gateway: Gateway, entry: Entry) -> None:
    """Exchange keys and check who is there; nothing of ours has been sent before."""
    try:
        facts = known(gateway.name, gateway.known_hosts)
    except OSError as error:
        raise TunnelFailed(f"Known host keys cannot be read: {error}") from None
    _prefer_known(transport, facts)
    key = _exchange(transport, gateway, entry.timeout)
    try:
        facts.check(key)
    except HostKeyUnknown:
        if not entry.accept_new:
            raise
        try:
            facts.add(key)
        except OSError as error:
            raise TunnelFailed(f"The host key of {facts.name} cannot be kept: {error}") from None
        log.warning(
            "The host key of %s is new: added %s to %s", facts.name, key.fingerprint, facts.file
        )


def _prefer_known(transport: paramiko.Transport, facts: Known) -> None:
    """Ask for a key of a known type first: a gateway has several, of which one may be known."""
    options = transport.get_security_options()
    kinds = {a for key in facts.keys for a in ALGORITHMS.get(key.kind, (key.kind,))}
    options.key_types = sorted(options.key_types, key=lambda kind: kind not in kinds)


def _exchange(transport: paramiko.Transport, gateway: Gateway, timeout: float) -> HostKey:
    """The host key that the gateway has proved to own."""
    silent = False
    try:
        transport.start_client(timeout=timeout)
        silent = True  # unless there is a key: it returns without one when the time is over
        key = transport.get_remote_server_key()
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise GatewayTooOld(
            f"{gateway} and this machine have no algorithm in common ({error}). The gateway is "
            "probably an old one that knows SHA-1 only (ssh-rsa, diffie-hellman-group14-sha1), "
            "which paramiko no longer speaks: bring its OpenSSH to 7.2 or newer with an ed25519 "
            "host key, or let an ssh that still speaks it make the tunnel (ssh -N -L "
            f"8000:HOST:PORT -o HostKeyAlgorithms=+ssh-rsa {gateway.user}@{gateway.host})"
        ) from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        why = f"says nothing within {timeout:g} s" if silent else f"ends the connection ({error})"
        raise GatewayUnreachable(
            f"{with_port(gateway.host, gateway.port)} takes connections but {why}: is that the "
            "port of an SSH server, and does it let this machine in?"
        ) from None
    return HostKey(kind=key.get_name(), blob=key.asbytes())


@contextmanager
def _carrier(gateway: Gateway, entry: Entry) -> Iterator[Any]:
    """What carries the bytes to the gateway: a socket, a command, or a channel of another one."""
    place = (gateway.host, gateway.port)
    if gateway.jump is not None:
        session = Session.open(gateway.jump, entry)
        with contextlib.closing(session):
            yield session.channel(place, ("127.0.0.1", 0), entry.timeout)
    elif gateway.command is not None:
        with _command(gateway.command) as connection:
            yield connection
    else:
        with _connection(gateway, entry.timeout) as connection:
            yield connection


def _connection(gateway: Gateway, timeout: float) -> socket.socket:
    """A TCP connection with the gateway."""
    place = with_port(gateway.host, gateway.port)
    try:
        connection = socket.create_connection((gateway.host, gateway.port), timeout=timeout)
    except socket.gaierror:
        raise GatewayUnreachable(
            f"The name {gateway.host} does not resolve: is it right, and known on this machine "
            "(DNS, or a Host of that name in the ssh config)?"
        ) from None
    except ConnectionRefusedError:
        raise GatewayUnreachable(
            f"{place} refuses connections: does an SSH server run there, on that port?"
        ) from None
    except TimeoutError:
        raise GatewayUnreachable(
            f"{place} does not answer within {timeout:g} s: is the machine on, and no firewall "
            "between?"
        ) from None
    except (OSError, UnicodeError) as error:
        raise GatewayUnreachable(f"{place} cannot be reached: {error}") from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextmanager
def _command(command: str) -> Iterator[socket.socket]:
    """A connection with a command's standard input and output: ssh's ProxyCommand."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            # The user's own command, run as ssh runs it.
            process = subprocess.Popen(  # nosec B603
                [os.environ.get("SHELL", "/bin/sh"), "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,  # Ctrl-C ends the tunnel, which then ends the command
            )
        try:
            yield ours
        finally:
            process.terminate()
            try:
                process.wait(JOIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
