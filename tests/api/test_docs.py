"""The pages of the OpenAPI document are whole without the internet."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.api.wire import Wire
from tests.support import missing

PAGES = ("/docs", "/redoc")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_nothing_from_elsewhere(wire: Wire, page: str) -> None:
    reply = wire.client.get(page)
    assert reply.status_code == 200
    loaded = re.findall(r"""(?:src|href|spec-url)=["']([^"']+)|url: '([^']+)""", reply.text)
    urls = [first or second for first, second in loaded]
    assert len(urls) >= 3
    for url in urls:
        assert url.startswith("/")
        assert wire.client.get(url).status_code == 200
    assert "//" not in re.sub(r"<!--.*?-->|//[ \w]", "", reply.text, flags=re.S)
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_the_document_has_the_version_that_the_server_runs(wire: Wire) -> None:
    served = wire.client.get("/openapi.json").json()["info"]["version"]
    assert served == wire.client.get("/optunapi/v1/version").json()["optunapi"]


def test_the_assets_are_those_files_alone(wire: Wire) -> None:
    for path in ("", "/", "/../core.py", "/%2e%2e/core.py", "/none.js"):
        assert wire.client.get(f"/docs/assets{path}").status_code == 404
    reply = wire.client.post("/docs/assets/swagger-ui.css")
    assert (reply.status_code, reply.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("page", "shown"), [("/docs", "opblock-summary-path"), ("/redoc", "data-section-id")]
)
def test_a_browser_without_a_network_shows_every_route(
    wire: Wire, tmp_path: Path, page: str, shown: str
) -> None:
    chromium = shutil.which("chromium") or missing("chromium is not installed")
    run = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            f"--user-data-dir={tmp_path}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--virtual-time-budget=60000",
            "--dump-dom",
            f"{wire.client.base_url}".rstrip("/") + page,
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert run.stdout.count(shown) > 20
    assert "/optunapi/v1/studies" in run.stdout or "list_studies" in run.stdout
