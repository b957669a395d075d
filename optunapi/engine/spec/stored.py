"""The specification that is stored with a study."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.distributions import json_to_distribution

from optunapi.engine.space import Parameter
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.errors import ConfigInvalid


def stored_spec(stored: Mapping[str, Any]) -> StudySpec:
    """The specification that `StudySpec.to_json` returned.

    A fork of a study that Optuna created may have parameters that no configuration can have, such as
    lists as choices. They are read as Optuna reads them.

    Raises:
        ConfigInvalid: it is none.
    """
    try:
        return spec_from_mapping(stored)
    except ConfigInvalid:
        rest = spec_from_mapping({**stored, "parameters": {}, "enqueue": []})
    parameters = [
        Parameter(name=name, distribution=json_to_distribution(json.dumps(wire)))
        for name, wire in stored["parameters"].items()
    ]
    return replace(rest, parameters=tuple(parameters))
