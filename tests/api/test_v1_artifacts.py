"""Artifacts over v1: streamed, kept whole or not at all, never shown as a page."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import optuna
import pytest
from fastapi import FastAPI

from optunapi.app import create_app
from optunapi.engine.catalog import Catalog
from optunapi.engine.trials.artifacts import Artifacts
from optunapi.errors import StorageUnavailable
from optunapi.settings import Settings
from tests.api.conftest import Refused
from tests.api.wire import SPACE, V1, Wire, problem, wire_of

Message = dict[str, Any]


def place(name: str, number: int = 0, filename: str = "model.pt") -> str:
    return f"/studies/{name}/trials/{number}/artifacts/{filename}"


def put(wire: Wire, name: str, content: bytes = b"hello", **where: Any) -> httpx.Response:
    return wire.request("PUT", place(name, **where), content=content)


def items(wire: Wire, name: str, number: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = wire.ok("GET", f"/studies/{name}/trials/{number}/artifacts")[
        "items"
    ]
    return found


def files(home: Path) -> list[str]:
    """Every file in the folder, finished or not."""
    return sorted(p.name for p in (home / "db" / "artifacts").rglob("*") if p.is_file())


def ids(wire: Wire, name: str, number: int = 0) -> list[str]:
    return [item["artifact_id"] for item in items(wire, name, number)]


@pytest.fixture
def name(wire: Wire) -> str:
    """A study with trial 0 running."""
    name = wire.put()
    wire.ask(name)
    return name


def test_a_file_comes_back_as_it_was_with_its_checksum(wire: Wire, name: str) -> None:
    content = bytes(range(256)) * 20_000
    kept = put(wire, name, content)
    assert kept.status_code == 201
    assert kept.headers["Cache-Control"] == "no-store"
    digest = hashlib.sha256(content).hexdigest()
    assert (kept.json()["size"], kept.json()["sha256"]) == (len(content), digest)
    assert items(wire, name) == [kept.json()]
    got = wire.request("GET", place(name))
    assert got.content == content
    assert got.headers["Content-Length"] == str(len(content))
    assert got.headers["ETag"] == f'"{digest}"'


def test_a_file_is_for_saving_and_never_a_page(wire: Wire, name: str) -> None:
    put(wire, name, b"<script>alert(1)</script>", filename="page.html")
    headers = wire.request("GET", place(name, filename="page.html")).headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''page.html"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("filename", ["a b.txt", "ü.pt", 'a"b', "a;b", "x" * 255, "a..b", "%41"])
def test_any_plain_name_is_kept_as_it_is(wire: Wire, name: str, filename: str) -> None:
    path = place(name, filename=quote(filename, safe=""))
    assert wire.request("PUT", path, content=b"x").status_code == 201
    (item,) = items(wire, name)
    assert item["filename"] == filename
    got = wire.request("GET", path)
    assert got.content == b"x"
    assert "\n" not in got.headers["Content-Disposition"]
    assert filename in ("a..b", "x" * 255) or filename not in got.headers["Content-Disposition"]


@pytest.mark.parametrize("filename", [".hidden", "%2E%2E", "a%5Cb", "a%00b", "a%0Ab", "x" * 256])
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_a_name_that_could_lead_elsewhere_is_refused(
    refused: Refused, method: str, filename: str
) -> None:
    document = refused(method, place("{s}", filename=filename), 422, "request-invalid")
    assert document["errors"][0]["location"] == ["path", "filename"]


@pytest.mark.parametrize("filename", ["a%2Fb", "%2e%2e%2fm.yaml", "a/b"])
def test_a_name_with_a_slash_is_no_address(refused: Refused, filename: str) -> None:
    refused("PUT", place("{s}", filename=filename), 404, "route-not-found", content=b"x")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_is_not_there_is_not_found(refused: Refused, method: str) -> None:
    refused(method, place("{s}"), 404, "artifact-not-found")
    refused(method, place("{s}", 99), 404, "trial-not-found")
    refused(method, place("nobody"), 404, "study-not-found")


def test_nothing_is_kept_with_a_trial_that_is_not_there(wire: Wire, refused: Refused) -> None:
    before = files(wire.home)
    refused("PUT", place("{s}", 99), 404, "trial-not-found", content=b"x")
    refused("PUT", place("nobody"), 404, "study-not-found", content=b"x")
    refused("GET", "/studies/{s}/trials/99/artifacts", 404, "trial-not-found")
    assert files(wire.home) == before


def test_a_study_never_asked_from_has_none_and_gets_no_file(wire: Wire) -> None:
    name = wire.configure("x: {type: float, low: 0, high: 1}")
    with wire.unchanged():
        wire.refused("PUT", place(name), 404, "trial-not-found", content=b"x")
        assert wire.ok("DELETE", f"/studies/{name}/artifacts?older_than=0")["deleted"] == 0


def test_a_finished_trial_takes_files_too(wire: Wire, name: str) -> None:
    trial = wire.tell(name, 0, value=1)
    assert put(wire, name).status_code == 201
    assert wire.trial(name, 0) == trial
    (item,) = items(wire, name)
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{wire.home}/db/{name}.db")
    (meta,) = optuna.artifacts.get_all_artifact_meta(study.trials[0], storage=study._storage)
    assert (meta.filename, meta.artifact_id) == ("model.pt", item["artifact_id"])
    store = optuna.artifacts.FileSystemArtifactStore(wire.home / "db" / "artifacts")
    with store.open_reader(meta.artifact_id) as file:
        assert file.read() == b"hello"


def test_the_same_name_again_replaces_and_the_former_bytes_go(wire: Wire, name: str) -> None:
    first = put(wire, name, b"one").json()
    put(wire, name, b"other", filename="other")
    again = put(wire, name, b"two!")
    assert again.status_code == 200
    assert {item["filename"]: item["size"] for item in items(wire, name)} == {
        "other": 5,
        "model.pt": 4,
    }
    assert wire.request("GET", place(name)).content == b"two!"
    assert first["artifact_id"] not in files(wire.home)
    assert again.json()["artifact_id"] in files(wire.home)


def test_deleting_one_leaves_the_others(wire: Wire, name: str) -> None:
    gone = put(wire, name).json()["artifact_id"]
    kept = put(wire, name, filename="kept").json()["artifact_id"]
    deleted = wire.request("DELETE", place(name))
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert [item["filename"] for item in items(wire, name)] == ["kept"]
    assert gone not in files(wire.home)
    assert kept in files(wire.home)
    wire.refused("GET", place(name), 404, "artifact-not-found")
    wire.refused("DELETE", place(name), 404, "artifact-not-found")


def test_an_empty_file_is_a_file(wire: Wire, name: str) -> None:
    assert put(wire, name, b"").json()["size"] == 0
    assert wire.request("GET", place(name)).content == b""


def test_bytes_that_are_known_are_not_sent_again(wire: Wire, name: str) -> None:
    put(wire, name)
    etag = wire.request("GET", place(name)).headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = wire.request("GET", place(name), headers={"If-None-Match": known})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["ETag"] == etag
    other = wire.request("GET", place(name), headers={"If-None-Match": '"other"'})
    assert other.content == b"hello"


def test_a_deleted_studys_files_go_with_it(wire: Wire, name: str) -> None:
    put(wire, name)
    put(wire, name, filename="other")
    present = set(ids(wire, name))
    assert present <= set(files(wire.home))
    wire.ok("DELETE", f"/studies/{name}?force=true")
    assert not present & set(files(wire.home))


def test_a_busy_studys_files_stay(wire: Wire, name: str) -> None:
    put(wire, name)
    wire.refused("DELETE", f"/studies/{name}", 409, "study-busy")
    assert wire.request("GET", place(name)).content == b"hello"


def test_files_are_there_after_a_restart(tmp_path: Path) -> None:
    with wire_of(tmp_path) as wire:
        name = wire.put()
        wire.ask(name)
        put(wire, name)
        before = items(wire, name)
    with wire_of(tmp_path) as wire:
        assert items(wire, name) == before
        assert wire.request("GET", place(name)).content == b"hello"


def test_a_file_that_was_lost_from_the_folder_is_not_found(wire: Wire, name: str) -> None:
    put(wire, name)
    (wire.home / "db" / "artifacts" / ids(wire, name)[0]).unlink()
    document = wire.refused("GET", place(name), 404, "artifact-not-found")
    assert str(wire.home) not in document["detail"]
    wire.ok("DELETE", place(name))


def test_what_optuna_uploaded_has_its_size_and_no_checksum(
    wire: Wire, name: str, tmp_path: Path
) -> None:
    (tmp_path / "plot.png").write_bytes(b"12345")
    folder = wire.home / "db" / "artifacts"
    folder.mkdir(exist_ok=True)
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{wire.home}/db/{name}.db")
    optuna.artifacts.upload_artifact(
        artifact_store=optuna.artifacts.FileSystemArtifactStore(folder),
        file_path=str(tmp_path / "plot.png"),
        study_or_trial=study.trials[0],
        storage=study._storage,
    )
    wire.ok("PATCH", f"/studies/{name}/trials/0", json={"user_attrs": {"a": 1}})
    (item,) = items(wire, name)
    assert (item["filename"], item["size"], item["sha256"]) == ("plot.png", 5, None)
    got = wire.request("GET", place(name, filename="plot.png"))
    assert got.content == b"12345"
    assert "ETag" not in got.headers


# Limits


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A server that allows 100 bytes a file and 250 a study."""
    home = tmp_path_factory.mktemp("small")
    with wire_of(home, max_artifact=100, max_study_artifacts=250) as wire:
        yield wire


