"""How requests run: from a handler to the engine and back.

Start with `dispatch.py`, which handlers talk to. The modules from `operations.py` to `wakeups.py` are its
parts.

    access.py          who may call a handler, as the type of its first parameter; the checks are in security/
    dispatch.py        read, change, ask, sample: what runs on the event loop, what in a thread
    operations.py      operations on a study, and their value once it is committed
    openings.py        opening a study once for all who wait for it, in threads of their own
    ask_groups.py      asks that share one thread and one commit
    sampling_slots.py  how many threads may sample at once
    long_poll.py       asks that wait in line until a trial or a place is free
    wakeups.py         how the engine's threads wake a request that waits
    event_stream.py    a study's changes as server-sent events
    connections.py     how many connections and event streams there may be
    request_ids.py     an id for each request, in its reply and in its lines of the log
    fast_path.py       frequent requests are answered before FastAPI
"""
