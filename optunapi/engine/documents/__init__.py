"""Documents: the text of a configuration becomes plain values, checked, with the line of each error.

`document` first: everything else reads or makes its nodes.

    document.py      a document's values, where each stands, and its errors
    yaml_reader.py   YAML text to values that know their lines
    fields.py        the types of values that configurations have
    components.py    classes of Optuna by name, and their arguments
"""
