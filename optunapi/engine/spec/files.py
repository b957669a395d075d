"""Specifications from YAML, in a file or in the body of a request, and as YAML."""

import stat
from pathlib import Path
from typing import Any

import yaml

from optunapi.engine.documents.document import Document, scalar_fault
from optunapi.engine.documents.yaml_reader import read_yaml
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import read_spec

MAX_BYTES = 2**20


def read_config(path: Path) -> StudySpec:
    """The specification in a YAML file.

    Raises:
        ConfigInvalid: with every error in it.
        FileNotFoundError: there is no such file.
    """
    return read_with_notices(path)[0]


def read_with_notices(path: Path) -> tuple[StudySpec, list[dict[str, Any]]]:
    """The specification in a YAML file, and notices of what its author may not have meant.

    A notice has the keys of an error. Raises as `read_config`.
    """
    document = Document(file=path.name, exact=False)
    try:
        # Opening something else could wait for ever: a pipe waits for its writer.
        if not stat.S_ISREG(path.stat().st_mode):
            document.fail("", None, "it is not a file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        document.fail("", None, f"it cannot be read: {error.strerror}")
    return _read(content, document), document.notices


def spec_from_yaml(text: str | bytes, file: str | None = None) -> StudySpec:
    """The specification in a YAML text, such as the body of a PUT; `file` is its name in errors.

    Raises:
        ConfigInvalid: with every error in it.
    """
    document = Document(file=file, exact=False)
    if isinstance(text, bytes):
        return _read(text, document)
    if fault := scalar_fault(text):
        document.fail("", None, fault)
    return _read(text.encode(), document)


def yaml_of(spec: StudySpec) -> str:
    """The YAML text that reads again as this specification."""
    return yaml.safe_dump(spec.to_json(), sort_keys=False, allow_unicode=True)


def _read(content: bytes, document: Document) -> StudySpec:
    if len(content) > MAX_BYTES:
        document.fail("", None, f"it is over 1 MiB ({MAX_BYTES} bytes), the most allowed")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        document.fail("", line, f"it is not UTF-8: byte 0x{byte:02x} cannot be there")
    return read_spec(document.root(read_yaml(text, document)))