@contextmanager
def keeping(wire: Wire) -> Iterator[str]:
    """A new study's name; refused requests must leave the study and the folder unchanged."""
    name = wire.put()
    wire.ask(name)
    for filename in ("a", "b"):
        assert put(wire, name, b"x" * 100, filename=filename).status_code == 201
    before = files(wire.home)
    with wire.unchanged(name):
        yield name
    assert files(wire.home) == before


def chunked(size: int) -> Iterator[bytes]:
    """A body without a Content-Length."""
    yield from [b"x"] * size


def test_a_file_over_the_limit_is_refused_announced_or_not(small: Wire) -> None:
    for content in (b"x" * 101, chunked(101)):
        with keeping(small) as name:
            problem(
                small.request("PUT", place(name, filename="a"), content=content), 413, "too-large"
            )


def test_a_full_study_takes_no_more_announced_or_not(small: Wire) -> None:
    for content in (b"x" * 51, chunked(51)):
        with keeping(small) as name:
            response = small.request("PUT", place(name, filename="c"), content=content)
            assert "250" in problem(response, 413, "too-large")["detail"]
    assert put(small, name, b"x" * 50, filename="c").status_code == 201
    assert put(small, name, b"x" * 100, filename="a").status_code == 200  # replaces itself


def test_a_refused_upload_is_told_the_limit_and_the_setting(small: Wire) -> None:
    name = small.put()
    small.ask(name)
    for content, size in ((b"x" * 101, "101 bytes"), (chunked(101), "more than 100 bytes")):
        response = small.request("PUT", place(name, filename="a"), content=content)
        detail = problem(response, 413, "too-large")["detail"]
        assert size in detail
        assert "100" in detail
        assert "OPTUNAPI_MAX_ARTIFACT" in detail
    for filename in ("a", "b", "c"):
        response = put(small, name, b"x" * 90, filename=filename)
    detail = problem(response, 413, "too-large")["detail"]
    assert "for 90 bytes" in detail
    assert "250 bytes together" in detail
    assert "OPTUNAPI_MAX_STUDY_ARTIFACTS" in detail


