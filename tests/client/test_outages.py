"""Faults of the network cost time and nothing else; results that cannot be sent are kept on disk."""

import json
import math
import queue
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import requests

from optunapi import Client, Study, Trial
from optunapi.client.optuna_types.frozen import FrozenTrial
from optunapi.client.spool_folders import spool_folders
from optunapi.errors import NoSlot, RouteNotFound, ServerUnavailable
from tests.client.conftest import XY, MakeStudy
from tests.client.proxy import Fault, Proxy
from tests.support import Server, free_port, running_server

FAULTS = get_args(Fault)


@pytest.fixture
def hasty(proxy: Proxy) -> Client:
    """A client that soon stops waiting for a reply and retries."""
    return Client(proxy.url, timeout=0.5, retry_for=60)


@pytest.fixture
def away(proxy: Proxy) -> Client:
    """A client that does not retry."""
    return Client(proxy.url, timeout=1, retry_for=0)


def waiting(spool: Path) -> list[Path]:
    return sorted(spool.glob("*/*.json"))


def refused(spool: Path) -> list[Path]:
    return sorted(spool.glob("*/*.refused"))


# Each request is carried out once, under each fault


def ask(study: Study) -> None:
    first, second = study.ask(), study.ask()
    assert (first.number, second.number) == (0, 1)


def ask_batch(study: Study) -> None:
    trials = study.ask_batch(3)
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert study.ask().number == 3


def enqueue(study: Study) -> None:
    assert study.enqueue({"n": 3}).number == 0
    assert len(list(study.trials())) == 1


def import_trials(study: Study) -> None:
    assert study.import_trials([{"params": {"x": 1.0, "n": 1}, "values": [1.0]}]) == 1
    assert len(list(study.trials())) == 1


def tell(study: Study) -> None:
    assert study.ask().tell(1.0).values == [1.0]
    assert [trial.values for trial in study.trials()] == [[1.0]]


def report(study: Study) -> None:
    trial = study.ask()
    trial.report(0.5, 1).report(0.25, 2)
    assert study.trial(0).intermediate_values == {1: 0.5, 2: 0.25}


def suggest(study: Study) -> None:
    trial = study.ask()
    value = trial.suggest_float("own", 0, 1)
    assert study.trial(0).params["own"] == value


def user_attrs(study: Study) -> None:
    study.ask().set_user_attr("host", "gpu-03")
    assert study.trial(0).user_attrs == {"host": "gpu-03"}


def artifacts(study: Study) -> None:
    assert study.ask().upload_artifact(__file__) == Path(__file__).name


def read(study: Study) -> None:
    assert list(study.trials()) == []


def fail(study: Study) -> None:
    assert study.ask().fail("no memory").fail_reason == "no memory"


def prune(study: Study) -> None:
    assert study.ask().report(0.5, 1).prune().values == [0.5]


def release(study: Study) -> None:
    study.ask().release()
    assert study.trial(0).state == "waiting"
    assert study.ask().attempt == 2


def resume(study: Study) -> None:
    before = study.ask(worker="gpu-03")
    again = study.ask(worker="gpu-03", resume=True)
    assert (before.number, again.number, again.attempt) == (0, 0, 2)


def create_study(study: Study) -> None:
    spec = {**XY, "max_trials": 3}
    client = Client(study.connection.url, timeout=0.5)
    assert client.create_study(f"{study.name}-b", spec).ask().number == 0


def attributes_of_the_study(study: Study) -> None:
    study.set_user_attr("team", "vision")
    assert study.user_attrs == {"team": "vision"}


OPERATIONS: dict[Callable[[Study], None], str] = {
    ask: "/trials",
    ask_batch: "/batch",
    enqueue: "/queue",
    import_trials: "/import",
    tell: "/tell",
    report: "/report",
    suggest: "/suggest",
    user_attrs: "/0",
    artifacts: ".py",
    read: "/trials",
    fail: "/tell",
    prune: "/tell",
    release: "/release",
    resume: "/trials",
    create_study: "-b",
    attributes_of_the_study: "",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.__name__)
def test_a_disturbed_request_is_carried_out_once(
    study: Study,
    hasty: Client,
    proxy: Proxy,
    operation: Callable[[Study], None],
    fault: Fault,
) -> None:
    through = hasty.study(study.name)
    proxy.disturb(OPERATIONS[operation] or f"/{study.name}", fault)
    operation(through)
    assert not proxy.faults, "the fault was not met"


