"""What studies, parameters and objectives may be called, and the name of a study in URLs."""

import difflib
import hashlib
import re
from collections.abc import Collection

from optunapi.engine.documents.document import quoted
from optunapi.errors import NameInvalid, StudyNotFound

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

NAME_RULE = (
    "has 1 to 128 letters, digits, dots, hyphens and underscores, and begins with a letter or digit"
)
LONGEST_NAME = 255

MOST_COMPARED = 5000  # names; comparing them takes some 20 ms

_OTHERS = re.compile(r"[^A-Za-z0-9._-]+")


def check_name(name: str) -> None:
    """Refuse a name that a new study cannot have.

    Raises:
        NameInvalid: the name is empty, too long, or has other characters.
    """
    if not NAME.fullmatch(name):
        raise NameInvalid(f"{quoted(name)} cannot be a study's name, which {NAME_RULE}")


def slug_of(name: str) -> str:
    """The name of the study in URLs: its own name if a URL can hold it, else one made from it.

    Optuna allows any name in a shared database. A slug ends in a part of the name's SHA-256: names
    that differ only in characters that a URL cannot hold have different slugs.
    """
    if NAME.fullmatch(name):
        return name
    readable = _OTHERS.sub("-", name).strip("-._")[:100] or "study"
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{readable}-{digest}"


def slug_in_file(name: str, file: str) -> str:
    """The name in URLs of a study whose own name another file's study has."""
    return slug_of(f"{name} in {file}")


def not_found(name: str, known: Collection[str]) -> StudyNotFound:
    """The error for a study that does not exist, with the names among `known` that are like its own.

    `known` are the names that the caller may see.
    """
    if not NAME.fullmatch(name):
        return StudyNotFound(f"no study can be called {name!r}")
    near = [] if len(known) > MOST_COMPARED else difflib.get_close_matches(name, known)
    meant = f". Did you mean {' or '.join(map(repr, near))}?" if near else "."
    return StudyNotFound(
        f"there is no study {name!r}{meant} To create it, put {name}.yaml into the server's config "
        f"folder, or call create_study({name!r}) of the Python client",
        near=near,
    )


def name_fault(name: str) -> str | None:
    """Why a text cannot be the name of a parameter or an objective; None if it can."""
    if not name or name != name.strip():
        return f"{quoted(name)} is not a name: it is empty, or begins or ends with a space"
    if len(name) > LONGEST_NAME:
        return f"{quoted(name)} is too long: a name may have {LONGEST_NAME} characters, not {len(name)}"
    if not name.isprintable():
        return f"{quoted(name)} is not a name: it holds a character that cannot be printed"
    return None
