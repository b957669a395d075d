"""Who may call. Start with `access.py`.

access.py      what a request may do, by the scope of its route
cross_site.py  requests that a page of another site causes
"""
