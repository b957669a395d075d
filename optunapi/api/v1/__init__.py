"""The routes under `/optunapi/v1`, each a handler whose signature says who may call it and what it takes.

Start with trials, the routes that workers use. Every module has its `routes`; a new module is added to
`ROUTES` below.

    trials.py      ask, tell, report, renew, release, suggest, stop: one trial at a time
    batches.py     many trials in one request
    studies.py     create, list, look at, change, delete
    queue.py       points to be tried first
    imports.py     trials from elsewhere, finished or exported
    artifacts.py   files kept with trials
    analysis.py    the figures of a study
    events.py      the changes of a study or of all, as a stream
    export.py      all trials of a study as one file
    requests.py    what the bodies of requests say, as values of the engine
    parameters.py  what the routes share: prefix, names, numbers, headers
"""

from optunapi.api.v1 import (
    analysis,
    artifacts,
    batches,
    events,
    export,
    imports,
    queue,
    studies,
    trials,
)

ROUTES = tuple(
    module.routes
    for module in (studies, trials, events, analysis, export, artifacts, batches, queue, imports)
)
