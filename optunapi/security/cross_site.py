"""Requests that a page of another site makes a browser send, and those that a browser sends by itself.

The old routes change state on GET: a link, an image or a prefetch would be enough. `Sec-Fetch-Site`, which
no page can set, decides where it says `cross-site`, `same-origin` or `none`. Over plain HTTP browsers send
it to loopback alone, and `same-site` may be another host of the domain: there `Origin` and `Referer` are
compared with the server's address.
"""

from operator import itemgetter
from urllib.parse import urlsplit

from fastapi import Request

from optunapi.errors import CrossSite

TELLTALES = {b"sec-purpose", b"purpose", b"x-moz", b"sec-fetch-site", b"origin", b"referer"}
OWN_PAGES = {"same-origin", "none"}
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
    sites = {site.strip().lower() for site in headers.getlist("sec-fetch-site")}
    if "cross-site" in sites:
        raise CrossSite("this request was made by a page of another site")
    if sites and sites <= OWN_PAGES:
        return  # a proxy may have replaced the Host that a page was loaded from
    for name in ("origin", "referer"):
        source = headers.get(name)
        if source and not any(_is_of(source, host) for host in _hosts(request)):
            raise CrossSite(
                f"the {name.title()} of this request is another host than the server's: a proxy in "
                "between has to leave the Host header as it is, or to send X-Forwarded-Host"
            )


def _hosts(request: Request) -> list[str]:
    """The server's address as the client may know it.

    A page of another site cannot set `X-Forwarded-Host`: a browser would first ask whether it may.
    """
    given = [*request.headers.getlist("host"), *request.headers.getlist("x-forwarded-host")]
    return [host.strip().lower() for value in given for host in value.split(",")]


def _is_of(source: str, host: str) -> bool:
    """Whether a URL is one of this host, which has a port unless that is the default one."""
    try:
        parts = urlsplit(source)
        port = parts.port
    except ValueError:
        return False
    if not parts.hostname:
        return False  # `null`: a sandboxed page, or one from a file
    # Browsers leave the default port out of both Host and Origin; other clients may not.
    default = {"http": 80, "https": 443}.get(parts.scheme)
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host in ({name, f"{name}:{default}"} if port in (None, default) else {f"{name}:{port}"})