def test_two_uploads_at_once_do_not_pass_the_limit_together(small: Wire) -> None:
    with keeping(small) as name:
        pass
    barrier = threading.Barrier(4)

    def upload(number: int) -> int:
        def body() -> Iterator[bytes]:
            yield b"x" * 10
            barrier.wait(30)  # each has passed the check before the upload
            yield b"x" * 30

        path = place(name, filename=f"c{number}")
        return small.request("PUT", path, content=body()).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(upload, range(4)))
    assert statuses == [201, 413, 413, 413]
    assert sum(item["size"] for item in items(small, name)) == 240
    assert set(ids(small, name)) <= set(files(small.home))


def test_two_uploads_of_one_name_at_once_leave_one(wire: Wire, name: str) -> None:
    before = set(files(wire.home))
    barrier = threading.Barrier(4)

    def upload(number: int) -> int:
        def body() -> Iterator[bytes]:
            barrier.wait(30)
            yield bytes([number]) * 1000

        return wire.request("PUT", place(name), content=body()).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(upload, range(4)))
    assert statuses == [200, 200, 200, 201]
    (item,) = items(wire, name)
    assert set(files(wire.home)) - before == {item["artifact_id"]}
    content = wire.request("GET", place(name)).content
    assert hashlib.sha256(content).hexdigest() == item["sha256"]


# Events during a transfer: the test plays the network.


class Line:
    """One request to an application without a socket; `steps` yields the pieces of the body."""

    def __init__(self, app: FastAPI, method: str, path: str) -> None:
        self.sent: list[Message] = []
        self._app = app
        self._scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": V1 + path,
            "raw_path": (V1 + path).encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"test")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 1),
        }

    async def run(
        self,
        pieces: AsyncIterator[bytes],
        on_body: Callable[[], Awaitable[None]] | None = None,
        *,
        cut: bool = False,
    ) -> None:
        ended = False

        async def receive() -> Message:
            nonlocal ended
            async for piece in pieces:
                return {"type": "http.request", "body": piece, "more_body": True}
            if cut:
                return {"type": "http.disconnect"}
            if ended:
                await asyncio.Event().wait()  # the client stays connected and sends nothing more
            ended = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            self.sent.append(message)
            if on_body is not None and message["type"] == "http.response.body":
                await on_body()

        await self._app(self._scope, receive, send)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent)


