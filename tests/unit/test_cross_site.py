"""Which requests were caused by another site, behind proxies too."""

import pytest
from fastapi import Request

from optunapi.errors import CrossSite
from optunapi.security.cross_site import refuse_cross_site

Headers = dict[str, str]


def asked(headers: Headers) -> Request:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": pairs})


INSIDE: Headers = {"Host": "127.0.0.1:8000"}  # what a proxy made of it


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**INSIDE, "Sec-Fetch-Site": "same-origin", "Origin": "https://optunapi.example"},
        {**INSIDE, "Sec-Fetch-Site": "same-origin", "Referer": "https://optunapi.example/docs"},
        {"Host": "head:8000", "Sec-Fetch-Site": "same-site", "Origin": "http://head:8000"},
        {**INSIDE, "Sec-Fetch-Site": "same-site"},
        {**INSIDE, "Sec-Fetch-Site": "Same-Origin", "Origin": "https://optunapi.example"},
        {**INSIDE, "Sec-Fetch-Site": "none", "Referer": "https://optunapi.example/"},
        {**INSIDE, "X-Forwarded-Host": "head.example", "Origin": "http://head.example"},
        {**INSIDE, "X-Forwarded-Host": "HEAD.example", "Origin": "http://Head.Example:80"},
        {
            **INSIDE,
            "X-Forwarded-Host": "head.example, inner:81",
            "Referer": "http://head.example/a",
        },
        {**INSIDE, "X-Forwarded-Host": "head.example:8443", "Origin": "https://head.example:8443"},
        {"Host": "HEAD:8000", "Origin": "http://head:8000"},
        {"Host": "head:443", "Origin": "https://head"},
        {"Host": "head", "Origin": "https://head:443"},
        {"Host": "[FE80::1]", "Origin": "http://[fe80::1]"},
        {"Host": "[::1]:80", "Origin": "http://[::1]"},
        {"Host": "head", "Referer": "http://user@head/page?q=1#part"},
        {"Host": "head", "Origin": "", "Referer": ""},
    ],
)
def test_a_request_of_the_servers_own_pages_goes_on(headers: Headers) -> None:
    refuse_cross_site(asked(headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "CROSS-SITE"},
        {"Host": "head", "Sec-Fetch-Site": "cross-site", "Origin": "http://head"},
        {"Host": "head", "Sec-Fetch-Site": "unheard-of", "Origin": "http://evil"},
        {"Host": "opt.lab", "Sec-Fetch-Site": "same-site", "Origin": "http://wiki.lab"},
        {"Host": "opt.lab", "Sec-Fetch-Site": "same-site", "Referer": "http://wiki.lab/page"},
        {"Host": "head", "Sec-Fetch-Site": "", "Origin": "http://evil"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Purpose": "prefetch;prerender"},
        {**INSIDE, "Origin": "http://head.example"},
        {**INSIDE, "X-Forwarded-Host": "head.example", "Origin": "http://evil.example"},
        {**INSIDE, "X-Forwarded-Host": "", "Origin": "null"},
        {"Host": "", "Origin": "null"},
        {"Origin": "null"},
        {"Host": "none", "Origin": "null"},
        {"Host": "head:8000", "Origin": "http://head:8001"},
        {"Host": "head:8000", "Origin": "http://head"},
        {"Host": "head:443", "Origin": "http://head"},
        {"Host": "head", "Origin": "http://head.evil"},
        {"Host": "head", "Referer": "http://head@evil/"},
        {"Host": "head", "Origin": "http://head", "Referer": "http://evil/"},
        {"Host": "[::1]", "Origin": "http://[::2]"},
        {"Host": "head", "Origin": "http://head:port"},
        {"Host": "head", "Origin": "chrome-extension://abcdef"},
        {"Host": "head", "Origin": "http://[::1"},
    ],
)
def test_a_request_that_another_site_caused_is_refused(headers: Headers) -> None:
    with pytest.raises(CrossSite):
        refuse_cross_site(asked(headers))


def test_a_proxy_that_hides_the_host_is_told_what_to_send() -> None:
    with pytest.raises(CrossSite, match="X-Forwarded-Host"):
        refuse_cross_site(asked({**INSIDE, "Origin": "http://head.example"}))


def test_one_of_several_headers_is_enough_to_refuse() -> None:
    for sites in (["same-origin", "cross-site"], ["same-origin", "other"]):
        pairs = [(b"sec-fetch-site", site.encode()) for site in sites]
        scope = {
            "type": "http",
            "headers": [(b"host", b"head"), *pairs, (b"origin", b"http://evil")],
        }
        with pytest.raises(CrossSite):
            refuse_cross_site(Request(scope))
