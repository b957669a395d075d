"""docs/performance.md: a run writes its results between the page's marks."""

import re
from collections.abc import Mapping

from tests.support import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "figures" / "performance.svg"
PICTURE_LINK = "![Milliseconds of an ask against trials in the study](figures/performance.svg)"


def rewritten(text: str, sections: Mapping[str, str]) -> str:
    """Return the text with these sections between their marks; ValueError if a mark is missing."""
    for name, content in sections.items():
        mark = re.compile(rf"<!-- measured: {name} -->\n.*?<!-- end -->", re.DOTALL)
        places = mark.findall(text)
        if len(places) != 1:
            raise ValueError(f"the document has {len(places)} places for {name}, not one")
        text = text.replace(places[0], f"<!-- measured: {name} -->\n{content}\n<!-- end -->")
    return text
