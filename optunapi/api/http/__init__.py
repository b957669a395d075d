"""What routes are made of.

Start with `routes.py`, where a route is declared once. The other modules are its parts.

    routes.py    the declaration of routes: path, access, status, errors, fast path
    bodies.py    request bodies in strict JSON, and the limit to their size
    replies.py   replies in strict JSON, a class for each status
    pages.py     pages of a listing and their tokens
    problems.py  errors as problem documents, and the HTTP status of each
    openapi.py   the OpenAPI document
"""
