"""OptunAPI distributes hyperparameter optimisation over HTTP.

One server process owns the studies; trainers anywhere need only its URL. The package from top to
bottom, each layer importing only from those below it:

    server.py     the ASGI application, and nothing else
    cli/          the command line
    app.py        the composition root: settings, storage, engine and routes become one application
    lifespan.py   from start to stop: ownership, sweeps, an orderly end
    settings.py   the server's settings, from the environment
    api/          HTTP in and out; decides nothing
    security/     who may call
    engine/       studies and trials; knows no HTTP and no SQL
    storage/      reads from memory, writes in groups; the only SQL for studies
    errors.py     every error, on the server and in the client
"""
