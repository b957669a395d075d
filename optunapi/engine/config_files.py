"""The studies' YAML files in one folder. `find` compares a file with the disk, and reads a changed one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optunapi.engine.names import NAME
from optunapi.engine.spec.files import read_config
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.study import Study
from optunapi.errors import ConfigInvalid, SpecConflict, StudyNotFound

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A configuration file as it was read. `content` is its specification, or what is wrong with it.

    `signature` differs when the file on the disk is another, or has changed.
    """

    signature: tuple[Any, ...]
    content: StudySpec | ConfigInvalid

    def apply(self, study: Study) -> None:
        """Make the study follow this configuration, as far as its trials allow."""
        if isinstance(self.content, ConfigInvalid):
            study.hold_spec(self.content)
        elif diff := study.conflicts(self.content):
            study.hold_spec(
                SpecConflict(
                    "the configuration was changed in a way that does not fit the study's trials: "
                    "undo the change, or give the study a new name "
                    "(`optunapi fork OLD NEW` copies the trials that fit)",
                    diff=diff,
                )
            )
        else:
            study.follow(self.content)


class ConfigFiles:
    """The configuration files of a folder. Every method may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Config] = {}

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
            try:
                status = path.stat()
            except OSError:
                continue
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
            config = self._read[name] = Config(signature=signature, content=content)
            return config
        self._read.pop(name, None)
        return None

    def spec(self, name: str) -> StudySpec:
        """The specification in the file of a study that is not stored.

        Raises:
            StudyNotFound: there is no file.
            ConfigInvalid: the file is not valid.
        """
        config = self.find(name)
        if config is None:
            raise StudyNotFound(
                f"there is no study {name!r}: put a {name}.yaml into the server's config folder"
            )
        if isinstance(config.content, ConfigInvalid):
            # The next call reads the file again: if the disk refused to read it, the file may be
            # readable then without having changed.
            self._read.pop(name, None)
            raise config.content.again()
        return config.content
