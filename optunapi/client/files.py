"""Files that a client reads and writes: specifications, and the trials of a study."""

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optunapi.client.connection import Connection
from optunapi.client.http.session import Request

Spec = Mapping[str, Any] | str | os.PathLike[str]
Trials = Iterable[Mapping[str, Any]] | str | os.PathLike[str]

MEDIA = {"jsonl": "application/x-ndjson", "csv": "text/csv"}


def spec_sent(spec: Spec) -> dict[str, Any]:
    """A request's options that send a specification: a mapping as JSON, a file as the YAML that it is."""
    if isinstance(spec, str | os.PathLike):
        return {"content": Path(spec).read_bytes(), "content_type": "application/yaml"}
    return {"body": dict(spec)}


def trials_sent(items: Trials) -> dict[str, Any]:
    """A request's options that send trials: a list as JSON, an exported file as it is."""
    if isinstance(items, str | os.PathLike):
        return {"content": Path(items), "content_type": MEDIA["jsonl"]}
    return {"body": {"items": [dict(item) for item in items]}}


def format_of(path: Path) -> str:
    """The format of an export that a file's name tells.

    Raises:
        ValueError: it tells none.
    """
    found = path.suffix.removeprefix(".").lower()
    if found not in MEDIA:
        raise ValueError(
            f"{path.name!r} does not end with .{' or .'.join(MEDIA)}: rename it, or give `format`"
        )
    return found


@contextmanager
def exported(connection: Connection, study: str, file_format: str) -> Iterator[Iterator[bytes]]:
    """The trials of a study as they arrive. Results kept on disk are delivered before.

    Raises:
        ValueError: there is no such format.
        OptunAPIError: as `Connection.call`; the request is not tried again.
    """
    if file_format not in MEDIA:
        raise ValueError(f"`format` is {file_format!r}: it is {' or '.join(map(repr, MEDIA))}")
    connection.deliveries.run()
    session = connection.session
    query = {"format": file_format}
    request = Request(method="GET", path=("studies", study, "export"), query=query)
    media = MEDIA[file_format]
    with session.stream(request, silence=session.timeout, media_type=media) as chunks:
        yield chunks


def save_export(connection: Connection, study: str, file_format: str, path: Path) -> None:
    """Write the trials of a study to a file, completely or not at all.

    Raises: as `exported`, after `retry_for` seconds; OSError if the file cannot be written.
    """
    part = path.parent / f".optunapi-{uuid.uuid4().hex}.part"
    try:
        file = part.open("xb")
    except OSError as error:  # the user knows no such name
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with file:

            def attempt() -> None:
                file.seek(0)
                file.truncate()
                with exported(connection, study, file_format) as chunks:
                    file.writelines(chunks)

            connection.retries.run(attempt)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
