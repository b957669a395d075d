"""The studies' YAML files in one folder. `find` compares a file with the disk, and reads a changed one."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optunapi.engine.names import NAME, NAME_RULE
from optunapi.engine.spec.files import conflict_in_file, read_config
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.study import Study
from optunapi.errors import ConfigInvalid, line_of
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import ConfigBroken, ConfigRepaired

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A configuration file as it was read. `content` is its specification, or what is wrong with it.

    `signature` differs when the file on the disk is another, or has changed.
    """

    path: Path
    signature: tuple[Any, ...]
    content: StudySpec | ConfigInvalid

    def apply(self, study: Study) -> None:
        """Make the study follow this configuration, as far as its trials allow."""
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


class ConfigFiles:
    """The configuration files of a folder. Every method may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Config] = {}
        self._logged: dict[str, tuple[Any, ...]] = {}

    def names(self) -> set[str]:
        """The names of the studies that have a file, valid or not."""
        return {
            path.stem
            for suffix in SUFFIXES
            for path in self.folder.glob(f"*{suffix}")
            if NAME.fullmatch(path.stem)
        }

    def find(self, name: str) -> Config | None:
        """The study's configuration as its file is now, or None without a file.

        It is the same object until the file changes.
        """
        for suffix in SUFFIXES:
            path = self.folder / f"{name}{suffix}"
            signature: tuple[Any, ...]
            try:
                status = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                signature = (suffix, error.errno)  # reading it raises the same
            else:
                signature = (suffix, status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._read.get(name)
            if known is not None and known.signature == signature:
                return known
            content: StudySpec | ConfigInvalid
            try:
                content = read_config(path)
            except FileNotFoundError:
                continue
            except ConfigInvalid as error:
                content = error
            config = self._read[name] = Config(path=path, signature=signature, content=content)
            self._log(path.name, signature, content)
            return config
        self._read.pop(name, None)
        return None

    def spec(self, name: str) -> StudySpec | None:
        """The specification in the file of a study that is not stored; None without a file.

        Raises:
            ConfigInvalid: the file is not valid.
        """
        config = self.find(name)
        if config is None:
            return None
        if isinstance(config.content, ConfigInvalid):
            # The next call reads the file again: if the disk refused to read it, the file may be
            # readable then without having changed.
            self._read.pop(name, None)
            raise config.content.again()
        return config.content

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
            error = misplaced(path)
            if error is None:
                known = self._read.get(path.stem)
                config = known if time.monotonic() > until else self.find(path.stem)
                if config is None or not isinstance(config.content, ConfigInvalid):
                    continue
                error = config.content
            self._log(path.name, (), error)
            found.append(
                InvalidFile(
                    file=shown(path.name), study=shown(path.stem), errors=error.extra["errors"]
                )
            )
        return found

    def _log(self, file: str, signature: tuple[Any, ...], content: object) -> None:
        if not isinstance(content, ConfigInvalid):
            if self._logged.pop(file, None) is not None:
                emit(ConfigRepaired(file=shown(file)))
        elif self._logged.get(file) is None or signature not in ((), self._logged[file]):
            self._logged[file] = signature
            lines = tuple(line_of({**error, "file": None}) for error in content.extra["errors"])
            emit(ConfigBroken(file=shown(file), errors=lines))


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
