"""`optunapi demo`: a server and two trainers that search a minimum on this machine."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import click

from optunapi.cli.local_server import local_server
from optunapi.cli.output import (
    CommandFailed,
    Exit,
    ServerUnreachable,
    json_option,
    print_json,
    wants_json,
)

if TYPE_CHECKING:
    from requests import Session

STUDY = "paraboloid"
SPEC = {
    "description": "The demo of OptunAPI: the minimum of x² + y²",
    "parameters": {name: {"type": "float", "low": -10, "high": 10} for name in ("x", "y")},
}
TRAINERS = 2

Reply = dict[str, Any]
Replies = SimpleQueue[Reply | Exception]


def get(session: "Session", url: str, **query: Any) -> Reply:
    """Return the JSON reply of a GET; raises CommandFailed if it fails or no server answers."""
    import requests

    try:
        response = session.get(url, params=query, timeout=60)
    except requests.RequestException as error:
        raise ServerUnreachable(f"The server stopped answering: {error}") from error
    if not response.ok:
        raise CommandFailed(f"The server refused the request: {response.text}")
    reply: Reply = response.json()
    return reply


def prepare(url: str) -> int:
    """Create the demo's study; return how many trials it has from earlier demos."""
    import requests

    with requests.Session() as session:
        session.trust_env = False  # a proxy cannot reach this machine's loopback
        place = f"{url}/optunapi/v1/studies/{STUDY}"
        created = session.put(place, json=SPEC, timeout=60)
        if not created.ok:
            raise CommandFailed(
                f"There is a study {STUDY} that is not the demo's: {created.json()['detail']}"
            )
        return sum(get(session, place)["trials"].values())


def train(url: str, trials: int, stopping: Event, replies: Replies) -> None:
    """Be a trainer: ask for a trial, compute its score, send the score; queue the replies."""
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy cannot reach this machine's loopback
            for _ in range(trials):
                if stopping.is_set():
                    return
                trial = get(session, f"{url}/optunapi/hparams/{STUDY}")
                x, y = trial["params"]["x"], trial["params"]["y"]
                score = {"trial_id": trial["trial_id"], "score": x**2 + y**2}
                replies.put(get(session, f"{url}/optunapi/score/{STUDY}", **score))
    except Exception as error:  # raised again by the thread that reads the queue
        replies.put(error)


def run_trainers(url: str, trials: int) -> Iterator[Reply]:
    """Run parallel trainers and yield the replies to `trials` scores; raises a trainer's error."""
    stopping = Event()
    replies: Replies = SimpleQueue()
    shares = [(trials + i) // TRAINERS for i in range(TRAINERS)]
    trainers = [Thread(target=train, args=(url, share, stopping, replies)) for share in shares]
    for trainer in trainers:
        trainer.start()
    try:
        for _ in range(trials):
            reply = replies.get()
            if isinstance(reply, Exception):
                raise reply
            yield reply
    finally:
        stopping.set()
        for trainer in trainers:
            trainer.join()


@contextmanager
def progress(trials: int) -> Iterator[Callable[[float], None]]:
    """Yield a function to call with the best score after each trial; it shows a bar or lines."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn(f"{TRAINERS} trainers"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("best score {task.fields[best]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=trials, best="-")
            yield lambda best: bar.update(task, advance=1, best=f"{best:.4g}")
    else:
        done = 0

        def line(best: float) -> None:
            nonlocal done
            done += 1
            if done % 10 == 0 or done == trials:
                click.echo(f"{done} of {trials} trials, best score {best:.4g}", err=True)

        yield line


def optimise(url: str, trials: int) -> Reply:
    """Run the trainers, show their progress, and return the reply that has the best score."""
    replies: list[Reply] = []
    with progress(trials) as advance:
        for reply in run_trainers(url, trials):
            replies.append(reply)
            best = min(replies, key=itemgetter("best_score"))
            advance(best["best_score"])
    return best


@click.command()
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=40,
    show_default=True,
    help="How many trials to run.",
)
@json_option
def demo(trials: int) -> None:
    """Run a server and two trainers on this machine.

    The trainers search the minimum of x² + y². The study stays in the db folder, where `optunapi serve`
    finds it; another demo adds its trials to the same study.
    """
    from optunapi.cli.serve import settings_or_fail
    from optunapi.telemetry.secrets import masked

    settings = settings_or_fail()
    storage = masked(settings.storage or f"sqlite:///{settings.databases / STUDY}.db")
    with tempfile.TemporaryFile() as log:
        try:
            with local_server(log) as url:
                click.echo(f"Server on {url}, {TRAINERS} trainers, {trials} trials", err=True)
                if earlier := prepare(url):
                    click.echo(f"The study {STUDY} goes on: it has {earlier} trials", err=True)
                best = optimise(url, trials)
        except KeyboardInterrupt:
            click.echo(f"Interrupted. The finished trials are kept in {storage}", err=True)
            raise SystemExit(Exit.INTERRUPTED) from None
        except CommandFailed:
            log.seek(0)
            click.echo(log.read().decode("utf-8", "replace"), err=True)
            raise

    number, score, params = best["best_trial"], best["best_score"], best["best_params"]
    if wants_json():
        point = {"number": number, "values": [score], "params": params}
        print_json({"study": STUDY, "trials": trials, "best": point, "storage": storage})
        return
    click.echo(f"Best of {earlier + trials}: trial {number}, score {score:.4g}")
    for name, value in params.items():
        click.echo(f"  {name} = {value:.4g}")
    click.echo(f"The study {STUDY} is kept. `optunapi serve` serves it, and Optuna can open it:")
    click.echo("  import optuna")
    click.echo(f'  optuna.load_study(study_name="{STUDY}", storage="{storage}")')
