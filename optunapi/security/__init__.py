"""Who may call.

Start with `access.py`, which says what a request has to pass to use a route.

    access.py      the scopes of routes, and the checks of each
    cross_site.py  requests that a page of another site causes
"""
