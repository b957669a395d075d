"""Trainers at full load, what was acknowledged to them, and whether the database holds exactly that."""

import http.client
import json
import random
import shutil
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

from optunapi.engine.records import TrialRecord
from tests.support import Server, until, write_config

STUDY = "m"
CONFIG = """
sampler: random
parameters:
  x: {type: float, low: -10, high: 10}
  n: {type: int, low: 1, high: 1000}
  kind: {type: categorical, choices: [a, b, c]}
"""
PATIENCE = 60.0  # seconds to wait for what must happen, also on a busy machine


def make_home(folder: Path) -> Path:
    """A home with one configuration, `STUDY`."""
    (folder / "config").mkdir(parents=True)
    write_config(folder / "config" / f"{STUDY}.yaml", CONFIG)
    return folder


def database(home: Path) -> Path:
    """The study's file."""
    return home / "db" / f"{STUDY}.db"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A reply that arrived completely."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An acknowledged ask."""

    key: str
    number: int
    params: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Told:
    """An acknowledged tell."""

    number: int
    params: dict[str, Any]
    score: float


class Client:
    """One connection to a server, opened again after a failure; for one thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> Reply:
        """The reply; raises OSError or HTTPException if it did not arrive completely."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            self._connection.request("GET", path)
            with self._connection.getresponse() as response:
                body = response.read()
                headers = {name.lower(): value for name, value in response.getheaders()}
                return Reply(status=response.status, headers=headers, body=json.loads(body))
        except BaseException:
            self.close()
            raise

    def ask(self, key: str) -> Reply:
        return self.get(f"/optunapi/hparams/{STUDY}?key={key}")

    def tell(self, number: int, score: float) -> Reply:
        return self.get(f"/optunapi/score/{STUDY}?trial_id={number}&score={score!r}")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def client(server: Server) -> Iterator[Client]:
    """A connection to `server` until the block ends."""
    connection = Client(server.port)
    try:
        yield connection
    finally:
        connection.close()


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What trainers sent, and what was acknowledged to them, in the order of the replies.

    `keys` and `scores` were sent; the keys in `interrupted` were sent more than once.
    """

    asked: tuple[Asked, ...]
    told: tuple[Told, ...]
    keys: frozenset[str]
    scores: dict[int, float]
    interrupted: frozenset[str]


class Trainers:
    """Clients in a closed loop of ask and tell, until the block ends.

    A request that is cut off or refused with 503 is repeated until it is acknowledged, an ask with the
    same key. One trial in ten is never told. Any reply but 200 and 503 ends its trainer and is raised
    by `check`.
    """

    def __init__(self, port: int, clients: int = 16) -> None:
        self._port = port
        self._changed = threading.Condition()
        self._asked: list[Asked] = []
        self._told: list[Told] = []
        self._keys: set[str] = set()
        self._scores: dict[int, float] = {}
        self._interrupted: set[str] = set()
        self._acknowledged = [0] * clients
        self._faults: list[str] = []
        self.refusals: list[Reply] = []
        self._ending = threading.Event()
        self._halted = threading.Event()
        self._served = threading.Event()
        self._served.set()
        self._threads = [
            threading.Thread(target=self._run, args=(client,)) for client in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.halt()

    def down(self) -> None:
        """The server is gone: send nothing until `up`."""
        self._served.clear()

    def up(self) -> None:
        """The server is running again."""
        self._served.set()

    def finish(self) -> None:
        """Wait until every trainer has its last request acknowledged."""
        self._ending.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        self.check()
        assert not any(thread.is_alive() for thread in self._threads), "a request has no answer"

    def halt(self) -> None:
        """End every trainer, whether its last request was acknowledged or not."""
        self._ending.set()
        self._halted.set()
        self._served.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Raise if a reply was not as it must be."""
        assert not self._faults, self._faults[:3]

    def ledger(self) -> Ledger:
        """Everything until now."""
        with self._changed:
            return Ledger(
                asked=tuple(self._asked),
                told=tuple(self._told),
                keys=frozenset(self._keys),
                scores=dict(self._scores),
                interrupted=frozenset(self._interrupted),
            )

    def wait_for_acknowledged(self, more: int) -> None:
        """Wait until `more` further requests were acknowledged."""
        with self._changed:
            goal = sum(self._acknowledged) + more
        self._wait(lambda: sum(self._acknowledged) >= goal, f"{more} acknowledgements")

    def wait_for_each(self) -> None:
        """Wait until every trainer had two further requests acknowledged."""
        with self._changed:
            before = list(self._acknowledged)
        self._wait(
            lambda: all(
                now >= then + 2 for then, now in zip(before, self._acknowledged, strict=True)
            ),
            "every trainer to go on",
        )

    def wait_for_refused(self, more: int) -> None:
        """Wait until `more` further requests were refused with 503."""
        goal = len(self.refusals) + more
        self._wait(lambda: len(self.refusals) >= goal, f"{more} refusals")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: bool(self._faults) or condition(), PATIENCE)
        self.check()
        assert came, f"timed out waiting for {what}; last refusal: {self.refusals[-1:]}"

    def _run(self, client: int) -> None:
        chance, connection = random.Random(client), Client(self._port)
        try:
            while not self._ending.is_set() and self._trial(client, chance, connection):
                pass
        except Exception as error:
            with self._changed:
                self._faults.append(f"{type(error).__name__}: {error}")
                self._changed.notify_all()
        finally:
            connection.close()

    def _trial(self, client: int, chance: random.Random, connection: Client) -> bool:
        """Ask, and mostly tell; False if halted before that was acknowledged."""
        key, score = uuid.uuid4().hex, chance.uniform(-1e3, 1e3)
        with self._changed:
            self._keys.add(key)
        body = self._until_acknowledged(lambda: connection.ask(key), key)
        if body is None:
            return False
        asked = Asked(key=key, number=body["trial_id"], params=body["params"])
        with self._changed:
            self._asked.append(asked)
            self._acknowledged[client] += 1
            self._changed.notify_all()
        if chance.random() < 0.1:
            return True
        with self._changed:
            self._scores[asked.number] = score
        body = self._until_acknowledged(lambda: connection.tell(asked.number, score), None)
        if body is None:
            return False
        assert (body["trial_id"], body["score"], body["params"]) == (
            asked.number,
            score,
            asked.params,
        ), body
        with self._changed:
            self._told.append(Told(number=asked.number, params=asked.params, score=score))
            self._acknowledged[client] += 1
            self._changed.notify_all()
        return True

    def _until_acknowledged(
        self, request: Callable[[], Reply], key: str | None
    ) -> dict[str, Any] | None:
        while not self._halted.is_set():
            self._served.wait()
            try:
                reply = request()
            except (OSError, http.client.HTTPException):
                reply = None
            if reply is not None and reply.status == 200:
                return reply.body
            with self._changed:
                if key is not None:
                    self._interrupted.add(key)
                if reply is not None:
                    assert reply.status == 503, reply
                    self.refusals.append(reply)
                    self._changed.notify_all()
            self._halted.wait(0.05)  # shorter than Retry-After, to keep the load up
        return None


