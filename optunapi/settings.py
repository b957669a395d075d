"""The server's settings. Only this module reads them from the environment (`OPTUNAPI_*`)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PACKAGE = Path(__file__).resolve().parent


Lower = BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text)


def default_home() -> Path:
    """The folder of config/ and db/: the checkout that the package is in, else the current folder."""
    checkout = PACKAGE.parent
    if (checkout / "config").is_dir() and (checkout / "pyproject.toml").is_file():
        return checkout
    return Path.cwd()


class Settings(BaseSettings):
    """What an operator can set. An empty variable counts as not set."""

    model_config = SettingsConfigDict(env_prefix="OPTUNAPI_", env_ignore_empty=True, frozen=True)

    home: Path = Field(default_factory=default_home)
    config_dir: Path | None = None
    db_dir: Path | None = None
    storage: str | None = Field(
        default=None, description="The URL of one database for all studies."
    )
    max_body: int = Field(
        default=2**20, gt=0, description="The bytes that a request body may have."
    )
    artifacts_dir: Path | None = None
    max_artifact: int = Field(
        default=2**30, gt=0, description="The bytes that an artifact may have."
    )
    max_study_artifacts: int = Field(
        default=10 * 2**30,
        gt=0,
        description="The bytes that a study's artifacts may have together.",
    )

    log_format: Annotated[Literal["text", "json"], Lower] = "text"
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], Lower] | None = (
        Field(default=None, description="What the log shows; by default as uvicorn's, `info`.")
    )
    access_log: bool = Field(default=False, description="Log a line for each request.")

    @property
    def configs(self) -> Path:
        """The folder of the studies' YAML files."""
        return (self.config_dir or self.home / "config").expanduser().absolute()

    @property
    def databases(self) -> Path:
        """The folder of the studies' SQLite files."""
        return (self.db_dir or self.home / "db").expanduser().absolute()

    @property
    def artifacts(self) -> Path:
        """The folder of the files that are kept with trials."""
        return (self.artifacts_dir or self.databases / "artifacts").expanduser().absolute()
