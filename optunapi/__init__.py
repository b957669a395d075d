"""OptunAPI distributes hyperparameter optimisation over HTTP.

One server process owns the studies; trainers anywhere need only its URL. The package from top to
bottom, each layer importing only from those below it:

    server.py     the ASGI application, and nothing else
    __main__.py   `python -m optunapi`: the same as the command
    cli/          the command line
    app.py        the composition root: settings, storage, engine and routes become one application
    lifespan.py   from start to stop: ownership, a sweep each second, an orderly end
    garbage.py    full garbage collections that skip old objects
    settings.py   the server's settings, from the environment
    api/          HTTP in and out: routes, bodies, replies, statuses, and where requests run
    security/     who may call: the checks that a request has to pass
    engine/       studies and trials; knows no HTTP and no SQL
    storage/      studies in memory, written to Optuna's tables in groups; the only SQL
    client/       a trainer's side: ask, tell, optimize; imports nothing of the server
    tunnel/       an SSH tunnel to a server behind a gateway; imports nothing of the server
    telemetry/    what happens, as typed events, and the log that is made of them
    durations.py  90s, 5m, 12h, 30d as seconds
    local_times.py  Optuna's times, naive and local, and UTC
    elapsed.py    a clock that only goes on, also while the machine sleeps
    folders.py    the path of a folder, as people write it
    ranges.py     the range of a parameter in words, for errors
    steps.py      the end of a stepped range of floats, as Optuna rounds it
    errors.py     every error, on the server and in the client

The names below are loaded when they are first used: a server needs no client, and a trainer no tunnel.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optunapi.client.client import Client
    from optunapi.client.study import Study
    from optunapi.client.trial import Trial
    from optunapi.client.trial_handle import TrialPruned
    from optunapi.errors import OptunAPIError
    from optunapi.tunnel import open_tunnel

__all__ = ["Client", "OptunAPIError", "Study", "Trial", "TrialPruned", "open_tunnel"]

_PLACES = {
    "Client": "optunapi.client.client",
    "OptunAPIError": "optunapi.errors",
    "Study": "optunapi.client.study",
    "Trial": "optunapi.client.trial",
    "TrialPruned": "optunapi.client.trial_handle",
    "open_tunnel": "optunapi.tunnel",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
