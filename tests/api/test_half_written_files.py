"""A configuration file that is being written, over HTTP."""

import threading
from pathlib import Path

import httpx
import pytest

from optunapi.api.serving import operations
from optunapi.engine import config_files
from tests.api.wire import problem, wire_of
from tests.support import until

WHOLE = "c:\n  type: categorical\n  choices:\n    - a\n    - b\n"
HALF = WHOLE.removesuffix("    - b\n")


@pytest.mark.parametrize("path", ["/optunapi/hparams/m", "/optunapi/v1/studies/m/trials"])
def test_the_first_ask_waits_until_a_new_file_is_complete(tmp_path: Path, path: str) -> None:
    with wire_of(tmp_path) as wire:
        file = tmp_path / "config" / "m.yaml"
        file.write_text(HALF)
        replies: list[httpx.Response] = []
        method = "GET" if "hparams" in path else "POST"
        asking = threading.Thread(target=lambda: replies.append(wire.client.request(method, path)))
        asking.start()
        file.write_text(WHOLE)
        asking.join()
        assert replies[0].is_success, replies[0].text
        assert wire.study("m")["parameters"]["c"]["choices"] == ["a", "b"]


def test_a_file_that_goes_on_changing_is_told_with_when_to_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_files, "STILL_SECONDS", 3600)
    monkeypatch.setattr(operations, "WRITING_SECONDS", 0)
    with wire_of(tmp_path) as wire:
        (tmp_path / "config" / "m.yaml").write_text(HALF)
        with wire.unchanged():
            refusal = problem(wire.client.get("/optunapi/hparams/m"), 503, "storage-unavailable")
        assert "m.yaml" in refusal["detail"]
        assert str(tmp_path) not in refusal["detail"]


def test_half_of_an_edit_is_not_told_as_an_error(tmp_path: Path) -> None:
    with wire_of(tmp_path) as wire:
        name = wire.configure(WHOLE)
        wire.ask(name)
        file = tmp_path / "config" / f"{name}.yaml"
        file.write_text(HALF)
        assert wire.study(name)["config_error"] is None
        assert wire.ask(name)["number"] == 1
        file.write_text(WHOLE + "x: {type: float, low: 0, high: 1}\n")
        until(lambda: "x" in wire.study(name)["parameters"])