@contextmanager
def application(home: Path) -> Iterator[tuple[FastAPI, Catalog]]:
    """An application whose study `s` has trial 0 running, with `old` kept as `model.pt`."""
    (home / "config").mkdir()
    with wire_of(home) as wire:
        assert wire.request("PUT", "/studies/s", json=SPACE).status_code == 201
        wire.ask("s")
        put(wire, "s", b"old" * 300_000)
    app = create_app(Settings(home=home))
    catalog: Catalog = app.state.catalog
    catalog.open()
    try:
        yield app, catalog
    finally:
        catalog.close()


async def pieces(*parts: bytes, then: Callable[[], object] = lambda: None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    then()


def test_an_upload_that_is_cut_off_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    with application(tmp_path) as (app, _):
        before = files(tmp_path)
        seen: list[list[str]] = []
        for filename in ("model.pt", "other"):
            upload = Line(app, "PUT", place("s", filename=filename))
            half = pieces(b"x" * 3_000_000, then=lambda: seen.append(files(tmp_path)))
            asyncio.run(upload.run(half, cut=True))
            assert files(tmp_path) == before
        assert [len(found) for found in seen] == [2, 2], "the first bytes are on the disk"
        listing = Line(app, "GET", "/studies/s/trials/0/artifacts")
        asyncio.run(listing.run(pieces()))
        assert b'"size":900000' in listing.body
        assert listing.body.count(b"artifact_id") == 1


def test_an_upload_to_a_study_that_is_deleted_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    with application(tmp_path) as (app, catalog):
        upload = Line(app, "PUT", place("s", filename="other"))
        asyncio.run(
            upload.run(pieces(b"x" * 3_000_000, then=lambda: catalog.delete("s", force=True)))
        )
        assert upload.status == 404
        assert files(tmp_path) == []


@pytest.mark.parametrize("reached_the_disk", [True, False])
def test_a_refused_upload_keeps_its_file_if_the_change_reached_the_disk_and_else_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached_the_disk: bool
) -> None:
    add = Artifacts.add

    def refused(*args: Any) -> None:
        if reached_the_disk:
            add(*args)
        raise StorageUnavailable("the disk failed just now")

    with application(tmp_path) as (app, catalog):
        monkeypatch.setattr(Artifacts, "add", refused)
        upload = Line(app, "PUT", place("s", filename="other"))
        asyncio.run(upload.run(pieces(b"x" * 3_000_000)))
        assert upload.status == 503
        catalog.sweep(3600)
        download = Line(app, "GET", place("s", filename="other"))
        asyncio.run(download.run(pieces()))
        assert download.status == (200 if reached_the_disk else 404)
        assert len(files(tmp_path)) == (2 if reached_the_disk else 1)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_download_goes_on_with_the_bytes_it_began_with(tmp_path: Path, method: str) -> None:
    with application(tmp_path) as (app, _):
        changes: list[Line] = []

        async def change_once() -> None:
            if not changes:
                changes.append(Line(app, method, place("s")))
                await changes[0].run(pieces(*[b"new"] * (method == "PUT")))

        download = Line(app, "GET", place("s"))
        asyncio.run(download.run(pieces(), change_once))
        assert len(download.sent) > 3
        assert changes[0].status in (200, 204)
        assert download.body == b"old" * 300_000


# Pruning


def test_files_are_pruned_by_age_and_the_best_trials_keep_theirs(wire: Wire) -> None:
    name = wire.put()
    for number in range(3):
        wire.ask(name)
        put(wire, name, b"12345", number=number)
        wire.tell(name, number, value=number)
    path = f"/studies/{name}/artifacts"
    assert wire.ok("DELETE", f"{path}?older_than=3600") == {"deleted": 0, "size": 0}
    gone = {*ids(wire, name, 1), *ids(wire, name, 2)}
    assert wire.ok("DELETE", f"{path}?older_than=0&keep_best=1") == {"deleted": 2, "size": 10}
    assert [len(items(wire, name, n)) for n in range(3)] == [1, 0, 0]
    assert not gone & set(files(wire.home))
    assert wire.request("GET", place(name)).content == b"12345"


@pytest.mark.parametrize(
    "query",
    ["", "?keep_best=1", "?older_than=-1", "?older_than=inf", "?older_than=nan", "?older_than=x"]
    + [f"?older_than=0&keep_best={n}" for n in ("-1", "1001", "x", "1_0")],
)
def test_pruning_without_a_proper_age_is_refused(refused: Refused, query: str) -> None:
    refused("DELETE", f"/studies/{{s}}/artifacts{query}", 422, "request-invalid")


def test_a_page_of_another_site_changes_no_files(refused: Refused) -> None:
    elsewhere = {"Origin": "http://elsewhere.example"}
    refused("PUT", place("{s}"), 403, "cross-site", headers=elsewhere, content=b"x")
    refused("DELETE", place("{s}"), 403, "cross-site", headers=elsewhere)
    refused("DELETE", "/studies/{s}/artifacts?older_than=0", 403, "cross-site", headers=elsewhere)