def kill(server: Server) -> None:
    """`kill -9`, and wait until it has ended."""
    server.process.kill()
    server.process.wait()


def wait_until_begun(path: Path) -> None:
    """Return as soon as the file has its first table of studies."""
    until(lambda: _has_table(path, "studies"), f"the tables of {path.name}", PATIENCE)


def _has_table(path: Path, name: str) -> bool:
    """Whether the file has this table; False while it is locked."""
    if not path.exists():
        return False
    address = f"{path.as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=0)) as connection:
        query = "SELECT count(*) FROM sqlite_master WHERE name = ?"
        try:
            ((found,),) = connection.execute(query, (name,))
        except sqlite3.OperationalError:
            return False
        return bool(found)


def trials_on_disk(path: Path) -> list[FrozenTrial]:
    """The study as Optuna loads it."""
    storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"poolclass": NullPool})
    try:
        study = optuna.load_study(study_name=STUDY, storage=storage)
        return study.get_trials(deepcopy=False)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def assert_sound(path: Path, n_trials: int) -> None:
    """SQLite finds no fault in the file, and trials are numbered without gaps or repetitions."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        numbers = [number for (number,) in connection.execute("SELECT number FROM trials")]
    assert sorted(numbers) == list(range(n_trials))


def assert_kept(path: Path, ledger: Ledger) -> list[FrozenTrial]:
    """Everything acknowledged is in the file, once, and nothing that was not sent; return its trials.

    There may also be trials that others than the trainers created.
    """
    trials = trials_on_disk(path)
    assert_sound(path, len(trials))
    assert [trial.number for trial in trials] == list(range(len(trials)))
    handed = Counter(asked.number for asked in ledger.asked)
    assert not [number for number, times in handed.items() if times > 1], "handed out twice"
    assert max(handed, default=-1) < len(trials), "an acknowledged trial is gone"
    for asked in ledger.asked:
        assert trials[asked.number].params == asked.params, asked
        assert asked.key in TrialRecord.of(trials[asked.number]).keys, asked
    for told in ledger.told:
        trial = trials[told.number]
        assert (trial.state, trial.values) == (TrialState.COMPLETE, [told.score]), told
    keys = Counter(key for trial in trials for key in TrialRecord.of(trial).keys)
    assert not [key for key, times in keys.items() if times > 1], "one ask, two trials"
    assert keys.keys() <= ledger.keys
    for trial in trials:
        if TrialRecord.of(trial).keys and trial.state != TrialState.RUNNING:
            assert trial.state == TrialState.COMPLETE, trial
            assert trial.values == [ledger.scores[trial.number]], trial
    return trials


def assert_kept_at_death(path: Path, ledger: Ledger, scratch: Path) -> None:
    """`assert_kept` of a copy of a dead server's file, so that the next server finds the log as it was."""
    scratch.mkdir()
    for part in path.parent.glob(f"{path.name}*"):
        shutil.copy(part, scratch)
    if (copy := scratch / path.name).exists() and copy.stat().st_size:
        assert_kept(copy, ledger)


