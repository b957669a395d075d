"""The fast path and FastAPI answer any request alike: same status, headers and body, same change of state.

Two servers get the same requests, valid, odd and hostile ones. One of them has no fast path.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from optunapi.api.serving.fast_path import FastPath
from optunapi.app import create_app
from optunapi.settings import Settings
from tests.api.any_life import Call, Life, lives
from tests.api.server import serving_app
from tests.api.wire import Wire
from tests.support import scaled, write_config

CHANCE = {
    *("id", "uid", "study_uid", "request_id", "since", "lease_key", "artifact_id"),
    *("expires_at", "created_at", "started_at", "finished_at", "last_activity_at", "uploaded_at"),
}
MAX_BODY = 4000


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A request as it is sent. `STUDYSTU` and `LEASELEASELEASEL` stand for what differs between servers."""

    method: bytes
    target: bytes
    headers: tuple[bytes, ...] = ()
    body: bytes = b""
    is_chunked: bool = False

    def encoded(self) -> bytes:
        """The bytes to send."""
        lines = [b"%b %b HTTP/1.1" % (self.method, self.target), b"Host: 127.0.0.1"]
        lines += [b"Connection: close", *self.headers]
        body = self.body
        if self.is_chunked:
            lines.append(b"Transfer-Encoding: chunked")
            pieces = [body[i : i + 7] for i in range(0, min(len(body), 70), 7)] + [body[70:]]
            chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece]
            body = b"".join(chunks) + b"0\r\n\r\n"
        elif body or self.method == b"POST":
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + body


