"""Specifications from YAML, in a file or in the body of a request, and as YAML."""

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from optunapi.engine.documents.document import Document, Node, quoted, scalar_fault
from optunapi.engine.documents.yaml_reader import read_yaml
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import place_of, read_spec
from optunapi.errors import ConfigInvalid, SpecConflict, in_one_line

MAX_BYTES = 2**20
DATABASE = re.compile(r".*\.db(-wal|-shm|-journal)?", re.DOTALL)


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
    return read_spec(_root_of_file(path, document)), document.notices


def conflict_in_file(path: Path, diff: Sequence[Mapping[str, Any]]) -> SpecConflict:
    """The error of a valid file that does not fit the study's trials; `diff` says where.

    It names the lines of the file as it is now.
    """
    document = Document(file=path.name, exact=False)
    try:
        root = _root_of_file(path, document)
    except (OSError, ConfigInvalid):  # it has been changed again
        root = Document(file=path.name, exact=False).root({})
    for change in diff:
        old, new = (quoted(change[which], 300) for which in ("old", "new"))
        place_of(root, change["key"]).refuse(
            f"{new} does not fit the study's trials, which have {old}"
        )
    return SpecConflict(
        f"{in_one_line(root.document.sorted_errors())}. Write what the trials have, or give the study a new "
        "name (`optunapi fork OLD NEW` copies the trials that fit)",
        diff=list(diff),
    )


def _root_of_file(path: Path, document: Document) -> Node:
    try:
        # Opening something else could wait for ever: a pipe waits for its writer.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
            document.fail("", None, f"it is {kind}, not a file: move it away")
        # Reading a database in this way would drop the locks that this process has on it.
        if DATABASE.fullmatch((target := path.resolve()).name):
            document.fail("", None, f"{target.name} is a database, no configuration")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        document.fail("", None, f"it cannot be read: {error.strerror}")
    return _root(content, document)


def spec_from_yaml(text: str | bytes, file: str | None = None) -> StudySpec:
    """The specification in a YAML text, such as the body of a PUT; `file` is its name in errors.

    Raises:
        ConfigInvalid: with every error in it.
    """
    document = Document(file=file, exact=False)
    if isinstance(text, bytes):
        return read_spec(_root(text, document))
    if fault := scalar_fault(text):
        document.fail("", None, fault)
    return read_spec(_root(text.encode(), document))


def yaml_of(spec: StudySpec) -> str:
    """The YAML text that reads again as this specification."""
    return yaml.safe_dump(spec.to_json(), sort_keys=False, allow_unicode=True)


def _root(content: bytes, document: Document) -> Node:
    if len(content) > MAX_BYTES:
        document.fail("", None, f"it is over 1 MiB ({MAX_BYTES} bytes), the most allowed")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        document.fail(
            "", line, f"it is not UTF-8: byte 0x{byte:02x} cannot be there. Save it as UTF-8"
        )
    return document.root(read_yaml(text, document))
