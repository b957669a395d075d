"""What routes are made of.

Start with `routes.py`, where a route is declared once. The other modules are its parts.

    routes.py    the declaration of routes
    bodies.py    request bodies in strict JSON
    replies.py   replies in strict JSON
    pages.py     pages of a listing and their tokens
    problems.py  errors as problem documents
    openapi.py   the OpenAPI document
"""