Reply = tuple[int, list[tuple[str, str]], Any]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two servers, and the study there."""

    wire: Wire
    life: Life

    @property
    def study(self) -> str:
        return self.life.study

    def send(self, request: Raw | Call) -> Reply:
        """The reply, without what is drawn by chance or by the clock."""
        if isinstance(request, Call):
            reply = self.life.send(request)
            return reply.status_code, _headers(reply.headers.multi_items()), _content(reply.content)
        leases = [lease for known in self.life.trials.values() for lease in known] or ["none"]
        here = {b"STUDYSTU": self.study.encode(), b"LEASELEASELEASEL": leases[0].encode()}
        given = replace(
            request, target=_with(here, request.target), body=_with(here, request.body)
        ).encoded()
        return _exchange(self.wire.client.base_url.port or 0, given)

    def state(self) -> Any:
        """Everything that a request could have changed."""
        export = self.wire.request("GET", f"/studies/{self.study}/export").text
        lines = [_plain(json.loads(line)) for line in export.split("\n") if line]
        view = _plain(self.wire.study(self.study))
        return view, lines, sorted(path.name for path in self.wire.home.rglob("*.db"))


def _with(names: Mapping[bytes, bytes], text: bytes) -> bytes:
    for name, value in names.items():
        text = text.replace(name, value)
    return text


def _exchange(port: int, content: bytes) -> Reply:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        connection.sendall(content)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100 "):  # the body may be sent
        head, _, body = body.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    if not status:
        return 0, [], None
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return int(status.split()[1]), _headers(headers), _content(body)


def _headers(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    own = ("date", "x-request-id", "x-optunapi-server", "content-length", "connection")
    return sorted((name.lower(), value) for name, value in pairs if name.lower() not in own)


def _content(body: bytes) -> Any:
    try:
        return _plain(json.loads(body))
    except ValueError:
        return body


def _plain(found: Any) -> Any:
    if isinstance(found, dict):
        return {k: type(v).__name__ if k in CHANCE else _plain(v) for k, v in found.items()}
    return [_plain(each) for each in found] if isinstance(found, list) else found


# Odd and hostile requests


def _lines(text: str) -> list[bytes]:
    return text.encode("utf-8", errors="surrogateescape").splitlines()


def _words(text: str) -> list[bytes]:
    return text.encode().split()


methods = st.sampled_from(
    [*[b"POST"] * 8, *[b"GET"] * 4, *_words("HEAD PUT PATCH OPTIONS DELETE TRACE BREW post")]
)
studies = st.sampled_from(
    [
        *[b"STUDYSTU"] * 12,
        *_words("m %6d M m%20 m%00 m%0A %C3%A9 %ff . .. m%2F.. - nobody"),
        *(b"x" * 128, b"x" * 129),
    ]
)
trial_numbers = st.sampled_from(
    [
        *_words("0 1 0 1 0 1 2 %30 00 +1 -1 0.0 1e0 0x0 1_0 %200 99 %D9%A3 %C2%B2"),
        *(b"9007199254740991", b"9007199254740992", b"9" * 19, b"9" * 4301),
    ]
)
verbs = st.sampled_from(_words("tell report renew tell report renew Tell %74ell tell%2F stop"))
spellings = st.sampled_from([*[b"%b"] * 10, *_words("%b/ /%b %b// %b;x=1 %b%%00 %b#x %b%%zz")])
queries = st.sampled_from(
    [b""] * 8
    + _words("? ?a=1 ?wait=0 ?wait=x ?wait=0&wait=0 ?worker=w ?worker= ?worker=%ff ?key=k ?key=%00")
    + _words("?key=a&key=b ?%ff=1 ?= ?&& ?study_uid=x ?score=1 ?trail_id=0&score=1")
    + [b"?trial_id=0&trail_id=1&score=1", b"?key=" + b"k" * 300]
) | st.builds(
    lambda number, score, rest: b"?trial_id=%b&score=%b%b" % (number, score, rest),
    trial_numbers,
    st.sampled_from(
        [
            *_words("0.5 0.5 nan -1.%23IND Infinity 1e400 1.5%20 %2B1 1,5 x 0x1p-1 1_0 %D9%A3"),
            *(b"", b"1d0", b"null", b"true", b"0.5&score=0.5", b"9" * 4301),
        ]
    ),
    st.sampled_from([b"", b"", *_words("&a=1 &lease=x &study_uid=x ;score=2 &worker=w")]),
)


@st.composite
def targets(draw: st.DrawFn) -> bytes:
    """A path and a query: of a hot route, or nearly."""
    study = draw(studies)
    trials = b"/optunapi/v1/studies/%b/trials" % study
    one = b"%b/%b/%b" % (trials, draw(trial_numbers), draw(verbs))
    prefix = draw(st.sampled_from([b"", *_words("/optunapi /optuna /OPTUNAPI /optunapi/v1")]))
    old = b"%b/%b/%b" % (prefix, draw(st.sampled_from([b"hparams", b"score"])), study)
    path = draw(st.sampled_from([trials, one, one, one, old, old, b"%b/ping" % prefix]))
    return draw(spellings) % path + draw(queries)


HEADERS = """\
Content-Type: application/json
Content-Type: application/json
Content-Type: application/json; charset=utf-8
Content-Type: application/json; charset=utf-16
Content-Type: text/plain
Content-Type:
Content-Encoding: gzip
Idempotency-Key: k
idempotency-key: k2
Idempotency-Key:
Idempotency-Key: a\tb
Sec-Fetch-Site: cross-site
Sec-Fetch-Site: same-origin
Origin: http://evil.example
Origin: null
Referer: http://127.0.0.1/x
Sec-Purpose: prefetch
Purpose: prefetch
Accept: text/html
Accept: application/yaml
Accept-Encoding: gzip
X-Forwarded-For: 10.0.0.1
X-Forwarded-Prefix: /x
X-HTTP-Method-Override: GET
X-Request-ID: mine
Authorization: Bearer x
Expect: 100-continue"""
headers = st.lists(
    st.sampled_from(
        [
            *_lines(HEADERS),
            *(b"Idempotency-Key: " + b"k" * length for length in (255, 256)),
            *(b"Idempotency-Key: \xff", b"X-Odd: \xe9"),
        ]
    ),
    max_size=3,
).map(tuple)
OWN = b'"lease": "LEASELEASELEASEL"'
FIELDS = r"""
"step": 1
"step": 1
"step": 1.0
"step": -1
"step": 1e2
"step": 9223372036854775808
"step": "1"
"step": true
"value": 0.5
"value": 0.5
"value": 0.5
"value": null
"value": 1
"value": "0.5"
"value": true
"value": NaN
"value": 1e400
"value": -0.0
"value": 123456789012345678901234567890
"value": 0.5, "value": 0.25
"values": [0.5]
"values": [0.5, 1]
"values": []
"values": [null]
"state": "fail"
"state": "pruned"
"state": "done"
"state": null
"lease": "LEASELEASELEASEL"
"lease": "LEASELEASELEASEL"
"lease": "LEASELEASELEASEL"
"lease": "x"
"lease": ""
"lease": 1
"lease": null
"lease_seconds": 60
"lease_seconds": 0
"lease_seconds": 1e9
"worker": "w"
"worker": ""
"worker": "é"
"worker": "\ud800"
"worker": "\u0000"
"resume": true
"resume": 1
"params": {"x": 0.5}
"params": {"y": 1}
"params": {"x": 9}
"params": []
"params": null
"user_attrs": {"a": [1, {"b": null}]}
"user_attrs": {"a": 1, "a": 2}
"user_attrs": {"\u0000": 1}
"user_attrs": []
"constraints": {"c": 1}
"constraints": {"c": "1"}
"infinity": "+"
"reason": "r"
"study_uid": "x"
"more": 1
"": 1""".lstrip()
fields = st.sampled_from(
    [
        *_lines(FIELDS),
        b'"worker": "\xff"',
        b'"worker": "%b"' % (b"w" * 256),
        b'"a": %b%b' % (b"[" * 1000, b"]" * 1000),
    ]
)
objects = st.lists(fields, max_size=4).map(lambda each: b"{%b}" % b", ".join(each))
ODD_BODIES = r"""
{}
 {}
{} {}
{
null
[]
[{}]
"{}"
0
{'step': 1}
step=1&value=2"""
odd_bodies = st.sampled_from(
    [
        *_lines(ODD_BODIES),
        *(b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"\x00", b"\xff"),
        *(b" " * MAX_BODY, b" " * (MAX_BODY - 2) + b"{}", b" " * MAX_BODY + b"{}"),
        *(b"[" * MAX_BODY, b'{"a":' * 700),
    ]
)
bodies = st.one_of(objects, objects, odd_bodies, st.binary(max_size=20))
RIGHT = [
    (b"GET", b"/optunapi/ping", ()),
    (b"GET", b"/optunapi/hparams/STUDYSTU", ()),
    (b"GET", b"/optuna/hparams/STUDYSTU?worker=w&key=k", ()),
    (b"GET", b"/optunapi/score/STUDYSTU?trial_id=1&score=0.5", ()),
    (b"POST", b"/optunapi/v1/studies/STUDYSTU/trials", ()),
    (b"POST", b"/optunapi/v1/studies/STUDYSTU/trials", (b'"worker": "w", "resume": true',)),
    (b"POST", b"/optunapi/v1/studies/STUDYSTU/trials", (b'"params": {"x": 0.5}',)),
    (b"POST", b"/optunapi/v1/studies/STUDYSTU/trials/0/report", (b'"step": 1, "value": 0.5', OWN)),
    (b"POST", b"/optunapi/v1/studies/STUDYSTU/trials/0/renew", (OWN,)),
    (b"POST", b"/optunapi/v1/studies/STUDYSTU/trials/1/tell", (b'"value": 0.5',)),
    (b"POST", b"/optunapi/v1/studies/STUDYSTU/trials/0/tell", (b'"state": "fail"', OWN)),
]


@st.composite
def nearly_right(draw: st.DrawFn) -> Raw:
    """A request that a hot route takes, or one with something odd about it."""
    method, target, body = draw(st.sampled_from(RIGHT))
    oddities = draw(st.sets(st.sampled_from(["headers", "query", "body"]), max_size=1))
    if "query" in oddities:
        target += draw(queries)
    if "body" in oddities:
        body = (*body, draw(fields))
    return Raw(
        method=method,
        target=target,
        headers=draw(headers) if "headers" in oddities else (),
        body=b"{%b}" % b", ".join(body) if method == b"POST" else b"",
        is_chunked=draw(st.booleans()) and method == b"POST",
    )


wild = st.builds(
    Raw,
    method=methods,
    target=targets(),
    headers=headers,
    body=bodies,
    is_chunked=st.sampled_from([False, False, True]),
)
raws = st.one_of(nearly_right(), wild)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[dict[str, Any], list[Raw | Call]]:
    """A specification, and requests to its study and others: those of a usual life, and odd ones."""
    spec, calls = draw(lives(max_size=scaled(10, 20)))
    odd = draw(st.lists(raws, min_size=15, max_size=40))
    asked = Call(method="POST", path="/trials", body={"lease_seconds": 60})
    rest: list[Raw | Call] = draw(st.permutations([*calls, *odd]))
    return spec, [asked, *rest]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Wire, Wire]]:
    """Two servers, of which the second has no fast path."""
    homes = [tmp_path_factory.mktemp(name) for name in ("fast", "plain")]
    apps = [create_app(Settings(home=home, max_body=MAX_BODY)) for home in homes]
    fast_path: Any = FastPath
    others = [each for each in apps[1].user_middleware if each.cls is not fast_path]
    assert len(others) < len(apps[1].user_middleware)
    apps[1].user_middleware = others
    for home in homes:
        (home / "config").mkdir()
        text = "sampler: {name: random, seed: 1}\nx: {type: float, low: 0, high: 1}\n"
        write_config(home / "config" / "m.yaml", text.replace("x:", "parameters:\n  x:"))
    with serving_app(apps[0]) as fast, serving_app(apps[1]) as plain:
        yield Wire(client=fast, home=homes[0]), Wire(client=plain, home=homes[1])


def compare(two: tuple[Wire, Wire], spec: dict[str, Any], requests: list[Raw | Call]) -> None:
    """Send the requests to a new study of each server; all replies and the outcome must be equal."""
    sides = []
    for wire in two:
        name = f"{int(wire.new_name()[1:]):08}"
        reply = wire.request("PUT", f"/studies/{name}", json=spec)
        assert reply.status_code == 201, reply.text
        sides.append(Side(wire=wire, life=Life(client=wire.client, study=name)))
    for request in requests:
        fast, plain = (side.send(request) for side in sides)
        assert fast == plain, request
        assert fast[0] < 500, (request, fast)
        event(f"{type(request).__name__} {fast[0]}")
    fast_state, plain_state = (side.state() for side in sides)
    assert fast_state == plain_state


@settings(
    max_examples=scaled(12, 600),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example needs two databases
    suppress_health_check=list(HealthCheck),
)
@given(conversation=conversations())
def test_any_request_is_answered_alike_by_the_fast_path_and_by_fastapi(
    two: tuple[Wire, Wire], conversation: tuple[dict[str, Any], list[Raw | Call]]
) -> None:
    compare(two, *conversation)
