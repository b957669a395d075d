"""Results on disk: half-written, shared by processes, on a full disk, across restarts."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optunapi import Client, Study
from optunapi.client.spool import Spool
from optunapi.client.spool_folders import SpoolFolder, spool_folders
from optunapi.errors import ServerUnavailable
from tests.client.outage import tell_over_an_outage
from tests.client.proxy import Fault, Proxy
from tests.support import ROOT, Server, clean_environment, missing, scaled


def waiting(spool: Path) -> list[Path]:
    return sorted(spool.glob("*/*.json"))


def keep(study: Study, proxy: Proxy, count: int) -> None:
    """Keep `count` results for the proxy's server; the value of trial n is n."""
    through = Client(proxy.url, timeout=5, retry_for=0).study(study.name)
    for trial in through.ask_batch(count):
        proxy.disturb("", "reset", "reset")  # those kept before, and this one
        with pytest.warns(UserWarning, match="is kept in"):
            trial.tell(trial.number)
        proxy.calm()


GOOD = {"study": "s", "number": 0, "params": {}, "created_at": None, "body": {"state": "fail"}}
NOT_TELLS = {
    "nothing": "",
    "half of one": json.dumps(GOOD)[:40],
    "no object": "[]",
    "a number": "7",
    "too deep": "[" * 200_000,
    "no text": b"\xff\xfe\x00\x01",
    "a part missing": json.dumps({"study": "s", "number": 0}),
    "a study that is none": json.dumps({**GOOD, "study": "../../tokens"}),
    "a study by number": json.dumps({**GOOD, "study": 7}),
    "a number that is none": json.dumps({**GOOD, "number": "0"}),
    "parameters that are none": json.dumps({**GOOD, "params": ["x"]}),
    "a body that is none": json.dumps({**GOOD, "body": "complete"}),
    "half of a pair": json.dumps({**GOOD, "study": "\ud800"}),
    "half of a pair in the body": json.dumps({**GOOD, "body": {"reason": "\ud800"}}),
    "a number of a million digits": json.dumps(GOOD).replace(": 0", ": " + "9" * 1_000_000),
    "a value that JSON has not": json.dumps({**GOOD, "body": {"values": [float("nan")]}}),
}


@pytest.mark.parametrize("content", NOT_TELLS.values(), ids=list(NOT_TELLS))
def test_a_file_that_is_not_a_tell_is_set_aside_and_the_next_ones_are_delivered(
    study: Study, proxy: Proxy, spool: Path, content: str | bytes
) -> None:
    keep(study, proxy, 1)
    (kept,) = waiting(spool)
    bad = kept.with_name(f"{0:020d}-bad.json")
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.warns(UserWarning, match="cannot be read"):
        Client(proxy.url)
    assert study.trial(0).values == [0.0]
    assert [path.name for path in spool.glob("*/*.refused")] == [f"{0:020d}-bad.refused"]
    assert not waiting(spool)


def test_a_file_that_cannot_be_opened_stays_and_the_next_ones_are_delivered(
    study: Study, proxy: Proxy, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(study, proxy, 1)
    (kept,) = waiting(spool)
    unreadable = kept.with_name(f"{0:020d}-bad.json")
    unreadable.mkdir()  # root may read any file
    Client(proxy.url)
    assert study.trial(0).values == [0.0]
    assert waiting(spool) == [unreadable]
    assert "stays: " in caplog.text


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(LEAVES, lambda each: st.lists(each) | st.dictionaries(st.text(), each))
FIELDS = st.sampled_from([*GOOD, "study_uid", "server", "url", "format"])


@settings(max_examples=scaled(20, 300), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    changed=st.dictionaries(FIELDS, VALUES), start=st.integers(0, 400), lost=st.binary(max_size=40)
)
def test_whatever_a_file_contains_a_client_is_made_and_the_next_result_is_delivered(
    changed: dict[str, Any], start: int, lost: bytes, study: Study, proxy: Proxy, spool: Path
) -> None:
    keep(study, proxy, 1)
    (kept,) = waiting(spool)
    content = json.dumps(json.loads(kept.read_bytes()) | changed).encode()
    if not changed:
        content = content[:start] + lost + content[start + len(lost) :]
    kept.with_name(f"{0:020d}-bad.json").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Client(proxy.url)
    assert [path.name for path in waiting(spool)] in ([], [f"{0:020d}-bad.json"])
    assert all(trial.state != "running" for trial in study.trials())
    shutil.rmtree(spool)


def test_a_complete_file_whose_process_died_before_it_had_its_name_is_delivered(
    study: Study, proxy: Proxy, spool: Path
) -> None:
    keep(study, proxy, 2)
    old, new = waiting(spool)
    for path in (old, new):
        path.rename(path.with_suffix(".part"))
    an_hour_ago = time.time() - 3601
    os.utime(old.with_suffix(".part"), (an_hour_ago, an_hour_ago))
    Client(proxy.url)
    assert [trial.values for trial in study.trials()] == [[0.0], None]
    assert new.with_suffix(".part").exists()


def test_a_delivery_whose_reply_was_lost_is_repeated_without_harm(
    study: Study, proxy: Proxy, spool: Path
) -> None:
    keep(study, proxy, 2)
    proxy.disturb("/0/tell", "lose-reply")
    Client(proxy.url)
    assert len(waiting(spool)) == 2
    proxy.disturb("/1/tell", "repeat")
    Client(proxy.url)
    assert not list(spool.glob("*/*.*s*"))  # neither kept nor set aside
    assert [trial.values for trial in study.trials()] == [[0.0], [1.0]]


def python(code: str, *words: str, **options: Any) -> "subprocess.Popen[str]":
    """Another process that shares this one's spool."""
    environment = clean_environment(OPTUNAPI_SPOOL=os.environ["OPTUNAPI_SPOOL"])
    command = [sys.executable, "-W", "error", "-c", code, *words]
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **options)


