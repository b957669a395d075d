"""The benchmarks run at a small size; their results are not judged here."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.benchmarks.document import DOCUMENT, rewritten
from tests.benchmarks.findings import Line, Verdict
from tests.benchmarks.where_time_goes import OTHER, by_part
from tests.support import ROOT, clean_environment

ASYNCIO = "_run_once (/lib/python3.11/asyncio/base_events.py:1)"
HPARAMS = "hparams (/src/optunapi/api/legacy.py:9)"
ASK = "ask (/src/optunapi/engine/study.py:5)"
DRAW = "draw (/src/optunapi/engine/samplers/native.py:1)"
WRITER = "run (/src/optunapi/storage/writer.py:1)"


def test_a_quick_run_measures_prints_draws_and_writes(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    words = ["--quick", "--only", "throughput", "growth", "storage", "calls", "--json", str(found)]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *words],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert ended.returncode in (0, 1), (
        ended.stderr
    )  # 1: below a floor, on this machine at this time
    lines = json.loads(found.read_text())["lines"]
    assert [line["name"] for line in lines] == [
        "tpe-pairs",
        "random-pairs",
        "ask-at-1000",
        "ask-at-100000",
        "storage-1",
        "storage-8",
        "storage-32",
        "storage-100",
        "calls-ask",
        "calls-tell",
    ]
    for line in lines:
        assert line["value"] > 0
        assert line["work"] in ended.stdout
    below = any(line["verdict"] == Verdict.BELOW for line in lines)
    assert ended.returncode == int(below)
    assert ET.fromstring(found.with_suffix(".svg").read_text()).tag.endswith("svg")


@pytest.mark.parametrize(
    ("value", "floor", "goal", "at_least", "verdict"),
    [
        (0.4, 0.25, 0.4, True, Verdict.GOAL),
        (0.3, 0.25, 0.4, True, Verdict.FLOOR),
        (0.2, 0.25, 0.4, True, Verdict.BELOW),
        (4.0, 6.0, 4.0, False, Verdict.GOAL),
        (5.0, 6.0, 4.0, False, Verdict.FLOOR),
        (7.0, 6.0, 4.0, False, Verdict.BELOW),
        (39.0, None, 40.0, True, Verdict.SHORT),
        (1.0, None, None, False, Verdict.UNBOUNDED),
        (None, 6.0, 4.0, False, Verdict.MISSING),
    ],
)
def test_a_line_says_whether_floor_and_goal_hold(
    value: float | None,
    floor: float | None,
    goal: float | None,
    at_least: bool,
    verdict: Verdict,
) -> None:
    line = Line(
        name="n", work="w", value=value, floor=floor, goal=goal, at_least=at_least, detail=""
    )
    assert line.verdict is verdict


def test_a_threads_time_is_divided_by_the_innermost_frames_that_belong_to_a_part() -> None:
    stacks = [
        f"thread (1): main;{ASYNCIO};{HPARAMS};copy (/lib/python3.11/copy.py:2) 3",
        f"thread (1): main;{ASYNCIO};{ASK} 2",
        f"thread (1): main;{ASYNCIO};{ASK};{DRAW} 5",
        f"thread (1): main;{ASYNCIO};{HPARAMS};Condition.notify (/lib/python3.11/threading.py:382) 10",
        f"thread (2): writer;{WRITER};do_execute (/lib/sqlalchemy/engine/default.py:7) 3",
        "thread (2): writer 9",
        f"thread (2): writer;{WRITER};Condition.wait (/lib/python3.11/threading.py:295) 90",
    ]
    assert by_part(stacks, {1: 200.0, 2: 50.0, 3: 7.0}) == {
        "between threads": 100.0,
        "validation and routes": 30.0,
        "memory": 20.0,
        "sampling": 50.0,
        "commit": 50.0,
        OTHER: 7.0,
    }


def test_what_stands_between_a_documents_marks_is_replaced() -> None:
    text = "<!-- measured: x -->\n<!-- end -->\n<!-- measured: y -->\nold\n\nolder\n<!-- end -->\n"
    assert rewritten(text, {"x": r"| \n |", "y": "new"}) == (
        "<!-- measured: x -->\n| \\n |\n<!-- end -->\n<!-- measured: y -->\nnew\n<!-- end -->\n"
    )
    with pytest.raises(ValueError, match="0 places for z"):
        rewritten(text, {"z": ""})


def test_the_document_has_a_place_for_everything_that_is_measured() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    sections = dict.fromkeys(("machine", "lines", "picture", "shares"), "new")
    assert rewritten(text, sections).count("new\n<!-- end -->") == len(sections)
