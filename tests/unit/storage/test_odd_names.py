"""Names that Optuna allows and nobody would choose."""

from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import create_trial

from optunapi.storage import open_storage


def test_a_parameter_without_a_name_has_the_values_of_its_distribution(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    kinds: list[BaseDistribution] = [IntDistribution(1, 3), CategoricalDistribution(["a", "b"])]
    for name, kind in zip(("number", "choice"), kinds, strict=True):
        study = optuna.create_study(study_name=name, storage=url)
        value = kind.to_external_repr(1)
        study.add_trial(create_trial(value=1, params={"": value}, distributions={"": kind}))
    storage = open_storage(url)
    found = [
        storage.get_all_trials(study._study_id)[0].params[""] for study in storage.get_all_studies()
    ]
    storage.close()
    assert [(value, type(value)) for value in found] == [(1, int), ("b", str)]
