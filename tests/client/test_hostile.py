"""Replies that do not come from the server: pages of proxies, incomplete replies, nonsense."""

import json
from pathlib import Path
from typing import Any

import pytest

from optunapi import Client, Study
from optunapi.errors import OptunAPIError, RateLimited, ServerUnavailable, UnexpectedReply
from tests.client.proxy import Proxy


def reply(status: str, content: bytes = b"", kind: str = "application/json", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    head += ["Connection: close", *more]
    return "\r\n".join([*head, "", ""]).encode() + content


PAGE = b"<html><h1>Please log in</h1></html>"
NO_REPLY = {
    "a login page": reply("200 OK", PAGE, "text/html"),
    "a page that says it is JSON": reply("200 OK", PAGE),
    "another program's JSON": reply("200 OK", b'{"status": "ok", "code": 0}'),
    "a list": reply("200 OK", b"[]"),
    "null": reply("200 OK", b"null"),
    "nothing": reply("204 No Content"),
    "an empty success": reply("200 OK"),
    "JSON too deep": reply("200 OK", b"[" * 200_000),
    "a number too long": reply("200 OK", b"1" * 10_000),
    "not text": reply("200 OK", b"\xff\xfe\x00"),
    "falsely said to be compressed": reply(
        "200 OK", b"no gzip", "text/plain", "Content-Encoding: gzip"
    ),
    "a redirect": reply("302 Found", b"", "text/html", "Location: /login"),
    "a redirect to itself": reply("308 Permanent Redirect", b"", "text/html", "Location: ?"),
    "500 without JSON": reply("500 Internal Server Error", b"oops", "text/plain"),
    "500 with other JSON": reply("500 Internal Server Error", b'{"code": 7, "detail": []}'),
    "502": reply("502 Bad Gateway", PAGE, "text/html"),
    "522": reply("522 Connection Timed Out", PAGE, "text/html"),
    "418": reply("418 I'm a Teapot", PAGE, "text/html"),
    "404 of a web server": reply("404 Not Found", PAGE, "text/html"),
    "too many requests": reply("429 Too Many Requests", PAGE, "text/html", "Retry-After: 3600"),
    "a date that is none": reply(
        "503 Busy", b"", "text/html", "Retry-After: Fri, 01 Jan 9999 00:00:00 +9999999999999"
    ),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "a status that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "a chunk that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "an endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no end of a head": b"HTTP/1.1 200 OK\r\n",
    "nothing at all, without a head": b"",
}


@pytest.fixture
def through(study: Study, proxy: Proxy) -> Study:
    """The study, through a client that does not retry."""
    return Client(proxy.url, timeout=5, retry_for=0).study(study.name)


@pytest.mark.parametrize("raw", NO_REPLY.values(), ids=list(NO_REPLY))
def test_a_false_reply_loses_no_result_and_raises_one_of_our_errors(
    study: Study, through: Study, proxy: Proxy, spool: Path, raw: bytes
) -> None:
    trial = through.ask()
    proxy.disturb("/0", raw)
    trial.set_user_attr("epochs", 3)
    proxy.disturb("/tell", raw)
    with pytest.warns(UserWarning, match="is kept in"):
        trial.tell(0.5)
    assert len(list(spool.glob("*/*.json"))) == 1
    proxy.disturb("/0", raw, raw)  # the check before the delivery
    with pytest.raises(OptunAPIError) as raised:
        _ = Client(proxy.url, timeout=5, retry_for=0).study(study.name).trial(0)
    assert isinstance(raised.value, ServerUnavailable | UnexpectedReply | RateLimited)
    assert proxy.url in raised.value.detail
    proxy.calm()
    Client(proxy.url)
    told = study.trial(0)
    assert (told.values, told.user_attrs) == ([0.5], {"epochs": 3})


@pytest.mark.parametrize("raw", NO_REPLY.values(), ids=list(NO_REPLY))
def test_a_false_reply_to_an_ask_or_a_report_raises_one_of_our_errors(
    study: Study, through: Study, proxy: Proxy, raw: bytes
) -> None:
    for end, call in (
        ("/trials", through.ask),
        ("/batch", lambda: through.ask_batch(2)),
        ("/trials", lambda: list(through.trials())),
        ("/best", lambda: through.best_trials),
        ("/queue", lambda: through.enqueue({"n": 3})),
        (f"/{study.name}", lambda: through.state),
    ):
        proxy.disturb(end, raw)
        with pytest.raises(OptunAPIError):
            call()
    trial = through.ask()
    proxy.disturb("/report", raw)
    with pytest.raises(OptunAPIError):
        trial.report(0.5, 1)
    proxy.disturb("/suggest", raw)
    with pytest.raises(OptunAPIError):
        trial.suggest_float("own", 0, 1)
    assert trial.report(0.5, 1).tell(1.0).values == [1.0]


def problem(status: str, code: str, *more: str, **extra: Any) -> bytes:
    content = {"type": f"urn:optunapi:error:{code}", "title": "x", "code": code, **extra}
    return reply(status, json.dumps(content).encode(), "application/problem+json", *more)


def test_retry_after_is_obeyed(study: Study, proxy: Proxy) -> None:
    patient = Client(proxy.url, timeout=5, retry_for=60).study(study.name)
    proxy.disturb(
        "/trials",
        problem("429 Too Many Requests", "rate-limited", "Retry-After: 1", detail="slower"),
        reply("429 Too Many Requests", PAGE, "text/html", "Retry-After: 0"),
        problem("503 Service Unavailable", "standby", "Retry-After: 0", detail="soon"),
        reply("500 Internal Server Error", b"oops", "text/plain"),
    )
    assert patient.ask().number == 0
    assert not proxy.faults


def test_a_redirect_is_not_followed_and_gets_no_token(study: Study, proxy: Proxy) -> None:
    client = Client(proxy.url, token="secret", timeout=5, retry_for=0)
    proxy.seen.clear()
    proxy.disturb("", reply("307 Temporary Redirect", b"", "text/html", f"Location: {proxy.url}/x"))
    with pytest.raises(UnexpectedReply, match="points to"):
        client.study(study.name)
    assert len(proxy.seen) == 1


def test_a_cookie_is_neither_kept_nor_sent(study: Study, proxy: Proxy) -> None:
    client = Client(proxy.url, timeout=5, retry_for=0)
    proxy.disturb("", reply("404 Gone", PAGE, "text/html", "Set-Cookie: session=1; Path=/"))
    with pytest.raises(UnexpectedReply):
        client.study(study.name)
    pool = client.study(study.name).connection.session._pools.get()
    assert not list(pool.cookies)
