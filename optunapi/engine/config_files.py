"""The studies' YAML files in one folder. `find` compares a file with the disk, and reads a changed one.

A file that is being written is seen half. So a change counts once size and time of the file have stood
still for `STILL_SECONDS`, and at once if another file was moved into its place.
"""

import math
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from optunapi.engine.clock import Clock
from optunapi.engine.names import NAME, NAME_RULE
from optunapi.engine.spec.files import conflict_in_file, read_config
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.study import Study
from optunapi.errors import ConfigChanging, ConfigInvalid, line_of
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import ConfigBroken, ConfigRepaired

SUFFIXES = (".yaml", ".yml")
STILL_SECONDS = 1.0


class Signature(NamedTuple):
    """What differs when the file of a path is another, or has changed.

    Where the file cannot be looked at, reading it raises the same error, which `errno` is of.
    """

    inode: int = 0
    size: int = 0
    changed_at: int = 0  # ns since the epoch
    errno: int = 0


@dataclass(frozen=True, kw_only=True)
class Config:
    """A configuration file as it was read. `content` is its specification, or what is wrong with it.

    A file that is not still may be half of what is being written.
    """

    path: Path
    signature: Signature
    content: StudySpec | ConfigInvalid
    is_still: bool

    def apply(self, study: Study) -> None:
        """Make the study follow this configuration, as far as its trials allow."""
        if not self.is_still:
            return
        if isinstance(self.content, ConfigInvalid):
            study.hold_spec(self.content)
        elif diff := study.conflicts(self.content):
            study.hold_spec(conflict_in_file(self.path, diff))
        else:
            study.follow(self.content)


@dataclass(frozen=True, kw_only=True)
class InvalidFile:
    """A file of the folder that is no study, and why: each error has file, line, key and reason.

    `study` is the study that the file would be, as far as its name can tell.
    """

    file: str
    study: str
    errors: list[dict[str, Any]]


class _Sighting(NamedTuple):
    """How a file was when it was first seen so, and the moment at which it counts if it stays so."""

    path: Path
    signature: Signature
    counts_at: float

    def seconds_left(self, now: float) -> float:
        """The time until the file counts; 0 if it does."""
        return max(0.0, self.counts_at - now)


