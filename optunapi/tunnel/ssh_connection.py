"""One SSH connection to a gateway: connect, check the host key, log in."""

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
from optunapi.tunnel.known_hosts import HostKey, KnownHost, known_host
from optunapi.tunnel.logins import Keys, log_in

PROTOCOL_LOG = "optunapi.tunnel.paramiko"
JOIN_SECONDS = 5.0
# Why a channel cannot be opened: RFC 4254, section 5.1.
PROHIBITED, UNKNOWN_CHANNEL_TYPE = 1, 3
# The signature algorithms of an RSA host key. `ssh-rsa` itself signs with SHA-1 and is not used.
ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}

log = logging.getLogger("optunapi.tunnel")
protocol_log = logging.getLogger(PROTOCOL_LOG)
if protocol_log.level == logging.NOTSET:
    # paramiko logs every failure with a traceback, and raises it too.
    protocol_log.setLevel(logging.CRITICAL)


@dataclass(frozen=True, kw_only=True)
class LoginOptions:
    """The keys to log in with, whether to add unknown host keys, and the time-out in seconds."""

    keys: Keys
    accept_new: bool
    timeout: float


class SSHConnection:
    """A logged-in SSH connection; `close` also closes the connections to its jump hosts."""

    def __init__(self, gateway: Gateway, transport: paramiko.Transport, opened: ExitStack) -> None:
        self._gateway = gateway
        self._transport = transport
        self._opened = opened

    @classmethod
    def open(cls, gateway: Gateway, options: LoginOptions) -> Self:
        """Connect, check the host key, and log in.

        Raises:
            GatewayUnreachable, GatewayTooOld, HostKeyRefused, LoginRefused; behind a jump host also
            ForwardingRefused, RemoteUnreachable.
        """
        with ExitStack() as opened:
            stream = opened.enter_context(_stream(gateway, options))
            transport = opened.enter_context(_transport(stream, options.timeout))
            _check_host_key(transport, gateway, options)
            log_in(transport, gateway, options.keys)
            return cls(gateway, transport, opened.pop_all())

    def channel(self, to: tuple[str, int], source: tuple[str, int], timeout: float) -> Any:
        """Open a connection from the gateway to host and port: a socket-like paramiko.Channel.

        Raises:
            ForwardingRefused: the gateway does not forward there.
            RemoteUnreachable: nothing answers there.
            GatewayUnreachable: the SSH connection is lost.
        """
        place = with_port(*to)
        try:
            return self._transport.open_channel("direct-tcpip", to, source, timeout=timeout)
        except paramiko.ChannelException as error:
            if error.code in (PROHIBITED, UNKNOWN_CHANNEL_TYPE):
                raise ForwardingRefused(
                    f"{self._gateway} accepts the login but does not forward to {place}: its "
                    "administrator has to allow that (AllowTcpForwarding and PermitOpen in "
                    "sshd_config; neither no-port-forwarding nor restrict in authorized_keys)"
                ) from None
            raise RemoteUnreachable(
                f"{self._gateway} works, but nothing answers at {place} behind it ({error.text}): "
                "is the server running on that port, does it listen on an address that the gateway "
                "can reach, and can the gateway resolve the name?"
            ) from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            if self._transport.is_active():
                raise RemoteUnreachable(
                    f"{self._gateway} works, but cannot connect to {place} within {timeout:g} s: "
                    "is the address right, or does a firewall block it?"
                ) from None
            raise GatewayUnreachable(
                f"The SSH connection to {self._gateway} is lost: {error}"
            ) from None

    def wait_until_lost(self, interval: float, patience: float) -> None:
        """Return when the connection has ended, or after `patience` seconds without a sign of life.

        The gateway is asked every `interval` seconds; otherwise a connection whose network went
        away would look alive. Any received packet counts, not the answer alone: the answer may be
        queued behind a large upload.
        """
        while True:
            self._transport.join(interval)
            if not self._transport.is_active():
                return
            question = Thread(target=self._ask, name="tunnel-alive", daemon=True)
            question.start()
            while question.is_alive():
                received = self._transport.packetizer.received
                question.join(patience)
                if question.is_alive() and self._transport.packetizer.received == received:
                    self._transport.close()
                    question.join(JOIN_SECONDS)

    def close(self) -> None:
        """Close the connection and cut off its channels."""
        self._opened.close()

    def _ask(self) -> None:
        # An error ends the connection, which `wait_until_lost` notices.
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self._transport.global_request("keepalive@openssh.com", wait=True)


class _CountingPacketizer(paramiko.Packetizer):  # type: ignore[misc]
    """Counts the messages received from the gateway."""

    received = 0

    def read_message(self) -> Any:
        message = super().read_message()
        self.received += 1
        return message