def test_many_faults_in_a_row_do_no_harm(study: Study, hasty: Client, proxy: Proxy) -> None:
    through = hasty.study(study.name)
    proxy.disturb("/trials", "reset", "lose-reply", "truncate", "bad-gateway")
    first, second = through.ask(), study.ask()
    assert (first.number, second.number) == (0, 1)


def test_an_ask_whose_trial_was_handed_on_before_the_retry_asks_for_another(
    study: Study, hasty: Client, proxy: Proxy
) -> None:
    other: list[Trial] = []

    def handed_on() -> None:
        while not other:
            trial = study.ask()
            if trial.number == 0:
                other.append(trial)
            else:
                trial.fail()

    proxy.meanwhile = handed_on
    through = hasty.study(study.name)
    proxy.disturb("/trials", "lose-reply")
    trial = through.ask(lease_seconds=0.05)
    assert [each.attempt for each in other] == [2]
    assert trial.number > 0


def test_a_release_succeeds_if_its_reply_was_lost_and_another_worker_has_the_trial(
    study: Study, hasty: Client, proxy: Proxy
) -> None:
    trial = hasty.study(study.name).ask()
    other: list[Trial] = []
    proxy.meanwhile = lambda: other.append(study.ask())
    proxy.disturb("/release", "lose-reply")
    trial.release()
    assert [each.attempt for each in other] == [2]
    trial.release()
    assert study.trial(0).state == "running"


def test_waiting_for_a_place_goes_on_after_lost_connections(
    make_study: MakeStudy, proxy: Proxy
) -> None:
    study = make_study(max_running=1)
    first = study.ask()
    through = Client(proxy.url, timeout=5, retry_for=60).study(study.name)
    proxy.disturb("/trials", "lose-reply", "bad-gateway", "reset")
    with pytest.raises(NoSlot):
        through.ask(wait=0.5)
    first.tell(1.0)
    assert through.ask(wait=30).number == 1


def test_a_server_that_is_not_reached_in_time_is_named_in_the_error() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServerUnavailable) as raised:
        Client(url, retry_for=0.2).study("x")
    assert raised.value.code == "server-unavailable"
    assert f"{url} was not reached: [Errno 111] Connection refused" in raised.value.detail


def test_a_server_without_tls_is_an_error_at_once_at_an_https_url(server: Server) -> None:
    # With the default `retry_for` of five minutes: trying again makes no server speak TLS.
    with pytest.raises(ServerUnavailable, match="does not speak https") as raised:
        Client(server.url.replace("http:", "https:")).study("x")
    assert raised.value.retry_after == math.inf


def test_an_error_says_what_to_do_about_a_url_at_which_no_server_is() -> None:
    with pytest.raises(ServerUnavailable, match="`optunapi serve` starts one"):
        Client(f"http://127.0.0.1:{free_port()}", retry_for=0).study("x")


@pytest.mark.parametrize("path", ["/optunapi", "/docs", "/optunapi/v1"])
def test_a_path_that_no_proxy_adds_is_to_be_left_out_of_the_url(server: Server, path: str) -> None:
    with pytest.raises(RouteNotFound, match="write the server's URL as http://HOST:PORT"):
        Client(f"{server.url}{path}").study("x")


# Results that cannot be sent are kept


def test_a_result_that_cannot_be_sent_is_kept_and_delivered_by_the_next_client(
    study: Study, away: Client, proxy: Proxy, spool: Path
) -> None:
    through = away.study(study.name)
    trial = through.ask()
    trial.set_constraint("memory", -1)
    proxy.disturb("/tell", "reset")
    with pytest.warns(UserWarning, match="is kept in"):
        told = trial.tell(0.5)
    assert told.state == "complete"
    assert (told.values, told.params) == ([0.5], trial.params)
    assert told.constraints == {"memory": -1}
    (kept,) = waiting(spool)
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert study.trial(0).state == "running"

    Client(proxy.url)
    assert not waiting(spool)
    closed = study.trial(0)
    assert (closed.values, closed.constraints) == ([0.5], {"memory": -1})


