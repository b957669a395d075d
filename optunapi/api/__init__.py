"""HTTP in and out: it reads requests, calls the engine and writes replies, and decides nothing.

Start with `v1/trials.py`: a handler's signature says who may call it and what it takes, and the dispatch
in it runs what the handler wants done in the engine.

    legacy.py  the GET routes of OptunAPI 0.1
    v1/        the routes under /optunapi/v1
    health.py  whether the server runs and can serve
    schemas/   the bodies and replies of all routes
    http/      what makes a route: bodies, replies, errors, pages, the OpenAPI document
    serving/   how requests run: the dispatch, the fast path, long poll, event streams
"""