class ConfigFiles:
    """The configuration files of a folder. Every method may be called from any thread."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock
        self._seen: dict[str, _Sighting] = {}
        self._on_disk: dict[str, Config] = {}
        self._counts: dict[str, Config] = {}
        self._logged: dict[str, Signature | None] = {}

    def names(self) -> set[str]:
        """The names of the studies that have a file, valid or not."""
        return {
            path.stem
            for suffix in SUFFIXES
            for path in self.folder.glob(f"*{suffix}")
            if NAME.fullmatch(path.stem)
        }

    def find(self, name: str) -> Config | None:
        """The study's configuration that counts, or None without a file.

        It is the same object until a change counts. If none counted yet, it is the file as it is now.
        """
        config = self._read(name)
        if config is None or config.is_still:
            return config
        before = self._counts.get(name)
        return config if before is None or before.path != config.path else before

    def spec(self, name: str, *, to_create: bool = False) -> StudySpec | None:
        """The specification in the file of a study that is not stored, as it is now; None without a file.

        With `to_create` it is for a new study, which must not be made of half a file.

        Raises:
            ConfigInvalid: the file is not valid.
            ConfigChanging: the file does not count yet, and it is `to_create` a study.
        """
        config = self._read(name)
        if config is None:
            return None
        if to_create and not config.is_still:
            sighting = self._seen.get(name)
            raise ConfigChanging(
                f"{config.path.name} was changed just now: a change counts once the file has stood still "
                f"for {STILL_SECONDS:g} s, and at once if the file is moved into place",
                retry_after=0.0 if sighting is None else sighting.seconds_left(self._clock.now()),
            )
        if isinstance(config.content, ConfigInvalid):
            # The next call reads the file again: if the disk refused to read it, the file may be
            # readable then without having changed.
            self._on_disk.pop(name, None)
            raise config.content.again()
        return config.content

    def _read(self, name: str) -> Config | None:
        """The configuration as the file is now. It is the same object until the file changes or counts."""
        for suffix in SUFFIXES:
            path = self.folder / f"{name}{suffix}"
            signature = _signature(path)
            if signature is None:
                continue
            known = self._on_disk.get(name)
            is_known = known is not None and (known.path, known.signature) == (path, signature)
            if known is not None and is_known and known.is_still:
                return known
            is_still = not self._sighting(name, path, signature).seconds_left(self._clock.now())
            if known is not None and is_known and not is_still:
                return known
            content: StudySpec | ConfigInvalid
            try:
                content = read_config(path)
            except FileNotFoundError:
                continue
            except ConfigInvalid as error:
                content = error
            # Somebody may have begun to write since the first look. Then this is half of a file.
            is_still = is_still and _signature(path) == signature
            config = Config(path=path, signature=signature, content=content, is_still=is_still)
            self._on_disk[name] = config
            if is_still:
                self._counts[name] = config
                self._log(path.name, signature, content)
            return config
        for known_of in (self._seen, self._on_disk, self._counts):
            known_of.pop(name, None)
        return None

    def _sighting(self, name: str, path: Path, signature: Signature) -> _Sighting:
        seen = self._seen.get(name)
        if seen is not None and (seen.path, seen.signature) == (path, signature):
            return seen
        counts_at = self._clock.now()
        was_moved = (
            seen is not None and seen.path == path and seen.signature.inode != signature.inode
        )
        if not was_moved:
            counts_at = self._clock.moment_of(signature.changed_at / 1e9) + STILL_SECONDS
        self._seen[name] = found = _Sighting(path, signature, counts_at)
        return found

    def invalid(self, seconds: float = math.inf) -> list[InvalidFile]:
        """The files that are no study, by name. Each is logged, and again when it has changed.

        Files that were changed are read for `seconds` at most; the rest follows with the next calls.
        """
        until = time.monotonic() + seconds
        try:
            paths = files_of(self.folder)
        except OSError:
            return []  # the folder is not there, or not readable: no study has a file
        for gone in self._logged.keys() - {path.name for path in paths}:
            self._logged.pop(gone, None)
        found = []
        for path in paths:
            error, is_final = misplaced(path), True
            if error is None:
                known = self._on_disk.get(path.stem)
                config = known if time.monotonic() > until else self._read(path.stem)
                if config is None or not isinstance(config.content, ConfigInvalid):
                    continue
                error = config.content
                is_final = config.is_still
            if is_final:
                self._log(path.name, None, error)
            found.append(
                InvalidFile(
                    file=shown(path.name), study=shown(path.stem), errors=error.extra["errors"]
                )
            )
        return found

    def _log(self, file: str, signature: Signature | None, content: object) -> None:
        if not isinstance(content, ConfigInvalid):
            if self._logged.pop(file, None) is not None:
                emit(ConfigRepaired(file=shown(file)))
        elif file not in self._logged or signature not in (None, self._logged[file]):
            self._logged[file] = signature
            lines = tuple(line_of({**error, "file": None}) for error in content.extra["errors"])
            emit(ConfigBroken(file=shown(file), errors=lines))


def _signature(path: Path) -> Signature | None:
    """The signature of a file; None without a file."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Signature(errno=error.errno or 0)
    # Nobody writes a study into a folder or a pipe: it counts at once, as an error.
    changed_at = status.st_mtime_ns if stat.S_ISREG(status.st_mode) else 0
    return Signature(status.st_ino, status.st_size, changed_at)


def files_of(folder: Path) -> list[Path]:
    """Every file of the folder that is a study, or may be meant to be one, by name.

    Raises:
        OSError: the folder is not there, or cannot be read.
    """
    return sorted(
        path
        for path in folder.iterdir()
        if path.name[0] != "." and (path.suffix.lower() in SUFFIXES or path.is_file())
    )


def misplaced(path: Path) -> ConfigInvalid | None:
    """Why a file of the folder is no study whatever is in it, or None."""
    reason = None
    if path.suffix not in SUFFIXES:
        ending = SUFFIXES[0] if path.suffix.lower() in SUFFIXES else " or ".join(SUFFIXES)
        reason = f"a study's file ends in {ending}: rename it, or move it out of the folder"
    elif not NAME.fullmatch(path.stem):
        reason = f"a study's name {NAME_RULE}: rename the file"
    elif path.is_symlink() and not path.exists():
        reason = "it is a link to a file that is not there"
    elif path.suffix != SUFFIXES[0] and path.with_suffix(SUFFIXES[0]).exists():
        reason = f"{path.stem}{SUFFIXES[0]} is used in its place: remove one of the two"
    if reason is None:
        return None
    error = {"file": shown(path.name), "line": None, "key": None, "reason": reason}
    return ConfigInvalid(line_of(error), errors=[error])


def shown(name: str) -> str:
    """A file's name as it can be shown: one line of text, whatever bytes it has."""
    return name if name.isprintable() else repr(name)[1:-1]