def test_a_kept_result_is_delivered_before_the_same_client_asks_again(
    study: Study, away: Client, proxy: Proxy, spool: Path
) -> None:
    through = away.study(study.name)
    trial = through.ask()
    proxy.disturb("/tell", "bad-gateway")
    with pytest.warns(UserWarning, match="is kept in"):
        trial.tell(0.5)
    proxy.seen.clear()
    through.ask()
    assert [path.rpartition("/")[2] for _, path in proxy.seen] == ["ping", "0", "tell", "trials"]
    assert study.trial(0).values == [0.5]
    assert not waiting(spool)


def test_kept_results_stay_while_the_server_is_away(
    study: Study, away: Client, proxy: Proxy, spool: Path
) -> None:
    trial = away.study(study.name).ask()
    proxy.disturb("/tell", "reset")
    with pytest.warns(UserWarning, match="is kept in"):
        trial.tell(0.5)
    proxy.disturb("/ping", "reset", "bad-gateway")
    again = Client(proxy.url, retry_for=0)
    with pytest.raises(ServerUnavailable):
        again.study(study.name)
    assert len(waiting(spool)) == 1
    again.study(study.name)
    assert not waiting(spool)


def test_a_failure_is_kept_too(study: Study, away: Client, proxy: Proxy) -> None:
    through = away.study(study.name)
    proxy.disturb("/tell", "reset")
    with pytest.warns(UserWarning, match="is kept in"), pytest.raises(ZeroDivisionError):
        through.optimize(lambda _: 1 / 0)
    Client(proxy.url)
    assert study.trial(0).fail_reason == "ZeroDivisionError: division by zero"


def kept_for(away: Client, study: Study, proxy: Proxy, value: float) -> FrozenTrial:
    trial = away.study(study.name).ask()
    proxy.disturb("/tell", "reset")
    with pytest.warns(UserWarning, match="is kept in"):
        return trial.tell(value)


def test_a_kept_result_that_is_refused_is_set_aside_with_a_warning_and_not_sent_again(
    study: Study, away: Client, proxy: Proxy, spool: Path
) -> None:
    kept_for(away, study, proxy, 0.5)
    study.tell(0, 0.25)
    with pytest.warns(UserWarning, match=r"refuses the kept result .*\(trial-finished"):
        Client(proxy.url)
    assert not waiting(spool)
    assert json.loads(refused(spool)[0].read_text())["body"]["values"] == [0.5]
    Client(proxy.url)
    assert study.trial(0).values == [0.25]


def test_a_kept_result_is_not_told_to_a_trial_of_the_same_number_in_a_new_study(
    study: Study, client: Client, away: Client, proxy: Proxy, spool: Path
) -> None:
    kept_for(away, study, proxy, 0.5)
    url = f"{study.connection.url}/optunapi/v1/studies/{study.name}?force=true"
    requests.delete(url, timeout=10).raise_for_status()
    again = client.create_study(
        study.name, {"parameters": {"x": {"type": "int", "low": 1, "high": 9}}}
    )
    again.ask(lease_seconds=None)
    with pytest.warns(UserWarning, match="the result belongs to none of its trials"):
        Client(proxy.url)
    assert again.trial(0).state == "running"
    assert len(refused(spool)) == 1


def test_a_kept_result_of_a_study_that_is_gone_is_set_aside(
    study: Study, away: Client, proxy: Proxy, spool: Path
) -> None:
    kept_for(away, study, proxy, 0.5)
    url = f"{study.connection.url}/optunapi/v1/studies/{study.name}?force=true"
    requests.delete(url, timeout=10).raise_for_status()
    with pytest.warns(UserWarning, match=r"refuses the kept result .*\(study-not-found"):
        Client(proxy.url)
    assert len(refused(spool)) == 1


def test_a_file_that_cannot_be_read_is_set_aside_and_the_others_are_delivered(
    study: Study, away: Client, proxy: Proxy, spool: Path
) -> None:
    kept_for(away, study, proxy, 0.5)
    (spool_of_server,) = {path.parent for path in waiting(spool)}
    (spool_of_server / "00000000000000000000-cut.json").write_text('{"study": "x", "numb')
    (spool_of_server / "00000000000000000000-half.part").write_text('{"study": "x"')
    with pytest.warns(UserWarning, match="cannot be read"):
        Client(proxy.url)
    assert study.trial(0).values == [0.5]
    assert [path.name for path in refused(spool)] == ["00000000000000000000-cut.refused"]


