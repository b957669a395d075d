"""Connections that are used again, and proxies of the environment."""

import pickle
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from optunapi import Client, Study
from optunapi.client.http import session
from optunapi.client.http.proxies import is_loopback
from optunapi.errors import NoSlot, OptunAPIError, ServerUnavailable
from tests.client.conftest import MakeStudy
from tests.client.proxy import Proxy
from tests.client.test_outages import OPERATIONS
from tests.support import Server, free_port

# A server, or a proxy before it, closes connections that are idle


@pytest.fixture
def closing(proxy: Proxy) -> Client:
    """A client that does not retry, of a server that closes each connection after a reply."""
    proxy.closes = True
    return Client(proxy.url, timeout=30, retry_for=0)


def test_ping_is_true_of_a_server_that_closes_idle_connections_soon(closing: Client) -> None:
    assert [closing.ping() for _ in range(5)] == [True] * 5


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.__name__)
def test_a_call_over_a_connection_that_was_closed_meanwhile_is_sent_again_at_once(
    study: Study, closing: Client, operation: Callable[[Study], None]
) -> None:
    operation(closing.study(study.name))


@pytest.mark.parametrize("ending", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
def test_a_reused_connection_that_ends_without_a_reply_is_replaced(
    proxy: Proxy, ending: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.client.proxy.NO_REPLY", ())  # the second try is not disturbed
    client = Client(proxy.url, retry_for=0)
    assert client.ping()
    proxy.disturb("/ping", ending)
    assert client.ping()
    assert not proxy.faults


def test_a_new_connection_that_ends_without_a_reply_is_a_failure(proxy: Proxy) -> None:
    client = Client(proxy.url, retry_for=0)
    proxy.disturb("/ping", "reset")
    assert not client.ping()
    assert len(proxy.seen) == 1


def fork(study: Study, name: str) -> None:
    body = {"name": name}
    study.connection.call("POST", "studies", study.name, "fork", body=body)


def test_a_post_that_must_not_arrive_twice_is_sent_once_if_it_may_have_arrived(
    study: Study, proxy: Proxy
) -> None:
    through = Client(proxy.url, retry_for=600).study(study.name)
    proxy.disturb("/fork", "lose-reply")
    with pytest.raises(ServerUnavailable):
        fork(through, f"{study.name}-b")
    assert [path.rpartition("/")[2] for _, path in proxy.seen].count("fork") == 1
    proxy.disturb("/fork", "bad-gateway")
    with pytest.raises(ServerUnavailable):
        fork(through, f"{study.name}-c")


def test_a_post_that_must_not_arrive_twice_is_not_sent_where_it_may_be_lost(
    study: Study, closing: Client
) -> None:
    through = closing.study(study.name)
    for copy in "bc":
        fork(through, f"{study.name}-{copy}")
    assert Client(study.connection.url).study(f"{study.name}-c").name == f"{study.name}-c"


def test_a_post_that_did_not_arrive_is_tried_again() -> None:
    away = Client(f"http://127.0.0.1:{free_port()}", retry_for=0).connection
    tried: list[float] = []
    object.__setattr__(away.retries, "seconds", 1.0)
    object.__setattr__(away.retries, "sleep", tried.append)
    object.__setattr__(away.retries, "clock", lambda: float(len(tried)))
    with pytest.raises(ServerUnavailable):
        away.call("POST", "studies", "s", "fork", body={"name": "t"})
    assert len(tried) == 1


def test_the_time_for_a_connection_is_not_that_for_the_first_reply(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(max_running=1)
    trial = study.ask()
    unused: Study = pickle.loads(pickle.dumps(study))
    object.__setattr__(unused.connection.retries, "seconds", 0.0)
    monkeypatch.setattr(session, "CONNECT_SECONDS", 0.25)
    with pytest.raises(NoSlot):
        unused.ask(wait=1)
    trial.tell(1.0)


# Proxies


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.", "a.localhost", "localhost.localdomain", "ip6-localhost"),
        *("127.0.0.1", "127.8.9.10", "127.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"),
    ],
)
def test_these_hosts_are_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["head", "10.0.0.1", "128.0.0.1", "localhost.example.org", "fe80::1", "mylocalhost", ""]
)
def test_these_hosts_are_others(host: str) -> None:
    assert not is_loopback(host)


VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_loopback_is_never_reached_through_a_proxy(
    server: Server, study: Study, environment: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    environment.setenv(variable, f"http://127.0.0.1:{free_port()}")
    client = Client(server.url.replace("127.0.0.1", name), retry_for=0)
    assert client.ping()
    assert client.study(study.name).ask().tell(1.0).number == 0


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a proxy that refuses what it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            self.send_error(int(self.path.rpartition("/")[2]) if "/" in self.path else 403)

        do_GET = do_CONNECT = refuse  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def failure(url: str, study: str = "x") -> str:
    with pytest.raises(OptunAPIError) as raised:
        Client(url, retry_for=0).study(study)
    return raised.value.detail


@pytest.mark.parametrize("status", [403, 407, 429, 502, 503])
def test_an_error_names_the_proxy_that_refused_and_how_to_go_without_it(
    refusing: str, environment: pytest.MonkeyPatch, status: int
) -> None:
    environment.setenv("http_proxy", f"http://user:secret@{refusing}")
    said = failure("http://head.invalid:8000", str(status))
    assert f"{status}" in said
    assert f"the proxy http://{refusing} (http_proxy)" in said
    assert "set NO_PROXY=head.invalid" in said
    assert "secret" not in said


def test_an_error_names_the_proxy_that_was_not_reached(environment: pytest.MonkeyPatch) -> None:
    proxy = f"127.0.0.1:{free_port()}"
    environment.setenv("ALL_PROXY", proxy)
    said = failure("http://head.invalid:8000")
    assert f"the proxy http://{proxy} (ALL_PROXY)" in said
    assert "set NO_PROXY=head.invalid" in said
    assert "optunapi serve" not in said


def test_an_error_names_the_proxy_of_an_https_url(
    refusing: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTPS_PROXY", f"http://{refusing}")
    environment.setenv("HTTP_PROXY", "http://another.invalid:1")
    said = failure("https://head.invalid")
    assert f"the proxy http://{refusing} (HTTPS_PROXY)" in said


def test_an_error_names_no_proxy_that_is_not_used(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    environment.setenv("NO_PROXY", "head.invalid")
    assert "proxy" not in failure("http://head.invalid:8000").lower()
    assert "proxy" not in failure(f"http://127.0.0.1:{free_port()}")
