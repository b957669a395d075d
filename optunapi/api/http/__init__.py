"""What routes are made of.

Start with `routes.py`, where a route is declared once. The other modules are its parts.

    routes.py    the declaration of routes: path, access, status, errors, fast path
    queries.py   queries: the declared parameters alone, each once
    bodies.py    request bodies in strict JSON, and the limit to their size
    numbers.py   numbers in a query, as the languages of trainers print them
    replies.py   replies in strict JSON, a class for each status
    pages.py     pages of a listing and their tokens
    problems.py  errors as problem documents, and the HTTP status of each
    openapi.py   the OpenAPI document
    docs.py      the pages of the OpenAPI document, which load nothing from elsewhere
    head.py      replies to HEAD end with their headers
"""