def test_clients_that_deliver_at_once_tell_once(
    study: Study, away: Client, proxy: Proxy, spool: Path
) -> None:
    through = away.study(study.name)
    for value in range(5):
        trial = through.ask()
        proxy.disturb("/tell", "reset")
        proxy.disturb(f"/{value - 1}", "reset")  # the results kept before stay
        with pytest.warns(UserWarning, match="is kept in"):
            trial.tell(value)
        proxy.calm()
    threads = [threading.Thread(target=Client, args=(proxy.url,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [trial.values for trial in study.trials()] == [[float(n)] for n in range(5)]
    assert not waiting(spool)
    assert not refused(spool)


def test_a_tell_that_is_interrupted_keeps_its_result(
    study: Study, proxy: Proxy, spool: Path
) -> None:
    through = Client(proxy.url, timeout=1, retry_for=600).study(study.name)

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    def train() -> None:
        with through.ask() as trial:
            proxy.disturb("/tell", "reset")
            trial.tell(0.5)

    object.__setattr__(through.connection.retries, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train()
    assert len(waiting(spool)) == 1
    assert study.trial(0).state == "running"  # it has a result, so it is not given back
    Client(proxy.url)
    assert study.trial(0).values == [0.5]


def test_a_result_that_cannot_be_kept_is_in_the_error(
    study: Study, away: Client, proxy: Proxy
) -> None:
    trial = away.study(study.name).ask()
    for folder in spool_folders():
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.path.write_text("a file where the folder should be")
    proxy.disturb("/tell", "reset")
    with pytest.raises(ServerUnavailable) as raised:
        trial.tell(0.5)
    assert "'values': [0.5]" in raised.value.__notes__[0]


def test_a_fault_of_the_server_loses_no_result(
    study: Study, proxy: Proxy, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optunapi.client.http.session import Session
    from optunapi.errors import Internal

    through = Client(proxy.url, retry_for=5).study(study.name)
    trial = through.ask()
    exchange = Session._exchange

    def faulty(self: Session, method: str, place: str, *rest: Any, **options: Any) -> Any:
        if place.endswith("/tell"):
            raise Internal("a fault", request_id="x")
        return exchange(self, method, place, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Session, "_exchange", faulty)
        with pytest.warns(UserWarning, match="is kept in"):
            trial.tell(0.5)
    assert len(waiting(spool)) == 1
    Client(proxy.url)
    assert study.trial(0).values == [0.5]


def test_attributes_that_cannot_be_sent_go_with_the_result(
    study: Study, away: Client, proxy: Proxy
) -> None:
    trial = away.study(study.name).ask()
    proxy.disturb("/0", "reset")
    trial.set_user_attr("epochs", 3)
    assert study.trial(0).user_attrs == {}
    trial.set_user_attr("host", "gpu-03")
    assert study.trial(0).user_attrs == {"epochs": 3, "host": "gpu-03"}
    proxy.disturb("/0", "reset")
    trial.set_user_attr("epochs", 4)
    trial.tell(1.0)
    assert study.trial(0).user_attrs == {"epochs": 4, "host": "gpu-03"}


def test_a_trial_that_cannot_be_given_back_does_not_hide_the_interrupt(
    study: Study, away: Client, proxy: Proxy
) -> None:
    def interrupted() -> None:
        with away.study(study.name).ask():
            proxy.disturb("/release", "reset")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        interrupted()
    assert "the server was not told" in raised.value.__notes__[0]


def test_events_go_on_when_the_server_was_killed_and_came_back(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    port = free_port()
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen(study: Study) -> None:
        for event in study.events():
            heard.put(event.type)
            if event.type == "trial":
                return  # otherwise it would try to reach the server long after the test

    with running_server(tmp_path, port=port) as server:
        study = Client(server.url).create_study("s")
        listening = threading.Thread(target=listen, args=(study,), daemon=True)
        listening.start()
        while heard.empty():
            study.set_user_attr("knock", 1)  # only an event shows that the stream is open
        server.process.kill()
        server.process.wait()
    with running_server(tmp_path, port=port):
        while heard.get(timeout=30) != "reset":
            pass  # events from before the server was killed
        study.ask().tell(1.0)
        assert heard.get(timeout=30) == "trial"
        listening.join(30)
        assert not listening.is_alive()
