"""Documents: the text of a configuration becomes plain values, checked, with the line of each error.

Read `document.py` first: the other modules create or read its nodes.

    document.py      a document's values, the line and key of each, and the errors found in it
    yaml_reader.py   YAML text to values; sets the line of each
    numbers.py       numbers that YAML reads as texts
    fields.py        the types of the values in a configuration
    components.py    classes of Optuna by name, and their arguments
"""