def test_processes_that_share_a_spool_deliver_each_result_once(
    study: Study, proxy: Proxy, spool: Path
) -> None:
    keep(study, proxy, 20)
    proxy.seen.clear()
    # A process that finds the spool locked goes on; so each looks again until it is empty.
    code = """
import sys
from pathlib import Path
from optunapi import Client
while list(Path(sys.argv[2]).glob("*/*.json")):
    Client(sys.argv[1])
"""
    processes = [python(code, proxy.url, str(spool)) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert [trial.values for trial in study.trials()] == [[float(n)] for n in range(20)]
    assert not list(spool.glob("*/*.refused"))
    assert sum(path.endswith("/tell") for _, path in proxy.seen) == 20


KEEPER = """
import logging, sys, warnings
from optunapi import Client, OptunAPIError
warnings.simplefilter("ignore")
logging.disable()
client = Client(sys.argv[1], timeout=5, retry_for=0)
study = None
for number in range(int(sys.argv[3])):
    try:
        study = study or client.study(sys.argv[2])
        trial = study.ask(lease_seconds=3600)
    except OptunAPIError:
        continue
    trial.tell(trial.number)
"""


def test_processes_that_keep_and_deliver_in_one_folder_over_a_bad_network_lose_and_spoil_nothing(
    study: Study, proxy: Proxy, spool: Path
) -> None:
    faults: list[Fault] = ["reset", "lose-reply", "bad-gateway", "repeat", "truncate"]
    rng = random.Random(7)
    count = scaled(8, 100)
    proxy.disturb("/tell", *rng.choices(faults, k=6 * count))
    proxy.disturb("/ping", *rng.choices(faults, k=count))
    processes = [python(KEEPER, proxy.url, study.name, str(count)) for _ in range(4)]
    assert [process.wait(300) for process in processes] == [0] * 4
    proxy.calm()
    while waiting(spool):
        Client(proxy.url)
    assert not list(spool.glob("*/*.refused"))
    trials = list(study.trials())
    assert [trial.values for trial in trials] == [[float(trial.number)] for trial in trials]
    assert len(trials) >= count


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        missing("a small disk needs root and mount")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "optunapi-test", str(folder)]
    if error := subprocess.run(mount, capture_output=True, check=False).stderr:
        missing(f"a small disk cannot be mounted here: {error.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_without_a_disk_that_is_not_full_the_result_is_in_the_error_and_nothing_half_written_is_left(
    study: Study, proxy: Proxy, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTUNAPI_SPOOL", str(small_disk / "spool"))
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    through = Client(proxy.url, timeout=5, retry_for=0).study(study.name)
    first, second, third = through.ask_batch(3)
    proxy.disturb("/tell", "reset")
    with pytest.warns(UserWarning, match="is kept in"):
        first.tell(0.25)
    free = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(free.f_bavail * free.f_bsize))

    proxy.disturb("", "reset")
    with pytest.raises(ServerUnavailable) as raised:
        second.tell(0.5)
    assert "'values': [0.5]" in raised.value.__notes__[0]
    assert "No space left" in raised.value.__notes__[0]
    assert len(waiting(small_disk / "spool")) == 1
    assert not list(small_disk.glob("spool/*/*.part"))

    assert second.tell(0.5).values == [
        0.5
    ]  # the kept result is delivered first, from the full disk
    assert study.trial(0).values == [0.25]
    assert third.tell(0.75).values == [0.75]
    assert not waiting(small_disk / "spool")


def test_a_later_process_delivers_a_result_whose_server_and_trainer_have_ended(
    tmp_path: Path, spool: Path
) -> None:
    (tmp_path / "config").mkdir()
    tell_over_an_outage(sys.executable, tmp_path, spool, ROOT)


@pytest.mark.parametrize(
    ("settings", "folder"),
    [
        ({"OPTUNAPI_SPOOL": "/a/b", "XDG_STATE_HOME": "/c"}, "/a/b"),
        ({"OPTUNAPI_SPOOL": "~/kept", "HOME": "/d"}, "/d/kept"),
        ({"OPTUNAPI_SPOOL": "kept"}, f"{Path.cwd()}/kept"),
        ({"XDG_STATE_HOME": "/c"}, "/c/optunapi/spool"),
        ({"HOME": "/d"}, "/d/.local/state/optunapi/spool"),
    ],
)
def test_results_are_kept_where_the_user_says_or_in_the_state_directory(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], folder: str
) -> None:
    for name in ("OPTUNAPI_SPOOL", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert spool_folders()[0].path == Path(folder)


@pytest.mark.parametrize("url", ["s3://bucket/x", "gs://bucket", "file:///x"])
def test_a_url_is_no_folder_for_results_and_the_client_says_so_when_it_is_made(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("OPTUNAPI_SPOOL", url)
    with pytest.raises(
        ValueError, match=f"OPTUNAPI_SPOOL: '{url}' is a URL, which is not supported"
    ):
        Client("http://head:8000")


def test_each_server_has_a_spool_folder_of_its_own(server: Server, tmp_path: Path) -> None:
    urls = ("http://head:8000", "http://head:8001", "https://head:8000", "http://head:8000/a")
    here = [SpoolFolder(path=tmp_path)]
    assert len({tuple(Spool(url, here).of_server(None)) for url in urls}) == len(urls)
    assert Client(server.url).url == server.url
