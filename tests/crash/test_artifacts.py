"""A server that is killed, or a disk that is full, during an upload leaves no file without a trial."""

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.faults import full_disk, small_disk
from tests.crash.support import PATIENCE, STUDY, kill
from tests.support import Server, running_server

TRIALS = f"/optunapi/v1/studies/{STUDY}/trials"
ARTIFACTS = f"{TRIALS}/0/artifacts"
CONTENT = os.urandom(3 * 2**20)


@contextmanager
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        yield client


def listed(client: httpx.Client) -> dict[str, Any]:
    items = client.get(ARTIFACTS).raise_for_status().json()["items"]
    return {item["filename"]: item for item in items}


def files(home: Path) -> set[str]:
    return {path.name for path in (home / "db" / "artifacts").rglob("*") if path.is_file()}


def assert_whole(client: httpx.Client, home: Path, *names: str) -> None:
    """Exactly these are listed, each is complete, and the folder holds nothing else."""
    known = listed(client)
    assert set(known) == set(names)
    assert files(home) == {item["artifact_id"] for item in known.values()}
    for name, item in known.items():
        content = client.get(f"{ARTIFACTS}/{name}").raise_for_status().content
        assert hashlib.sha256(content).hexdigest() == item["sha256"]


def wait_for_bytes(home: Path) -> None:
    """Return when an upload's first bytes are on the disk."""
    incoming = home / "db" / "artifacts" / ".incoming"
    while not any(path.stat().st_size for path in incoming.rglob("*") if path.is_file()):
        pass


def test_an_upload_cut_off_by_kill_9_leaves_nothing(home: Path) -> None:
    with running_server(home) as server, client(server) as http:
        http.post(TRIALS).raise_for_status()
        http.put(f"{ARTIFACTS}/kept", content=CONTENT).raise_for_status()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = f"PUT {ARTIFACTS}/cut HTTP/1.1\r\nHost: x\r\nContent-Length: {len(CONTENT)}\r\n"
            connection.sendall(f"{head}\r\n".encode() + CONTENT[:-1])
            wait_for_bytes(home)
            kill(server)
    assert len(files(home)) == 2
    with running_server(home) as server, client(server) as http:
        assert_whole(http, home, "kept")
        http.put(f"{ARTIFACTS}/cut", content=CONTENT).raise_for_status()
        assert_whole(http, home, "kept", "cut")


@pytest.mark.parametrize("moment", ["before its trial had it", "after"])
def test_a_server_that_died_between_file_and_trial_leaves_no_file_without_a_trial(
    home: Path, moment: str
) -> None:
    folder = home / "db" / "artifacts"
    with running_server(home) as server, client(server) as http:
        http.post(TRIALS).raise_for_status()
        http.put(f"{ARTIFACTS}/kept", content=CONTENT).raise_for_status()
        kept = listed(http)["kept"]["artifact_id"]
        kill(server)
    # What a server that dies at this moment leaves: the file is in its place, and so is its mark.
    artifact = kept if moment == "after" else "an-upload-s"
    (folder / artifact).touch()
    os.link(folder / artifact, folder / ".incoming" / STUDY / artifact)
    with running_server(home) as server, client(server) as http:
        assert_whole(http, home, "kept")


def test_an_upload_that_fills_the_disk_leaves_nothing(home: Path) -> None:
    with small_disk(home / "db", "16m"), running_server(home) as server, client(server) as http:
        http.post(TRIALS).raise_for_status()
        http.put(f"{ARTIFACTS}/kept", content=CONTENT).raise_for_status()
        refused = http.put(f"{ARTIFACTS}/large", content=CONTENT * 5)
        assert refused.status_code == 503
        assert refused.json()["code"] == "storage-unavailable"
        assert str(home) not in refused.text
        assert_whole(http, home, "kept")
        with full_disk(home / "db"):
            assert http.put(f"{ARTIFACTS}/small", content=b"x" * 10_000).status_code == 503
            assert_whole(http, home, "kept")
        # A repeated request succeeds once there is room, also if the storage had found the disk full.
        while (again := http.put(f"{ARTIFACTS}/small", content=b"x")).status_code == 503:
            pass
        assert again.status_code == 201
        assert_whole(http, home, "kept", "small")
