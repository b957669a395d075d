"""What makes a route. Start with `routes.py`, in which a route is declared once; the others are its parts.

routes.py    the declaration of routes
bodies.py    request bodies in strict JSON
replies.py   replies in strict JSON
pages.py     pages of a listing and their tokens
problems.py  errors as problem documents
openapi.py   the OpenAPI document
"""
