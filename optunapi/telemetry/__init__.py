"""What happens to a server, its studies and its trials, as typed events; and the log made of them.

Whoever makes a change says which event it is, with `emit` or as a part of the change.

    context.py  the id of the request that the running code serves
    events.py   every event, its level and its fields
    emit.py     an event becomes a record of the log; a repeated one is counted
    format.py   a record as a line of text or of JSON
    secrets.py  passwords in URLs are masked
    setup.py    where the log of a server goes, uvicorn's lines included
"""
