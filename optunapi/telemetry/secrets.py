"""Passwords in URLs, masked wherever one is shown."""

import re

# A password may contain any character, and is not always encoded: it ends at the last `@`.
_USER = re.compile(r"(?<=://)([^\s/?#@:]*):[^\s]*@")
_QUERY = re.compile(
    r"(?i)([?&][^=&\s]*(?:password|passwd|passfile|secret|token)[^=&\s]*=)[^&\s'\")]*"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic) +[\w.~+/=-]{6,}")


def masked(text: str) -> str:
    """The text with `***` in place of the passwords and tokens in its URLs and headers."""
    if "://" in text:
        text = _USER.sub(r"\1:***@", text)
    if "=" in text:
        text = _QUERY.sub(r"\1***", text)
    if " " in text:
        text = _BEARER.sub(r"\1 ***", text)
    return text
