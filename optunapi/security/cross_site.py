"""Requests that a page of another site makes a browser send, and those that a browser sends by itself.

The old routes change state on GET: a link, an image or a prefetch would be enough. Over plain HTTP
browsers send `Sec-Fetch-Site` to loopback alone, so `Origin` and `Referer` are looked at too.
"""

from operator import itemgetter
from urllib.parse import urlsplit

from fastapi import Request

from optunapi.errors import CrossSite

TELLTALES = {b"sec-purpose", b"purpose", b"x-moz", b"sec-fetch-site", b"origin", b"referer"}
_NAME = itemgetter(0)


def refuse_cross_site(request: Request) -> None:
    """Let a request through unless another site caused it.

    Raises:
        CrossSite: its headers name another site, or it is a prefetch.
    """
    if TELLTALES.isdisjoint(map(_NAME, request.scope["headers"])):
        return  # no browser sent it
    headers = request.headers
    for name in ("sec-purpose", "purpose", "x-moz"):
        if "prefetch" in headers.get(name, "").lower():
            raise CrossSite("a prefetch would take a trial without anybody asking for it")
    if headers.get("sec-fetch-site", "").lower() == "cross-site":
        raise CrossSite("this request was made by a page of another site")
    for name in ("origin", "referer"):
        source = headers.get(name)
        if source is not None and not _same_host(source, request):
            raise CrossSite(f"the {name.title()} of this request is another host than the server's")


def _same_host(source: str, request: Request) -> bool:
    host = request.headers.get("host", "").lower()
    try:
        parts = urlsplit(source)
        port = parts.port
    except ValueError:
        return False
    # Browsers leave the default port out of both Host and Origin; other clients may not.
    default = {"http": 80, "https": 443}.get(parts.scheme)
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return host in ({name, f"{name}:{default}"} if port in (None, default) else {f"{name}:{port}"})
