"""Optuna's own test suite for samplers, whole, with the server's samplers."""

from collections.abc import Callable

import pytest

pytest.register_assert_rewrite("optuna.testing.pytest_samplers")

from optuna.samplers import BaseSampler  # noqa: E402
from optuna.testing.pytest_samplers import (  # noqa: E402
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from tests.unit.samplers.support import InOptuna  # noqa: E402


class TestTPE(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: InOptuna(name="tpe", n_startup_trials=0)


class TestTPEOnItsOwnParameters(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: InOptuna(name="tpe", n_startup_trials=0, multivariate=False)


class TestTPEAfterARandomStart(BasicSamplerTestCase, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: InOptuna(name="tpe")


class TestRandom(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: InOptuna(name="random")
