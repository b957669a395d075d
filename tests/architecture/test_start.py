"""What a start does not wait for: libraries that take seconds to import and serve few requests."""

import subprocess
import sys

SLOW = {"sklearn", "scipy", "torch", "pandas", "matplotlib"}


def test_a_server_starts_without_what_takes_long_to_import() -> None:
    program = "import sys, optunapi.server; print(*{m.partition('.')[0] for m in sys.modules})"
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    imported = set(ran.stdout.split())
    assert "optuna" in imported
    assert imported.isdisjoint(SLOW), imported & SLOW
