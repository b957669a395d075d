"""Problems with a known optimum: those that are judged, and others that defaults were tuned on."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Params = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A loss to minimise: its parameters, as in a configuration, and its optimum."""

    name: str
    parameters: Mapping[str, Mapping[str, Any]]
    loss: Callable[[Params], float]
    optimum: float


def floats(count: int, low: float, high: float, **more: Any) -> dict[str, dict[str, Any]]:
    """`count` parameters x0, x1 … of one range."""
    return {f"x{i}": {"type": "float", "low": low, "high": high, **more} for i in range(count)}


def _vector(params: Params) -> list[float]:
    return [params[name] for name in sorted(params)]


def _function(
    name: str,
    function: Callable[[Sequence[float]], float],
    parameters: Mapping[str, Mapping[str, Any]],
    optimum: float = 0.0,
) -> Problem:
    return Problem(
        name=name,
        parameters=parameters,
        loss=lambda params: function(_vector(params)),
        optimum=optimum,
    )


def _branin(x: Sequence[float]) -> float:
    a, b = x
    bend = b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


_HARTMANN_WEIGHTS = (1.0, 1.2, 3.0, 3.2)
_HARTMANN_SCALES = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_HARTMANN_CENTRES = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def _hartmann(x: Sequence[float]) -> float:
    return -sum(
        weight
        * math.exp(-sum(s * (v - c) ** 2 for s, v, c in zip(scales, x, centres, strict=True)))
        for weight, scales, centres in zip(
            _HARTMANN_WEIGHTS, _HARTMANN_SCALES, _HARTMANN_CENTRES, strict=True
        )
    )


def _rosenbrock(x: Sequence[float]) -> float:
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


def _ackley(x: Sequence[float]) -> float:
    # The optimum is not in the middle, where TPE's prior has its greatest weight.
    shifted = [v - 5.0 for v in x]
    square = math.sqrt(sum(v * v for v in shifted) / len(x))
    waves = sum(math.cos(2 * math.pi * v) for v in shifted) / len(x)
    return -20 * math.exp(-0.2 * square) - math.exp(waves) + 20 + math.e


