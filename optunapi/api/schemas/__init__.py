"""The bodies and replies of all routes, one module a resource: models, examples, and how a reply is made.

Start with `fields.py`, which all others use, and `trials.py`.

    fields.py         base classes and the types of fields
    trials.py         one trial: ask, tell, report, renew, release
    batches.py        many trials in one request
    suggest.py        define-by-run
    studies.py        studies: created, changed, forked, looked at
    specification.py  a study's specification in the OpenAPI document
    queue.py          points in the queue
    imports.py        trials from elsewhere
    exports.py        a trial with everything it has, as a line of an export
    artifacts.py      files kept with trials
    analysis.py       the figures of a study
    legacy.py         the replies of OptunAPI 0.1
    health.py         how the server is, and its versions
    problem.py        errors
"""