@contextmanager
def _transport(stream: Any, timeout: float) -> Iterator[paramiko.Transport]:
    """Yield a transport that is not started yet; leaving the block closes it and ends its thread."""
    transport = paramiko.Transport(stream, packetizer_class=_CountingPacketizer)
    transport.set_log_channel(PROTOCOL_LOG)
    transport.auth_timeout = timeout
    # Longer than the wait for the key exchange, whose error says more.
    transport.banner_timeout = transport.handshake_timeout = 2 * timeout
    try:
        yield transport
    finally:
        transport.close()
        transport.packetizer.complete_handshake()  # else a failed handshake's timer delays the exit
        if transport.is_alive():
            transport.join(JOIN_SECONDS)


def _check_host_key(transport: paramiko.Transport, gateway: Gateway, options: LoginOptions) -> None:
    """Exchange keys and check the gateway's identity. Nothing of the user's is sent before that."""
    try:
        host = known_host(gateway.name, gateway.known_hosts)
    except OSError as error:
        raise TunnelFailed(f"Known host keys cannot be read: {error}") from None
    _prefer_known(transport, host)
    key = _exchange(transport, gateway, options.timeout)
    try:
        host.check(key)
    except HostKeyUnknown:
        if not options.accept_new:
            raise
        try:
            host.add(key)
        except OSError as error:
            raise TunnelFailed(f"The host key of {host.name} cannot be saved: {error}") from None
        log.warning(
            "The host key of %s is new: added %s to %s", host.name, key.fingerprint, host.file
        )


def _prefer_known(transport: paramiko.Transport, host: KnownHost) -> None:
    """Ask for a host key of a known type first: of a gateway's several keys, one may be known."""
    security = transport.get_security_options()
    kinds = {a for key in host.keys for a in ALGORITHMS.get(key.kind, (key.kind,))}
    security.key_types = sorted(security.key_types, key=lambda kind: kind not in kinds)


def _exchange(transport: paramiko.Transport, gateway: Gateway, timeout: float) -> HostKey:
    """Exchange keys and return the host key that the gateway has proved to own."""
    is_silent = False
    try:
        transport.start_client(timeout=timeout)
        is_silent = True  # after a time-out start_client returns too; the next line then raises
        key = transport.get_remote_server_key()
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise GatewayTooOld(
            f"{gateway} and this machine have no algorithm in common ({error}). The gateway "
            "probably supports SHA-1 only (ssh-rsa, diffie-hellman-group14-sha1), which paramiko "
            "has dropped. Upgrade its OpenSSH to 7.2 or newer with an ed25519 host key, or open "
            "the tunnel with an ssh that still supports SHA-1 (ssh -N -L 8000:HOST:PORT "
            f"-o HostKeyAlgorithms=+ssh-rsa {gateway.user}@{gateway.host})"
        ) from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        why = (
            f"sends nothing within {timeout:g} s" if is_silent else f"ends the connection ({error})"
        )
        raise GatewayUnreachable(
            f"{with_port(gateway.host, gateway.port)} accepts connections but {why}: is it the "
            "port of an SSH server, and does the server allow this machine?"
        ) from None
    return HostKey(kind=key.get_name(), blob=key.asbytes())


@contextmanager
def _stream(gateway: Gateway, options: LoginOptions) -> Iterator[Any]:
    """Yield the byte stream to the gateway: a socket, a command, or a channel of its jump host."""
    if gateway.jump is not None:
        with contextlib.closing(SSHConnection.open(gateway.jump, options)) as jump:
            place = (gateway.host, gateway.port)
            yield jump.channel(place, ("127.0.0.1", 0), options.timeout)
    elif gateway.command is not None:
        with _command(gateway.command) as stream:
            yield stream
    else:
        with _tcp_connection(gateway, options.timeout) as stream:
            yield stream


def _tcp_connection(gateway: Gateway, timeout: float) -> socket.socket:
    """Open a TCP connection to the gateway."""
    place = with_port(gateway.host, gateway.port)
    try:
        connection = socket.create_connection((gateway.host, gateway.port), timeout=timeout)
    except socket.gaierror:
        raise GatewayUnreachable(
            f"The name {gateway.host} does not resolve: is it spelled correctly, and is it in DNS "
            "or a Host of the SSH configuration?"
        ) from None
    except ConnectionRefusedError:
        raise GatewayUnreachable(
            f"{place} refuses connections: is an SSH server running there, on that port?"
        ) from None
    except TimeoutError:
        raise GatewayUnreachable(
            f"{place} does not answer within {timeout:g} s: is the machine running, or does a "
            "firewall block it?"
        ) from None
    except (OSError, UnicodeError) as error:
        raise GatewayUnreachable(f"{place} cannot be reached: {error}") from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextmanager
def _command(command: str) -> Iterator[socket.socket]:
    """Yield a socket connected to a command's standard input and output: ssh's ProxyCommand."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            # The command is the user's own, and is run as ssh runs it.
            process = subprocess.Popen(  # nosec B603
                [os.environ.get("SHELL", "/bin/sh"), "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,  # Ctrl-C reaches the tunnel only, which ends the command
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
