"""`uvicorn --workers 2` is refused: the second process does not own the studies."""

import subprocess
import sys
from pathlib import Path

from tests.support import ROOT, clean_environment, free_port


def test_a_second_uvicorn_worker_is_refused_with_what_to_do_instead(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    command = [sys.executable, "-m", "uvicorn", "optunapi.server:optunapi", "--workers", "2"]
    ended = subprocess.run(
        [*command, "--port", str(free_port())],
        cwd=ROOT,
        env=clean_environment(OPTUNAPI_HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "the folder db/ is in use by process" in ended.stderr
    assert "run uvicorn without --workers" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "db").glob("*.db*"))
