"""What studies, parameters and objectives may be called, and the name of a study in URLs."""

import hashlib
import re

from optunapi.engine.documents.document import quoted
from optunapi.errors import NameInvalid

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

LONGEST_NAME = 255

_OTHERS = re.compile(r"[^A-Za-z0-9._-]+")


def check_name(name: str) -> None:
    """Refuse a name that a new study cannot have.

    Raises:
        NameInvalid: the name is empty, too long, or has other characters.
    """
    if not NAME.fullmatch(name):
        raise NameInvalid(
            "a study's name has 1 to 128 letters, digits, dots, hyphens and underscores, "
            "and begins with a letter or digit"
        )


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


def name_fault(name: str) -> str | None:
    """Why a text cannot be the name of a parameter or an objective; None if it can."""
    if not name or name != name.strip():
        return f"{quoted(name)} is not a name: it is empty, or begins or ends with a space"
    if len(name) > LONGEST_NAME:
        return f"a name may have {LONGEST_NAME} characters; this one has {len(name)}"
    if not name.isprintable():
        return f"{quoted(name)} is not a name: it holds a character that cannot be printed"
    return None
