"""The blocks of README and docs/ run, in order, in a copy of the tree: see CONTRIBUTING.md."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import optuna
import pytest

from optunapi.engine.spec.files import read_config
from tests.support import ROOT, clean_environment, free_port, wait_until_serving

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?P<background><!-- background -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    kind: str
    text: str
    background: bool


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Follows a page step by step, in a checkout with its own environment."""

    checkout: Path
    environment: dict[str, str]
    port: int

    def here(self, text: str) -> str:
        """Return the text of a block with this reader's port instead of the documented one."""
        serving = text.replace("optunapi serve", f"optunapi serve --port {self.port}")
        return serving.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")

    def run(self, block: Block) -> None:
        """Run the block, or fail."""
        match block.kind:
            case "yaml":
                first_line, _, _ = block.text.partition("\n")
                path = self.checkout / first_line.removeprefix("# ")
                path.write_text(block.text)
                read_config(path)
            case "sh":
                self.succeed("bash", "-euo", "pipefail", "-c", self.here(block.text))
            case "python":
                self.succeed("python", "-W", "error", "-c", self.here(block.text))
            case kind:
                assert kind in {"text", "json"}, f"blocks of {kind!r} cannot be run"

    def succeed(self, *command: str) -> None:
        finished = subprocess.run(
            command,
            cwd=self.checkout,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, f"{command[-1]}\n{finished.stdout}"

    @contextmanager
    def running(self, block: Block) -> Iterator[None]:
        """Run the block's only command, a server, until the `with` block ends."""
        log = self.checkout / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.here(block.text).split(),
                cwd=self.checkout,
                env=self.environment,
                executable=self.checkout / ".venv" / "bin" / "optunapi",
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until_serving(f"http://127.0.0.1:{self.port}", process, log)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def blocks(page: Path) -> list[Block]:
    return [
        Block(kind=m["kind"], text=m["text"], background=bool(m["background"]))
        for m in BLOCK.finditer(page.read_text())
    ]


@pytest.fixture
def reader(checkout: Path) -> Reader:
    for name in ("Makefile", "constraints.txt", "examples"):
        (checkout / name).symlink_to(ROOT / name)
    environment = checkout / ".venv"
    venv.create(environment, symlinks=True)
    # pip must not download anything: the packages of our own environment are used.
    ours = sysconfig.get_path("purelib")
    theirs = sysconfig.get_path("purelib", vars={"base": str(environment)})
    Path(theirs, "installed.pth").write_text(ours)
    pip = environment / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {environment}/bin/python -m pip "$@"\n')
    pip.chmod(0o755)
    quietly = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([pip, "install", *quietly, "."], cwd=checkout, check=True)
    return Reader(
        checkout=checkout,
        port=free_port(),
        environment=clean_environment(
            PATH=f"{environment / 'bin'}:{os.environ['PATH']}",
            VIRTUAL_ENV=str(environment),
            PIP_NO_INDEX="1",
            PIP_NO_BUILD_ISOLATION="0",
            TMPDIR=str(checkout),
        ),
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_block_of_the_documentation_runs(page: Path, reader: Reader) -> None:
    with ExitStack() as running:
        for block in blocks(page):
            if block.background:
                running.enter_context(reader.running(block))
            else:
                reader.run(block)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_every_link_within_the_documentation_leads_somewhere(page: Path) -> None:
    for target, heading in LINK.findall(page.read_text()):
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert heading in anchors


def test_every_block_of_the_readme_can_be_run() -> None:
    assert {block.kind for block in blocks(ROOT / "README.md")} == {"sh", "python", "yaml"}


def test_the_figures_script_draws_every_complete_trial_of_a_study(tmp_path: Path) -> None:
    storage, picture = f"sqlite:///{tmp_path}/x.db", tmp_path / "x.svg"
    study = optuna.create_study(study_name="x", storage=storage)
    for value in (3.0, 1.0, 2.0, 2.0, 400.0):
        study.tell(study.ask(), value)
    study.ask()
    script = ROOT / "docs" / "figures" / "history.py"
    subprocess.run([sys.executable, script, storage, "x", picture, "Score"], check=True)
    drawn = ElementTree.parse(picture).getroot()
    circles = drawn.findall("{http://www.w3.org/2000/svg}circle")
    assert [circle.get("class") for circle in circles] == ["trial"] * 4 + ["trial beyond"]
