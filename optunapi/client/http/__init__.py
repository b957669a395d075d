"""HTTP to one server: one request, its reply, and what is tried again.

Read session.py first: it sends a request with `Session.send`, which uses the modules below it.

    session.py     one request and its reply, over this process's connections
    problems.py    replies that are not a success, as exceptions
    retries.py     which failures are tried again, when, and for how long
    proxies.py     which proxy a request goes through, and how an error names it
    reused.py      connections that stay open, and that the server may have closed meanwhile
    buffered.py    connections that send a small request in one write
"""
