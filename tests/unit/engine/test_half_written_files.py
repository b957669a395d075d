"""A configuration file that is being written: nothing is made of half of it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optunapi.engine import config_files
from optunapi.engine.config_files import ConfigFiles
from optunapi.engine.spec.files import read_config
from optunapi.engine.spec.model import StudySpec
from optunapi.errors import ConfigChanging, ConfigInvalid
from tests.support import scaled
from tests.unit.engine.support import Clock
from tests.unit.engine.test_configuration import Home

WHOLE = """\
parameters:
  kind:
    type: categorical
    choices:
      - a
      - b
      - c
  x: {type: float, low: 0, high: 1}
max_trials: 3
"""
IN_CHOICES = WHOLE[: WHOLE.index("      - c")]
AFTER_PARAMETERS = "parameters:\n"
HALVES = (IN_CHOICES, WHOLE[: WHOLE.index("max_trials")], "", AFTER_PARAMETERS, WHOLE[:60])
OTHER = "parameters:\n  x: {type: float, low: 0, high: 9}\n"


class Writer:
    """Somebody who writes a file, by the clock of the test."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def write(self, text: str) -> None:
        """Write in place. No two writes of a file have the same time."""
        self._clock.pass_(0.001)
        self._path.write_text(text)
        os.utime(self._path, (self._clock.wall, self._clock.wall))

    def move(self, text: str) -> None:
        """Write elsewhere, and move it into place."""
        draft = self._path.with_name(".draft")
        Writer(draft, self._clock).write(text)
        os.replace(draft, self._path)


@pytest.fixture
def home(tmp_path: Path, empty_database: Path, clock: Clock) -> Iterator[Home]:
    home = Home(tmp_path, empty_database, clock)
    home._spare_the_schema("m")
    yield home
    home.catalog.close()


@pytest.fixture
def writer(home: Home, clock: Clock) -> Writer:
    return Writer(home.configs / "m.yaml", clock)


def specs_of(home: Home) -> tuple[StudySpec, str | None]:
    view = home.view("m")
    return view.spec, view.config_error


# A new file


@pytest.mark.parametrize("half", HALVES)
def test_no_study_is_made_of_half_a_file(
    home: Home, writer: Writer, clock: Clock, half: str
) -> None:
    writer.write(half)
    for _ in range(2):
        with pytest.raises(ConfigChanging) as error:
            home.ask("m")
        assert 0 < error.value.retry_after <= 1
        clock.pass_(0.5)
    writer.write(WHOLE)
    with pytest.raises(ConfigChanging):
        home.ask("m", params={"x": 0.5})
    clock.pass_(1)
    trial = home.ask("m")
    assert set(trial.params) == {"kind", "x"}
    assert home.view("m").limits.max_trials == 3


def test_half_a_file_is_the_origin_of_no_fork(home: Home, writer: Writer, clock: Clock) -> None:
    writer.write(IN_CHOICES)
    with pytest.raises(ConfigChanging):
        home.catalog.fork("m", "n")
    home.write("old", OTHER)
    with pytest.raises(ConfigChanging):
        home.catalog.fork("old", "m")
    clock.pass_(1)
    assert home.catalog.fork("m", "n") == 0


def test_a_file_that_was_there_before_the_server_counts_at_once(
    home: Home, writer: Writer, clock: Clock
) -> None:
    writer.write(WHOLE)
    clock.pass_(1)
    home.restart()
    assert set(home.ask("m").params) == {"kind", "x"}


def test_a_file_from_a_clock_that_is_ahead_counts_after_a_second(
    home: Home, writer: Writer, clock: Clock
) -> None:
    clock.pass_(100)
    writer.write(WHOLE)
    clock.set_(-100)
    with pytest.raises(ConfigChanging):
        home.ask("m")
    clock.pass_(1)
    home.ask("m")


def test_who_only_looks_sees_the_file_as_it_is(home: Home, writer: Writer) -> None:
    writer.write(OTHER)
    assert home.view("m").spec == read_config(home.configs / "m.yaml")
    writer.write(AFTER_PARAMETERS)
    with pytest.raises(ConfigInvalid):
        home.view("m")


# An edit


@pytest.mark.parametrize("half", HALVES)
def test_half_of_an_edit_changes_nothing(
    home: Home, writer: Writer, clock: Clock, half: str
) -> None:
    writer.write(WHOLE)
    clock.pass_(1)
    home.ask("m")
    before = specs_of(home)
    edited = WHOLE.replace("max_trials: 3", "max_trials: 4")
    writer.write(half)
    assert specs_of(home) == before
    assert set(home.ask("m").params) == {"kind", "x"}
    clock.pass_(0.9)
    writer.write(edited)
    assert specs_of(home) == before
    clock.pass_(1)
    assert home.view("m").limits.max_trials == 4
    assert home.view("m").config_error is None


