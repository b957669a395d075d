"""`optunapi serve`: run the server."""

import os
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optunapi.cli.output import CommandFailed, Exit

if TYPE_CHECKING:
    from optunapi.settings import Settings

READABLE = click.Path(path_type=Path, exists=True, dir_okay=False, readable=True)


def root_path(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the prefix in ASGI's form, without a slash at the end."""
    if value and not value.startswith("/"):
        raise click.BadParameter(f"{value!r} does not start with a slash")
    return value.rstrip("/")


def require_certificate(certificate: Path | None, key: Path | None) -> None:
    """Raise unless the two files contain a certificate and its key."""
    if certificate is None:
        if key is not None:
            raise click.UsageError("--tls-key needs --tls-cert.")
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty password keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(certificate, key, password="")  # nosec B106
    except ssl.SSLError as error:
        files = f"{certificate} and {key}" if key else f"{certificate}"
        raise CommandFailed(
            f"{files} must contain a PEM certificate and its unencrypted key: "
            f"{error.reason or error}."
        ) from None
    except OSError as error:
        raise CommandFailed(f"TLS files cannot be read: {error.strerror}.") from None


def require_free_address(host: str, port: int) -> None:
    """Raise unless a server can listen on this address now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandFailed(
                f"Cannot listen on {host} port {port}: {error.strerror}. "
                "Choose another address with --host and --port."
            ) from None


def settings_or_fail() -> "Settings":
    """Read the server's settings; raises UsageError if an environment variable is invalid."""
    from optunapi.settings import SettingsInvalid, read_settings

    try:
        return read_settings()
    except SettingsInvalid as error:
        raise click.UsageError(str(error)) from None


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 means every address of this machine.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--root-path",
    default="",
    callback=root_path,
    help="Path prefix that a proxy strips before it forwards a request, such as /optuna.",
)
@click.option(
    "--storage", metavar="URL", help="One database for all studies, instead of a file for each."
)
@click.option("--tls-cert", type=READABLE, help="Serve https with this certificate chain (PEM).")
@click.option("--tls-key", type=READABLE, help="Key (PEM), if it is not in the certificate's file.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"], case_sensitive=False),
    help="Log lines for people, or a JSON object a line.  [default: text]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
    help="What to log: debug shows every ask, tell and report.  [default: info]",
)
@click.option(
    "--access-log/--no-access-log", default=None, help="Log a line for each request.  [default: no]"
)
@click.option("--reload", is_flag=True, help="Restart when OptunAPI's own code changes.")
def serve(
    host: str,
    port: int,
    root_path: str,
    storage: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    log_format: str | None,
    log_level: str | None,
    access_log: bool | None,
    reload: bool,
) -> None:
    """Serve studies to trainers.

    By default only programs on this machine can reach the server; --host changes that. The other
    settings come from the environment (OPTUNAPI_HOME, OPTUNAPI_CONFIG_DIR, OPTUNAPI_DB_DIR …). An
    option takes precedence over its variable, OPTUNAPI_STORAGE for --storage for example.
    """
    from optunapi.telemetry.setup import set_up

    require_certificate(tls_cert, tls_key)
    require_free_address(host, port)
    given = {
        "STORAGE": storage,
        "LOG_FORMAT": log_format,
        "LOG_LEVEL": log_level,
        "ACCESS_LOG": None if access_log is None else str(access_log),
    }
    for name, value in given.items():
        if value:
            # Through the environment, because --reload builds the app in other processes.
            os.environ[f"OPTUNAPI_{name}"] = value
    settings = settings_or_fail()
    set_up(form=settings.log_format, level=settings.log_level, access_lines=settings.access_log)

    import uvicorn

    package = Path(__file__).resolve().parent.parent
    try:
        uvicorn.run(
            "optunapi.server:optunapi",
            host=host,
            port=port,
            root_path=root_path,
            ssl_certfile=tls_cert,
            ssl_keyfile=tls_key,
            reload=reload,
            reload_dirs=[str(package)] if reload else None,
            log_config=None,  # it is set up already, uvicorn's own lines included
            workers=1,  # WEB_CONCURRENCY must not apply: a database has one owner
        )
    except SystemExit as end:  # uvicorn has logged the reason; its exit codes differ from ours
        raise SystemExit(Exit.REFUSED if end.code else 0) from None
