"""What a study may be called, and how one is reached whose name cannot stand in an address."""

import hashlib
import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_OTHERS = re.compile(r"[^A-Za-z0-9._-]+")


def slug_of(name: str) -> str:
    """The legal name by which a study is reached: its own where that is legal.

    Optuna allows any name in a shared database. A slug of such a one ends in a part of the name's
    SHA-256, so two names that differ in illegal characters alone have two slugs.
    """
    if NAME.fullmatch(name):
        return name
    readable = _OTHERS.sub("-", name).strip("-._")[:100] or "study"
    mark = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{readable}-{mark}"