def test_half_a_file_at_a_restart_leaves_the_stored_specification(
    home: Home, writer: Writer, clock: Clock
) -> None:
    writer.write(WHOLE)
    clock.pass_(1)
    home.ask("m")
    writer.write(IN_CHOICES)
    home.restart()
    view = home.view("m")
    assert (view.limits.max_trials, view.config_error, view.source) == (3, None, "file")
    home.ask("m")
    clock.pass_(1)
    assert home.view("m").config_error is not None  # it is no half: nobody went on writing


def test_a_file_that_is_moved_into_place_counts_at_once(
    home: Home, writer: Writer, clock: Clock
) -> None:
    writer.write(WHOLE)
    clock.pass_(1)
    home.ask("m")
    for limit in (4, 5):
        writer.move(WHOLE.replace("max_trials: 3", f"max_trials: {limit}"))
        assert home.view("m").limits.max_trials == limit
    writer.write("x: [")
    assert home.view("m").config_error is None
    writer.move("x: [")
    assert home.view("m").config_error is not None


def test_a_broken_new_file_is_mended_at_once_by_one_that_is_moved_into_place(
    home: Home, writer: Writer, clock: Clock
) -> None:
    writer.write("x: [")
    clock.pass_(1)
    with pytest.raises(ConfigInvalid):
        home.ask("m")
    writer.move(OTHER)
    home.ask("m")


def test_the_first_ask_waits_for_an_edit_of_a_file_that_counted(
    home: Home, writer: Writer, clock: Clock
) -> None:
    writer.write(OTHER)
    clock.pass_(1)
    home.view("m")
    writer.write(WHOLE)
    with pytest.raises(ConfigChanging):
        home.ask("m")  # of the former file it would make a study that the new one conflicts with
    clock.pass_(1)
    assert set(home.ask("m").params) == {"kind", "x"}


def test_a_write_that_begins_while_the_file_is_read_is_noticed(
    home: Home, writer: Writer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write(WHOLE)
    clock.pass_(1)

    def read_later(path: Path) -> StudySpec:
        monkeypatch.undo()
        writer.write(IN_CHOICES)
        return read_config(path)

    monkeypatch.setattr(config_files, "read_config", read_later)
    with pytest.raises(ConfigChanging):
        home.ask("m")
    writer.write(WHOLE)
    clock.pass_(1)
    assert set(home.ask("m").params) == {"kind", "x"}


# Any course of events

LIMITS = tuple(range(1, 6))
VERSIONS = {limit: WHOLE.replace("max_trials: 3", f"max_trials: {limit}") for limit in LIMITS}
PIECE = st.tuples(
    st.integers(0, len(WHOLE) - 1), st.integers(0, 9)
)  # bytes written, tenths to wait
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(LIMITS), st.lists(PIECE, max_size=4)),
        st.tuples(st.just("move"), st.sampled_from(LIMITS), st.just([])),
        st.tuples(st.just("remove"), st.just(0), st.just([])),
        st.tuples(st.just("wait"), st.integers(1, 30), st.just([])),
    ),
    max_size=12,
)


@settings(max_examples=scaled(100, 5000), deadline=None)
@given(STEPS)
def test_whatever_a_writer_does_only_whole_files_count_and_the_last_one_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, list[tuple[int, int]]]]
) -> None:
    path, clock = tmp_path_factory.mktemp("configs") / "m.yaml", Clock()
    files, writer = ConfigFiles(path.parent, clock), Writer(path, clock)

    def look() -> None:
        with suppress(ConfigChanging):
            spec = files.spec("m", to_create=True)
            assert spec is None or spec.limits.max_trials in LIMITS
        config = files.find("m")
        if config is not None and config.is_still:
            assert isinstance(config.content, StudySpec)
            assert config.content.limits.max_trials in LIMITS

    last: int | None = None
    for kind, number, pieces in steps:
        for size, tenths in pieces:
            writer.write(VERSIONS[number][:size])
            look()
            clock.pass_(tenths / 10)
            look()
        match kind:
            case "write":
                writer.write(VERSIONS[last := number])
            case "move":
                writer.move(VERSIONS[last := number])
            case "remove":
                path.unlink(missing_ok=True)
                last = None
            case _:
                clock.pass_(number / 10)
        look()
    clock.pass_(1)
    look()
    spec = files.spec("m", to_create=True)
    assert (spec and spec.limits.max_trials) == last
