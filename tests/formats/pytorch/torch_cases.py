"""What the tests of PyTorch's formats share: recorded cases, states in both forms, tolerances, stand-ins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from rnnpack.engine import nest

HERE = Path(__file__).parent
GOLDENS = HERE / "torch_goldens.npz"
SAVED = HERE / "torch_saved.pt"


def goldens() -> dict[str, dict[str, Any]]:
    """Cases by name: `options` of the module, `weights` by PyTorch's names, and arrays."""
    cases: dict[str, dict[str, Any]] = {}
    with np.load(GOLDENS) as stored:
        for name, options in json.loads(str(stored["options"])).items():
            own = {key[len(name) + 1 :]: stored[key] for key in stored if key.startswith(f"{name}/")}
            weights = {key[8:]: array for key, array in own.items() if key.startswith("weights/")}
            arrays = {key: array for key, array in own.items() if not key.startswith("weights/")}
            cases[name] = {"options": options, "weights": weights, **arrays}
    return cases


def flat_states(hn: Any, cn: Any = None) -> list[Any]:
    """PyTorch's final states, `(layers * directions, batch, units)`, in rnnpack's order."""
    if cn is None:
        return list(hn)
    return [state for pair in zip(hn, cn, strict=True) for state in pair]


def initial_state(layer: Any, h0: Any, c0: Any = None) -> Any:
    """PyTorch's initial states in the form that the layer takes."""
    states = flat_states(h0, c0)
    cells = getattr(getattr(layer, "cell", None), "cells", None)
    if cells is None:
        return states
    size = len(states) // len(cells)
    groups = [states[start : start + size] for start in range(0, len(states), size)]
    return groups if size > 1 else states


def compare(result: list[Any], y: Any, hn: Any, cn: Any, terms: int) -> float:
    """Asserts that a layer's result is PyTorch's; the largest difference.

    Both sum `terms` products in an order of their own: each sum is off by at most terms * eps times the sum
    of its products' sizes, which is at most about the largest output or 4 here; the steps, at most 9 in 3
    layers, add such errors up and gates do not enlarge them.
    """
    expected = [y, *flat_states(hn, cn)]
    found = [result[0], *nest.flatten(list(result[1:]))]
    worst = 0.0
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        worst = max(worst, float(np.max(np.abs(ours - theirs))))
    assert worst <= 27 * terms * np.finfo(y.dtype).eps * max(4.0, float(np.max(np.abs(y))))
    return worst


class Module:
    """Stands for torch's: the loader goes by names only."""

    __module__ = "torch.nn.modules.module"

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def forward(self, *inputs: Any) -> None:
        """Never called."""

    def parameters(self) -> Any:
        """Arrays among the attributes."""
        return (value for value in vars(self).values() if isinstance(value, np.ndarray))


def stand_in(kind: str, module: str = "torch.nn.modules.rnn", **attributes: Any) -> Any:
    """An object that looks like a module of torch of this class."""
    base = type(kind, (Module,), {"__module__": module, "forward": lambda self, *inputs: None})
    return base(**attributes)


def stand_in_for(case: dict[str, Any]) -> Any:
    """The module of a golden case."""
    options = {"num_layers": 1, "bias": True, "batch_first": False, "bidirectional": False, **case["options"]}
    kind = options.pop("kind")
    return stand_in(kind, **{"proj_size": 0, **options, **case["weights"]})
