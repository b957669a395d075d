"""The server's settings, from the environment (`OPTUNAPI_*`): the only place that reads it."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PACKAGE = Path(__file__).resolve().parent


def default_home() -> Path:
    """The folder where config/ and db/ are: the checkout the package lies in, else the current folder."""
    checkout = PACKAGE.parent
    if (checkout / "config").is_dir() and (checkout / "pyproject.toml").is_file():
        return checkout
    return Path.cwd()


class Settings(BaseSettings):
    """What an operator may set. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="OPTUNAPI_", env_ignore_empty=True, frozen=True)

    home: Path = Field(default_factory=default_home)
    config_dir: Path | None = None
    db_dir: Path | None = None
    storage: str | None = Field(default=None, description="One database URL for all studies.")
    max_body: int = Field(default=2**20, gt=0, description="Bytes a request body may have.")
    artifacts_dir: Path | None = None
    max_artifact: int = Field(default=2**30, gt=0, description="Bytes an artifact may have.")
    max_study_artifacts: int = Field(
        default=10 * 2**30, gt=0, description="Bytes a study's artifacts may have together."
    )

    @property
    def configs(self) -> Path:
        """The folder of the studies' YAML files."""
        return (self.config_dir or self.home / "config").expanduser().absolute()

    @property
    def databases(self) -> Path:
        """The folder of the SQLite files, one a study."""
        return (self.db_dir or self.home / "db").expanduser().absolute()

    @property
    def artifacts(self) -> Path:
        """The folder of the files that trainers upload."""
        return (self.artifacts_dir or self.databases / "artifacts").expanduser().absolute()
