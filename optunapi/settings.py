"""The server's settings. Only this module reads them from the environment (`OPTUNAPI_*`).

A setting that is not understood is refused when it is read, with what to write in its place.
"""

import difflib
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from optunapi.folders import folder_of

PACKAGE = Path(__file__).resolve().parent
PREFIX = "OPTUNAPI_"
# Variables that the server does not read: the client's, and those of the project's own tests.
OTHERS = frozenset({"URL", "TOKEN", "PROFILE", "SPOOL", "SOAK", "REQUIRE_ALL"})
FORMER_ARTIFACTS = "ARTIFACTS_DIR"  # the former name of ARTIFACTS, which is still read


class SettingsInvalid(ValueError):
    """A setting is not understood; the message names each variable, in one line."""


def default_home() -> Path:
    """The folder of config/ and db/: the checkout that the package is in, else the current folder."""
    checkout = PACKAGE.parent
    if (checkout / "config").is_dir() and (checkout / "pyproject.toml").is_file():
        return checkout
    return Path.cwd()


def _folder(given: object) -> Path:
    """The absolute path of a folder, which need not exist if the folder that it is in does."""
    path = folder_of(str(given))
    if not _is_folder(path) and not _is_folder(path.parent):
        raise ValueError(f"there is no folder {str(path.parent)!r}: {_how_to_create(path.parent)}")
    return path


def _existing_folder(given: object) -> Path:
    path = _folder(given)
    if not _is_folder(path):
        raise ValueError(f"there is no folder {str(path)!r}: {_how_to_create(path)}")
    return path


def _how_to_create(path: Path) -> str:
    return f"correct the path, or create it with `mkdir -p {shlex.quote(str(path))}`"


def _is_folder(path: Path) -> bool:
    """Whether there is such a folder; ValueError if something else is in its place."""
    try:
        if path.is_dir():
            return True
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    if path.is_symlink() and not path.exists():
        raise ValueError(f"{str(path)!r} is a link to a folder that is not there")
    if path.exists():
        raise ValueError(f"{str(path)!r} is a file: write the path of a folder")
    return False


def _size(given: object) -> object:
    if isinstance(given, str) and not re.fullmatch(r"\s*[0-9]{1,18}\s*", given):
        raise ValueError(f"{given!r} is no number of bytes: write digits alone, 1048576 for 1 MiB")
    return given


def _database(given: object) -> object:
    if isinstance(given, str):
        # Imported here, because it takes a second, and most servers have a file for each study.
        from optunapi.errors import DatabaseUnusable
        from optunapi.storage.tables.sqlite import path_of

        try:
            path_of(given)
        except DatabaseUnusable as error:
            raise ValueError(error.detail) from None
    return given


Lower = BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text)
Folder = Annotated[Path, BeforeValidator(_folder)]
ExistingFolder = Annotated[Path, BeforeValidator(_existing_folder)]
Size = Annotated[int, BeforeValidator(_size), Field(gt=0)]


class Settings(BaseSettings):
    """What an operator can set. An empty variable counts as not set.

    Raises:
        ValidationError: a setting is not understood, or a folder is not there.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, populate_by_name=True
    )

    home: ExistingFolder = Field(default_factory=default_home)
    config_dir: ExistingFolder | None = None
    db_dir: Folder | None = None
    storage: Annotated[str, BeforeValidator(_database)] | None = Field(
        default=None, description="The URL of one database for all studies."
    )
    max_body: Size = Field(default=2**20, description="The bytes that a request body may have.")
    artifacts: Folder | None = Field(
        default=None,
        description="The folder of the files that are kept with trials.",
        validation_alias=AliasChoices(f"{PREFIX}ARTIFACTS", PREFIX + FORMER_ARTIFACTS),
    )
    max_artifact: Size = Field(default=2**30, description="The bytes that an artifact may have.")
    max_study_artifacts: Size = Field(
        default=10 * 2**30, description="The bytes that a study's artifacts may have together."
    )

    log_format: Annotated[Literal["text", "json"], Lower] = "text"
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], Lower] | None = (
        Field(default=None, description="What the log shows; by default as uvicorn's, `info`.")
    )
    access_log: bool = Field(default=False, description="Log a line for each request.")

    @model_validator(mode="after")
    def _of_home(self) -> Self:
        for path in (self.configs, self.databases, self.artifact_folder):
            _is_folder(path)
        return self

    @property
    def configs(self) -> Path:
        """The folder of the studies' YAML files."""
        return self.config_dir or self.home / "config"

    @property
    def databases(self) -> Path:
        """The folder of the studies' SQLite files."""
        return self.db_dir or self.home / "db"

    @property
    def artifact_folder(self) -> Path:
        """The folder of the files that are kept with trials."""
        return self.artifacts or self.databases / "artifacts"


def read_settings() -> Settings:
    """The settings of the environment.

    Raises:
        SettingsInvalid: one is not understood, or a folder is not there.
    """
    try:
        return Settings()
    except ValidationError as error:
        text = "; ".join(map(_wrong, error.errors()))
        line = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
        raise SettingsInvalid(line) from None


def _wrong(error: Mapping[str, Any]) -> str:
    variable = PREFIX + str((*error["loc"], "HOME")[0]).removeprefix(PREFIX).upper()
    if variable not in os.environ and variable == f"{PREFIX}ARTIFACTS":
        variable = PREFIX + FORMER_ARTIFACTS
    given, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case "value_error":
            return f"{variable}: {context['error']}"
        case "literal_error":
            return f"{variable}: {given!r} is not {context['expected']}"
        case "bool_parsing":
            return f"{variable}: {given!r} is not true or false"
        case "greater_than":
            return f"{variable}: {given!r} is not greater than {context['gt']}"
        case _:
            return f"{variable}: {error['msg']}"


def unknown_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """The variables that are named like settings and are none, each with the name that may be meant."""
    known = {name.upper() for name in Settings.model_fields} | OTHERS
    found: dict[str, str | None] = {}
    for variable in sorted(environment):
        name = variable.upper()
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known | {FORMER_ARTIFACTS}:
            near = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
            found[variable] = f"{PREFIX}{near[0]}" if near else None
    return found
