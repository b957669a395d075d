"""`optunapi serve`: its options, and its one-line error messages."""

import datetime
import ipaddress
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import optuna
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.acceptance.commands import optunapi, serving
from tests.support import clean_environment, free_port, running_server


@dataclass(frozen=True, kw_only=True)
class Tls:
    """A self-signed certificate for 127.0.0.1, and its key."""

    certificate: Path
    key: Path


def make_tls(folder: Path, name: str, password: bytes | None = None) -> Tls:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    tls = Tls(certificate=folder / f"{name}.crt", key=folder / f"{name}.key")
    tls.certificate.write_bytes(certificate.public_bytes(pem))
    tls.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption))
    return tls


def ask(url: str) -> None:
    httpx.get(f"{url}/optunapi/hparams/optunapi-test", timeout=60).raise_for_status()


def test_a_certificate_and_its_key_make_it_https(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = make_tls(tmp_path, "server")
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.certificate))
    options = ("--tls-cert", tls.certificate, "--tls-key", tls.key)
    with serving(home, *options, scheme="https") as server:
        ask(server.url)


def test_under_a_root_path_the_pages_point_below_it(home: Path) -> None:
    with serving(home, "--root-path", "/optuna/") as server:
        ask(server.url)
        document = httpx.get(f"{server.url}/openapi.json", timeout=60).json()
    assert {"url": "/optuna"} in document["servers"]


def test_with_storage_all_studies_are_in_one_database(home: Path) -> None:
    storage = f"sqlite:///{home}/all.db"
    with serving(home, "--storage", storage) as server:
        ask(server.url)
    assert optuna.get_all_study_names(storage) == ["optunapi-test"]
    assert not list(home.glob("db/*.db"))


def test_reload_serves(home: Path) -> None:
    with serving(home, "--reload") as server:
        ask(server.url)


def test_it_says_where_the_studies_are(home: Path) -> None:
    with serving(home) as server:
        assert f"{home}/config" in server.log.read_text()
        assert f"{home}/db" in server.log.read_text()


def one_line_error(*options: str | Path, code: int, **environment: str) -> str:
    """Return the message of `serve` with these options, which must refuse to start."""
    finished = optunapi("serve", *options, **environment)
    assert finished.returncode == code
    assert finished.stdout == ""
    lines = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert "Traceback" not in finished.stderr
    return lines[0]


def test_its_log_says_once_what_draws_a_study(home: Path) -> None:
    with serving(home) as server:
        ask(server.url)
        ask(server.url)
    said = [line for line in server.log.read_text().splitlines() if "study created" in line]
    assert len(said) == 1
    assert "study=optunapi-test" in said[0]
    assert "sampler=tpe engine=rustuna" in said[0]


def test_a_port_that_is_taken_is_refused_in_a_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = one_line_error("--port", str(port), code=1)
    assert f"127.0.0.1 port {port}: Address already in use" in error


def test_an_address_of_another_machine_is_refused_in_a_line() -> None:
    assert "192.0.2.1 port 8000" in one_line_error("--host", "192.0.2.1", code=1)


def test_a_key_without_a_certificate_is_wrong_usage(tmp_path: Path) -> None:
    tls = make_tls(tmp_path, "server")
    assert "--tls-cert" in one_line_error("--tls-key", tls.key, code=2)


def test_a_certificate_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    error = one_line_error("--tls-cert", tmp_path / "none.crt", code=2)
    assert "does not exist" in error


def test_a_certificate_with_the_key_of_another_is_refused_in_a_line(tmp_path: Path) -> None:
    certificate, key = make_tls(tmp_path, "one").certificate, make_tls(tmp_path, "other").key
    error = one_line_error("--tls-cert", certificate, "--tls-key", key, code=1)
    assert str(certificate) in error


def test_an_encrypted_key_is_refused_without_asking_for_its_password(tmp_path: Path) -> None:
    tls = make_tls(tmp_path, "server", password=b"secret")
    error = one_line_error("--tls-cert", tls.certificate, "--tls-key", tls.key, code=1)
    assert "unencrypted key" in error


def test_a_root_path_without_its_slash_is_wrong_usage() -> None:
    assert "slash" in one_line_error("--root-path", "optuna", code=2)


WRONG = [
    {"OPTUNAPI_MAX_BODY": "1MB"},
    {"OPTUNAPI_ARTIFACTS": "s3://bucket/x"},
    {"OPTUNAPI_ARTIFACTS_DIR": "s3://bucket/x"},
    {"OPTUNAPI_HOME": "/nowhere/optunapi"},
    {"OPTUNAPI_STORAGE": "postgresql://user:secret@host/db"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: next(iter(wrong)))
def test_a_wrong_setting_of_the_environment_is_named(wrong: dict[str, str]) -> None:
    error = one_line_error("--port", "0", code=2, **wrong)
    assert next(iter(wrong)) in error


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: next(iter(wrong)))
def test_uvicorn_says_the_same_about_a_wrong_setting_in_a_line(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "uvicorn", "optunapi.server:optunapi", "--port", str(free_port())],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=clean_environment(**wrong),
        timeout=120,
    )
    assert finished.returncode != 0
    (line,) = finished.stderr.splitlines()
    error = one_line_error("--port", "0", code=2, **wrong)
    assert line == error.replace("Error: ", "OptunAPI cannot start: ")


def test_a_misspelt_variable_is_in_the_log_once(home: Path) -> None:
    with running_server(home, environment={"OPTUNAPI_MAXBODY": "1"}) as server:
        said = [line for line in server.log.read_text().splitlines() if "MAXBODY" in line]
    assert len(said) == 1
    assert said[0].endswith("no effect variable=OPTUNAPI_MAXBODY near=OPTUNAPI_MAX_BODY")
