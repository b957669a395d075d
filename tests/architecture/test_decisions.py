"""Decision records: complete, listed, and naming files that exist."""

import re
from pathlib import Path

import pytest

from tests.support import ROOT

FOLDER = ROOT / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("0*.md"))
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives"]
FILE = re.compile(r"(?<![\w/.])(?:optunapi|tests|examples)/[\w/.-]*\w/?")


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_its_sections_and_ends_with_the_alternatives(record: Path) -> None:
    headings = re.findall(r"^## (.*)$", record.read_text(encoding="utf-8"), re.M)
    assert headings == SECTIONS


def test_every_record_is_listed_in_order() -> None:
    listed = re.findall(r"^- \[.*?\]\((.*?)\)", (FOLDER / "README.md").read_text(), re.M)
    assert listed == [record.name for record in RECORDS]


def test_a_records_number_is_that_of_its_title() -> None:
    for record in RECORDS:
        assert record.read_text(encoding="utf-8").startswith(f"# {int(record.name[:4])}. ")


@pytest.mark.parametrize("page", [*RECORDS, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.stem)
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    named = FILE.findall(page.read_text(encoding="utf-8"))
    assert named
    assert not [name for name in named if not (ROOT / name).exists()]
