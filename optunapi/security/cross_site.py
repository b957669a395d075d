"""Requests that a web page of another site makes a browser send, and those a browser sends unasked.

The old routes change state on GET, so a link, an image or a prefetch would be enough. Browsers leave
`Sec-Fetch-Site` out over plain HTTP to anything but loopback: `Origin` and `Referer` remain there.
"""

from urllib.parse import urlsplit

from fastapi import Request

from optunapi.errors import CrossSite

TELLTALES = {b"sec-purpose", b"purpose", b"x-moz", b"sec-fetch-site", b"origin", b"referer"}


async def cross_site_refused(request: Request) -> None:
    """`refuse_cross_site` as a dependency."""
    refuse_cross_site(request)


def refuse_cross_site(request: Request) -> None:
    """Let a request through that no other site caused.

    Raises:
        CrossSite: it says that it comes from another site, or is a prefetch.
    """
    if TELLTALES.isdisjoint([name for name, _ in request.scope["headers"]]):
        return  # it is no browser's
    headers = request.headers
    for name in ("sec-purpose", "purpose", "x-moz"):
        if "prefetch" in headers.get(name, "").lower():
            raise CrossSite("a prefetch would take a trial that nobody asked for")
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
    # A browser leaves the scheme's own port out of Host and of Origin alike, other clients may not.
    default = {"http": 80, "https": 443}.get(parts.scheme)
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return host in ({name, f"{name}:{default}"} if port in (None, default) else {f"{name}:{port}"})
