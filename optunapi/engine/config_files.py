"""The studies' YAML files in one folder."""

from dataclasses import dataclass
from typing import Any

from optunapi.engine.spec.read import StudySpec
from optunapi.errors import ConfigInvalid

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A configuration file as it was read: a specification, or what is wrong with it."""

    signature: tuple[Any, ...]
    spec: StudySpec | None
    error: ConfigInvalid | None
