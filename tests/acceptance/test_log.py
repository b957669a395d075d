"""The server's log: one line for what an operator wants to know, whatever names and reasons contain."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.commands import OPTUNAPI
from tests.acceptance.log_lines import lines_of
from tests.support import (
    Server,
    clean_environment,
    free_port,
    running_server,
    wait_until_serving,
    write_config,
)

FORMS = ("text", "json")
SPACE = {"x": {"type": "float", "low": 0, "high": 1}}
V1 = "/optunapi/v1"

# What a client may call its worker, and say of a failure: line ends of every kind, a forged line,
# a terminal's commands, quotes, and text that is written from right to left.
HOSTILE = (
    "a\nb",
    "a\r\n2026-01-01T00:00:00.000Z INFO server stopped",
    '"} {"time": "2026-01-01T00:00:00Z", "level": "info", "message": "forged"}',
    "\x1b[2J\x1b]0;title\x07",
    "a\x85b\u2028c\u2029d\x0be\x0cf",
    "study=other trial=7 worker=\"nobody\" reason='x'",
    "\u202egnp.exe",
    "größe 名 😀 \\n \\u2028",
    "\x00\x7f",
    " ",
)


@contextmanager
def serving(
    home: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run `optunapi serve` until the block ends."""
    port = free_port()
    log = home.parent / f"serve-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [OPTUNAPI, "serve", "--port", str(port), *options],
            env=clean_environment(OPTUNAPI_HOME=str(home)) | dict(environment or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_serving(url, process, log)
        yield Server(url=url, process=process, log=log)
    finally:
        process.terminate()
        process.wait(timeout=30)


class Caller:
    """Sends requests whose ids are known, and keeps the ids of the replies."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60)
        self._numbers = itertools.count()
        self.study_number = itertools.count()

    def __call__(
        self, method: str, path: str, status: int = 200, **options: Any
    ) -> tuple[str, Any]:
        """Send a request; return its id and its reply."""
        name = f"request-{next(self._numbers)}"
        headers = {"X-Request-ID": name}
        reply = self._http.request(method, f"{V1}{path}", headers=headers, **options)
        assert reply.status_code == status, reply.text
        assert reply.headers["x-request-id"] == name
        return name, reply.json() if reply.content else None

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "config").mkdir(parents=True)
    return tmp_path / "home"


Expected = dict[str, Any]


def everything(call: Caller, worker: str, reason: str) -> Iterator[Expected]:
    """Cause every event of studies and trials once; yield the line that each has to have."""
    name = f"s{next(call.study_number)}"
    trials = f"/studies/{name}/trials"
    spec = {"parameters": SPACE, "max_attempts": 2, "sampler": {"name": "random"}}

    def line(message: str, request: str | None, **fields: Any) -> Expected:
        return {"message": message, "study": name, "request_id": request} | fields

    request, _ = call("PUT", f"/studies/{name}", 201, json=spec)
    yield line("study created", request, sampler="random")
    attrs = {"note": f"{reason}{'z' * 60_000}", "n" * 500: worker.replace("\0", "")}
    request, _ = call("PATCH", f"/studies/{name}", json={"user_attrs": attrs})
    yield line("study changed", request)
    request, _ = call("PATCH", f"/studies/{name}", json={"state": "paused"})
    yield line("study paused", request)
    request, _ = call("PATCH", f"/studies/{name}", json={"state": "open"})
    yield line("study resumed", request)
    request, _ = call(
        "POST",
        f"/studies/{name}/spec",
        json={**spec, "parameters": {"x": {"type": "float", "low": 0, "high": 2}}},
    )
    yield line("study has a new specification", request)

    # Ordinary work: no line.
    call("POST", trials, 201, json={"worker": worker})
    call("POST", f"{trials}/0/report", json={"step": 1, "value": 0.5})
    call("POST", f"{trials}/0/tell", json={"value": 1})
    call("POST", f"{trials}/0/tell", json={"value": 1})
    call("GET", trials)

    request, _ = call("POST", f"{trials}/0/tell", 409, json={"value": 2})
    yield line("result refused", request, trial=0)
    call("POST", trials, 201, json={"worker": worker})
    request, _ = call("POST", f"{trials}/1/tell", json={"state": "fail", "reason": reason})
    yield line("trial failed", request, trial=1, worker=worker, reason=reason)
    call("POST", trials, 201, json={"worker": worker})
    request, _ = call("POST", f"{trials}/2/stop")
    yield line("trial asked to stop", request, trial=2, worker=worker, reason="request")
    request, _ = call("POST", f"{trials}/2/tell", json={"state": "fail", "reason": "stopped"})
    yield line("trial stopped", request, trial=2, worker=worker)
    call("POST", trials, 201, json={"worker": worker})
    request, _ = call("DELETE", f"{trials}/3")
    yield line("trial cancelled", request, trial=3, worker=worker)

    short = {"worker": worker, "lease_seconds": 0.001}
    call("POST", trials, 201, json=short)
    yield line("lease expired", None, trial=4, worker=worker)
    request, _ = call("POST", trials, 201, json={**short, "worker": f"next {worker}"[:255]})
    yield line("trial handed on", request, trial=4, former_worker=worker)
    # The second lease is the last. An ask finds it expired, or the server before it: another trial is
    # handed out.
    call("POST", trials, 201, json={"worker": worker})
    given_up = {"message": "trial given up", "study": name, "trial": 4}
    yield {**given_up, "reason": "lease-expired"}
    request, _ = call("POST", f"{trials}/4/tell", json={"value": 3})
    yield line("late result kept", request, trial=4, kept_as=6)
    call("POST", f"{trials}/5/tell", json={"value": 3})

    request, _ = call(
        "POST", f"/studies/{name}/queue", 201, json={"items": [{"params": {"x": 1}}] * 2}
    )
    yield line("trials queued", request, trials=2)
    point = {"params": {"x": 1}, "skip_if_exists": True}
    call("POST", f"/studies/{name}/queue", 201, json=point)
    request, _ = call("POST", f"{trials}/1/retry", 201)
    yield line("trials queued", request, trials=1)
    item = {"params": {"x": 1}, "value": 1}
    request, _ = call("POST", f"/studies/{name}/import", 201, json={"items": [item] * 3})
    yield line("trials imported", request, trials=3)
    call("PUT", f"{trials}/0/artifacts/model", 201, content=b"12345")
    request, _ = call("DELETE", f"/studies/{name}/artifacts?older_than=0")
    yield line("artifacts pruned", request, files=1, size=5)
    call("DELETE", f"/studies/{name}/artifacts?older_than=0")
    for number in (7, 8, 9):
        request, _ = call("DELETE", f"/studies/{name}/queue/{number}", 204)
        yield line("trial cancelled", request, trial=number)

    request, _ = call("PATCH", f"/studies/{name}", json={"state": "finished"})
    yield line("study finished", request, reason="stopped")
    request, _ = call("DELETE", f"/studies/{name}", 204)
    yield line("study deleted", request)


def matches(found: Mapping[str, Any], expected: Expected) -> bool:
    return all(
        found.get(name) == value
        or (name in ("reason", "worker", "former_worker") and name in found)
        for name, value in expected.items()
        if value is not None
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_event_has_exactly_one_line_whatever_names_and_reasons_contain(
    home: Path, form: str
) -> None:
    hostile = (*HOSTILE, "x" * 250)
    expected: list[Expected] = []
    with serving(home, environment={"OPTUNAPI_LOG_FORMAT": form}) as server:
        call = Caller(server.url)
        for text in hostile:
            reason = text if len(text) < 250 else "y" * 10_000
            expected += everything(call, text, reason)
        call.close()
    lines = lines_of(server.log, form)
    assert all(line["time"].endswith("Z") for line in lines)
    assert {line["level"] for line in lines} == {"info", "warning"}
    of_studies = [line for line in lines if "study" in line]
    for wanted in expected:
        found = [line for line in of_studies if matches(line, wanted)]
        assert len(found) == 1, (wanted, found)
        for name in ("worker", "former_worker", "reason"):
            if name in wanted and len(str(wanted[name])) < 1000:
                assert found[0][name] == wanted[name]
    assert len(of_studies) == len(expected)
    messages = [line["message"] for line in lines]
    assert messages.count("server started") == messages.count("server stopped") == 1
    (started,) = (line for line in lines if line["message"] == "server started")
    assert started["address"] == server.url
    assert started["home"] == str(home)
    assert started["studies"] == 0
    assert max(len(line) for line in server.log.read_text().split("\n")) < 8000


@pytest.mark.parametrize("form", FORMS)
def test_asks_tells_and_reports_have_lines_at_debug_level_alone(home: Path, form: str) -> None:
    def work(server: Server) -> None:
        call = Caller(server.url)
        call("PUT", "/studies/s", 201, json={"parameters": SPACE})
        call("POST", "/studies/s/trials", 201, json={"worker": "w"})
        call("POST", "/studies/s/trials/0/report", json={"step": 1, "value": 0.5})
        call("POST", "/studies/s/trials/0/tell", json={"value": 1})
        call.close()

    seen = {}
    for level in ("info", "debug"):
        with serving(home, "--log-level", level, "--log-format", form) as server:
            work(server)
            httpx.delete(f"{server.url}{V1}/studies/s").raise_for_status()
        seen[level] = [x["message"] for x in lines_of(server.log, form) if "trial" in x]
    assert seen == {
        "info": [],
        "debug": ["trial handed out", "trial reported", "trial completed"],
    }


def test_a_request_has_a_line_only_if_access_lines_are_turned_on(home: Path) -> None:
    for options, count in (((), 0), (("--access-log",), 1)):
        with serving(home, *options, "--log-format", "json") as server:
            httpx.get(f"{server.url}{V1}/studies?limit=7", headers={"X-Request-ID": "mine"})
        found = [x for x in lines_of(server.log, "json") if "limit=7" in x["message"]]
        assert len(found) == count
        assert all(x["request_id"] == "mine" for x in found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("cwd", "target"), [(".", "optunapi.server:optunapi"), ("optunapi", "server:optunapi")]
)
def test_under_uvicorn_every_line_has_the_same_form_and_none_is_doubled(
    home: Path, form: str, cwd: str, target: str
) -> None:
    from tests.support import ROOT

    environment = {"OPTUNAPI_LOG_FORMAT": form}
    with running_server(home, cwd=ROOT / cwd, target=target, environment=environment) as server:
        call = Caller(server.url)
        call("PUT", "/studies/s", 201, json={"parameters": SPACE})
        call.close()
    messages = [line["message"] for line in lines_of(server.log, form)]
    assert messages.count("study created") == 1
    assert messages.count("Application startup complete.") == 1
    assert len(messages) == len(set(messages))


def test_a_log_configuration_of_the_users_own_is_left_alone(home: Path) -> None:
    config = home / "log.json"
    stream = {"class": "logging.StreamHandler", "formatter": "own"}
    content = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"own": {"format": "OWN %(name)s %(message)s"}},
        "handlers": {"own": stream},
        "root": {"handlers": ["own"], "level": "INFO"},
    }
    write_config(config, json.dumps(content))
    with running_server(home, options=("--log-config", str(config))) as server:
        call = Caller(server.url)
        call("PUT", "/studies/s", 201, json={"parameters": SPACE})
        call.close()
    lines = server.log.read_text().splitlines()
    assert all(line.startswith("OWN ") for line in lines)
    assert lines.count("OWN optunapi.events study created") == 1


def test_the_password_of_a_database_is_in_no_line(home: Path) -> None:
    url = "postgresql://optuna:hunter2@127.0.0.1:1/x?password=hunter2"
    finished = subprocess.run(
        [sys.executable, "-m", "optunapi", "serve", "--port", "0", "--storage", url],
        env=clean_environment(OPTUNAPI_HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode != 0
    assert "hunter2" not in finished.stdout + finished.stderr
