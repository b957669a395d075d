"""Every documented way to start the server serves the same studies."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support import Server, clean_environment, running_server

STUDY = "optunapi-test"
LAUNCHES = [("optunapi", "server:optunapi"), (".", "optunapi.server:optunapi")]
IN_CHECKOUT = {"OPTUNAPI_HOME": ""}  # empty counts as unset: the server finds its home by itself


def ask(server: Server) -> None:
    """Ask for a trial and tell its score."""
    with httpx.Client(base_url=f"{server.url}/optunapi", timeout=60) as client:
        trial = client.get(f"/hparams/{STUDY}").raise_for_status().json()
        query = {"trial_id": trial["trial_id"], "score": 1.5}
        client.get(f"/score/{STUDY}", params=query).raise_for_status()


@pytest.mark.parametrize(("folder", "target"), LAUNCHES)
def test_a_checkout_is_served_from_its_own_config_and_db_whatever_the_launch_folder(
    checkout: Path, folder: str, target: str
) -> None:
    cwd = checkout / folder
    with running_server(checkout, cwd=cwd, target=target, environment=IN_CHECKOUT) as server:
        ask(server)
    assert (checkout / "db" / f"{STUDY}.db").is_file()


@pytest.mark.parametrize(("folder", "target"), LAUNCHES)
def test_reload_starts_and_serves_changed_code(checkout: Path, folder: str, target: str) -> None:
    with running_server(
        checkout,
        cwd=checkout / folder,
        target=target,
        options=("--reload",),
        environment=IN_CHECKOUT,
    ) as server:
        ask(server)
        with (checkout / "optunapi" / "server.py").open("a") as code:
            code.write("\nprint('the changed code', flush=True)\n")
        deadline = time.monotonic() + 60
        while "the changed code" not in server.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)  # the reloader polls files; there is no event to wait for
        assert "the changed code" in server.log.read_text()
        ask(server)


@pytest.fixture
def installed(checkout: Path, tmp_path: Path) -> Path:
    """A folder in which a wheel built from the checkout is installed."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index", "--no-build-isolation"]
    wheels, target = tmp_path / "wheels", tmp_path / "installed"
    subprocess.run([*pip, "wheel", *alone, "-w", wheels, checkout], check=True)
    shutil.rmtree(checkout)
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, "install", *alone, "--target", target, wheel], check=True)
    return target


def test_an_installed_wheel_serves_the_folder_it_is_started_in(installed: Path, home: Path) -> None:
    environment = clean_environment(PYTHONPATH=str(installed), OPTUNAPI_HOME="")
    with running_server(home, cwd=home, environment=environment) as server:
        ask(server)
    assert (home / "db" / f"{STUDY}.db").is_file()

    code = "import optunapi.server; print(optunapi.server.__file__)"
    imported = subprocess.check_output([sys.executable, "-c", code], cwd=home, env=environment)
    assert Path(imported.decode().strip()) == installed / "optunapi" / "server.py"
