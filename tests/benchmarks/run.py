"""One run of the benchmarks: its sizes, its folder and its progress messages."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Run:
    """What all benchmarks of a run share."""

    folder: Path  # empty at the beginning, and gone at the end
    quick: bool
    began: float = field(default_factory=time.monotonic)

    def size(self, full: int, quick: int) -> int:
        """Return a number of trials, rounds or seconds; smaller with `--quick`."""
        return quick if self.quick else full

    def say(self, sentence: str) -> None:
        """Progress, on stderr."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        print(f"[{minutes}:{seconds:02}] {sentence}", file=sys.stderr, flush=True)

    def new_folder(self, name: str) -> Path:
        """An empty folder."""
        number = 0
        while (folder := self.folder / f"{name}-{number}").exists():
            number += 1
        folder.mkdir()
        return folder