def assert_answers_again(connection: Client, ledger: Ledger, latest: int) -> None:
    """The latest acknowledged requests get the same reply when they are repeated."""
    for asked in ledger.asked[-latest:]:
        body = connection.ask(asked.key).body
        assert (body["trial_id"], body["params"]) == (asked.number, asked.params)
    for told in ledger.told[-latest:]:
        body = connection.tell(told.number, told.score).body
        assert (body["trial_id"], body["score"], body["params"]) == (
            told.number,
            told.score,
            told.params,
        )


def assert_memory_equals_database(server: Server, path: Path) -> None:
    """An idle server shows the trials, counts and best trial that the file holds, and serves an ask."""
    trials = trials_on_disk(path)
    with client(server) as connection:
        shown: list[dict[str, Any]] = []
        page: str | None = ""
        while page is not None:
            query = f"?limit=1000&page={page}" if page else "?limit=1000"
            body = connection.get(f"/optunapi/v1/studies/{STUDY}/trials{query}").body
            shown += body["items"]
            page = body["next"]
        for seen, trial in zip(shown, trials, strict=True):
            assert seen["number"] == trial.number
            assert seen["state"] == trial.state.name.lower(), seen
            assert seen["params"] == trial.params, seen
            assert seen["values"] == trial.values, seen
            assert seen["user_attrs"] == trial.user_attrs, seen
        study = connection.get(f"/optunapi/v1/studies/{STUDY}").body
        states = Counter(trial.state.name.lower() for trial in trials)
        assert study["trials"] == {state: states[state] for state in study["trials"]}
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        if complete:
            best = min(complete, key=lambda trial: trial.values[0])
            assert (study["best"]["number"], study["best"]["values"]) == (best.number, best.values)
        assert connection.ask(uuid.uuid4().hex).body["trial_id"] == len(trials)
    assert_sound(path, len(trials) + 1)


def assert_refused_properly(reply: Reply, home: Path) -> None:
    """A refusal has the code `storage-unavailable` and Retry-After, and reveals nothing of the server."""
    assert reply.status == 503
    assert reply.headers["content-type"] == "application/problem+json"
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.headers["cache-control"] == "no-store"
    assert reply.body["code"] == "storage-unavailable"
    assert reply.body["type"] == "urn:optunapi:error:storage-unavailable"
    assert reply.body["status"] == 503
    text = json.dumps(reply.body)
    assert str(home) not in text
    assert "sqlite:" not in text
    assert "Traceback" not in text
