"""Optuna's tables: the only code that knows SQL.

Read statements.py first, then loading.py and saving.py.

    sqlite.py       a SQLite database: opening, connections, transactions, whether others wrote
    schema.py       Optuna's schema: its version, and the script that creates it
    contents.py     what a file in a folder holds, found without writing to it
    any_version.py  all that is stored in a database of any version of the schema
    main_file.py    whether something other than SQLite wrote to a file
    ownership.py    one process per database
    statements.py   the SQL, made from the reflected tables
    loading.py      tables → memory
    saving.py       changes → tables: the rows of a trial
"""
