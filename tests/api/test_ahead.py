"""Background work of the server: points drawn ahead after a tell, and frozen memory."""

import gc
import subprocess
import sys
from pathlib import Path

import httpx
from fastapi import FastAPI
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from optunapi.engine.samplers.native.tpe import TPE
from tests.api.server import serving
from tests.support import ROOT


def drawn_ahead(app: FastAPI, client: httpx.Client) -> int:
    """The number of the trial whose point is drawn ahead, once one is."""
    sampler = app.state.catalog.find("m")._state.derived.native
    assert isinstance(sampler, TPE)
    while (ahead := sampler._prepared) is None:
        assert client.get("/optunapi/ping").status_code == 200
    return ahead.number


def test_after_a_score_that_leaves_no_trial_running_the_next_point_is_drawn(
    client: httpx.Client, app: FastAPI
) -> None:
    for number in range(2):
        assert client.get("/optunapi/hparams/m").json()["trial_id"] == number
        client.get(f"/optunapi/score/m?trial_id={number}&score=1").raise_for_status()
        assert drawn_ahead(app, client) == number + 1


def test_after_a_tell_of_v1_too(client: httpx.Client, app: FastAPI) -> None:
    trials = "/optunapi/v1/studies/m/trials"
    for number in range(2):
        assert client.post(trials).json()["number"] == number
        client.post(f"{trials}/{number}/tell", json={"value": 1.0}).raise_for_status()
        assert drawn_ahead(app, client) == number + 1


def blas_threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_while_a_server_runs_a_draw_takes_one_core(home: Path) -> None:
    before = blas_threads()  # as many as there are cores
    with serving(home):
        assert blas_threads() == {1}
    assert blas_threads() == before


def test_a_blas_that_is_loaded_while_a_server_runs_takes_one_core_too() -> None:
    program = """
from threadpoolctl import threadpool_info
from optunapi.lifespan import one_core_a_draw
with one_core_a_draw():
    import scipy.linalg
    print(*[each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"])
"""
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert set(ran.stdout.split()) == {"1"}


def test_what_is_in_memory_is_set_aside_while_a_server_runs_and_taken_back_for_a_deleted_study(
    home: Path,
) -> None:
    with serving(home) as client:
        assert gc.get_freeze_count()
        client.get("/optunapi/hparams/m").raise_for_status()
        client.delete("/optunapi/v1/studies/m?force=true").raise_for_status()
        while gc.get_freeze_count():
            assert client.get("/optunapi/ping").status_code == 200