def _levy(x: Sequence[float]) -> float:
    w = [1 + (v - 1) / 4 for v in x]
    middle = sum((v - 1) ** 2 * (1 + 10 * math.sin(math.pi * v + 1) ** 2) for v in w[:-1])
    end = (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return math.sin(math.pi * w[0]) ** 2 + middle + end


def _styblinski_tang(x: Sequence[float]) -> float:
    return sum(v**4 - 16 * v * v + 5 * v for v in x) / 2


def _griewank(x: Sequence[float]) -> float:
    shifted = [v - 20 for v in x]
    waves = math.prod(math.cos(v / math.sqrt(i)) for i, v in enumerate(shifted, 1))
    return sum(v * v for v in shifted) / 4000 - waves + 1


def _rastrigin(x: Sequence[float]) -> float:
    shifted = [v - 1.5 for v in x]
    return sum(v * v - 10 * math.cos(2 * math.pi * v) + 10 for v in shifted)


def _camel(x: Sequence[float]) -> float:
    a, b = x
    return (4 - 2.1 * a * a + a**4 / 3) * a * a + a * b + (4 * b * b - 4) * b * b


def _michalewicz(x: Sequence[float]) -> float:
    return -sum(math.sin(v) * math.sin(i * v * v / math.pi) ** 20 for i, v in enumerate(x, 1))


def _ellipsoid(x: Sequence[float]) -> float:
    return sum(10 ** (3 * i / (len(x) - 1)) * (v - 1.7) ** 2 for i, v in enumerate(x))


_TURN = [part / math.sqrt(55) for part in range(1, 6)]


def _turned(x: Sequence[float]) -> float:
    """An ellipsoid, mirrored at a plane across all axes (Householder)."""
    shifted = [v - 1.3 for v in x]
    along = 2 * sum(a * b for a, b in zip(_TURN, shifted, strict=True))
    return sum(
        10 ** (i / 2) * (v - along * t) ** 2
        for i, (v, t) in enumerate(zip(shifted, _TURN, strict=True))
    )


_SHEKEL_CENTRES = (
    (4, 4, 4, 4),
    (1, 1, 1, 1),
    (8, 8, 8, 8),
    (6, 6, 6, 6),
    (3, 7, 3, 7),
    (2, 9, 2, 9),
    (5, 3, 5, 3),
)
_SHEKEL_WIDTHS = (0.1, 0.2, 0.2, 0.4, 0.4, 0.6, 0.3)


def _shekel(x: Sequence[float]) -> float:
    return -sum(
        1 / (width + sum((v - c) ** 2 for v, c in zip(x, centre, strict=True)))
        for width, centre in zip(_SHEKEL_WIDTHS, _SHEKEL_CENTRES, strict=True)
    )


def _goldstein_price(x: Sequence[float]) -> float:
    a, b = x
    one = 19 - 14 * a + 3 * a * a - 14 * b + 6 * a * b + 3 * b * b
    two = 18 - 32 * a + 12 * a * a + 48 * b - 36 * a * b + 27 * b * b
    return math.log((1 + (a + b + 1) ** 2 * one) * (30 + (2 * a - 3 * b) ** 2 * two))


def _trid(x: Sequence[float]) -> float:
    return sum((v - 1) ** 2 for v in x) - sum(a * b for a, b in pairwise(x))


def _schwefel(x: Sequence[float]) -> float:
    return 418.9828872724338 * len(x) - sum(v * math.sin(math.sqrt(abs(v))) for v in x)


def _training(params: Params) -> float:
    """Like training a network: one rate matters most, sizes saturate, and there are categories."""
    rate = math.log10(params["rate"]) + (2.2 if params["optimizer"] == "adam" else 1.3)
    kinds = {"adam": 0.0, "sgd": 0.04, "rmsprop": 0.09}
    width = math.log2(params["width"]) - 8
    loss: float = (
        0.25 * rate**2
        + kinds[params["optimizer"]]
        + 0.06 * abs(params["layers"] - 4)
        + 0.02 * width**2
        + 0.8 * (params["dropout"] - 0.2) ** 2
        + 0.05 * (math.log10(params["decay"]) + 4) ** 2
        + 0.03 * (params["batch"] // 32 != 2)
    )
    return loss


_TRAINING: dict[str, dict[str, Any]] = {
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam", "rmsprop"]},
    "rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "layers": {"type": "int", "low": 1, "high": 8},
    "width": {"type": "int", "low": 16, "high": 1024, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.6, "step": 0.1},
    "decay": {"type": "float", "low": 1e-7, "high": 1e-1, "log": True},
    "batch": {"type": "int", "low": 32, "high": 256, "step": 32},
}


def _boosting(params: Params) -> float:
    depth, rounds = params["depth"], params["rounds"]
    shrinkage = math.log(params["rate"] * rounds / 12)
    loss: float = (
        0.2 * shrinkage**2
        + 0.03 * (depth - 5 - (params["growth"] == "leaf") * 2) ** 2
        + {"leaf": 0.0, "level": 0.05}[params["growth"]]
        + 0.3 * (params["share"] - 0.75) ** 2
        + 0.02 * abs(math.log10(params["penalty"]) - 0.5)
        + 0.1 * (params["missing"] is None)
    )
    return loss


_BOOSTING: dict[str, dict[str, Any]] = {
    "rate": {"type": "float", "low": 0.001, "high": 0.5, "log": True},
    "rounds": {"type": "int", "low": 10, "high": 2000, "log": True},
    "depth": {"type": "int", "low": 2, "high": 14},
    "growth": {"type": "categorical", "choices": ["leaf", "level"]},
    "share": {"type": "float", "low": 0.3, "high": 1.0},
    "penalty": {"type": "float", "low": 1e-4, "high": 1e3, "log": True},
    "missing": {"type": "categorical", "choices": [None, "mean", "median", "zero"]},
}

JUDGED = (
    _function(
        "branin",
        _branin,
        {
            "x0": {"type": "float", "low": -5, "high": 10},
            "x1": {"type": "float", "low": 0, "high": 15},
        },
        0.39788735772973816,
    ),
    _function("hartmann-6", _hartmann, floats(6, 0, 1), -3.322368011415515),
    _function("rosenbrock-4", _rosenbrock, floats(4, -2.0, 2.0)),
    _function("ackley-5", _ackley, floats(5, -15, 25)),
    _function("levy-8", _levy, floats(8, -10, 10)),
    _function("styblinski-tang-3", _styblinski_tang, floats(3, -5, 5), 3 * -39.16616570377142),
    Problem(name="training-7", parameters=_TRAINING, loss=_training, optimum=0.0),
)
TUNING = (
    _function("griewank-4", _griewank, floats(4, -100, 100)),
    _function("rastrigin-3", _rastrigin, floats(3, -5.12, 5.12)),
    _function(
        "camel",
        _camel,
        {
            "x0": {"type": "float", "low": -3, "high": 3},
            "x1": {"type": "float", "low": -2, "high": 2},
        },
        -1.031628453489877,
    ),
    _function("michalewicz-5", _michalewicz, floats(5, 0, math.pi), -4.687658179),
    _function("ellipsoid-6", _ellipsoid, floats(6, -5, 5)),
    Problem(name="boosting-7", parameters=_BOOSTING, loss=_boosting, optimum=0.0),
    _function("turned-5", _turned, floats(5, -5, 5)),
    _function("shekel-4", _shekel, floats(4, 0, 10), -10.40291533677774),
    _function("goldstein-price", _goldstein_price, floats(2, -2, 2), math.log(3)),
    _function("trid-5", _trid, floats(5, -25, 25), -30.0),
    _function("schwefel-3", _schwefel, floats(3, -500, 500)),
)
