"""Every golden case of live Keras against the package.

Built-in cells run on every instruction set and are held to the running error bounds of ``tolerance.py``,
once for Keras' own rounding and once for ours. Custom cells are plain NumPy; see ``CUSTOM_ROUNDINGS``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import golden_cells
import golden_log
import golden_oracle
import golden_runner
import golden_store
import numpy as np
import pytest
import tolerance
from numpy.typing import NDArray

import rnnpack

GOLDENS = {case["name"]: case for case in golden_store.load_all(Path(__file__).parent)}
ON_ORACLE = [name for name, case in GOLDENS.items() if golden_oracle.supports(case)]
OTHERS = [name for name in GOLDENS if name not in ON_ORACLE]

# Custom cells: T = 6 steps, each at most 16 roundings deep (7 features or constants + 3 units + 2 products,
# additions and a tanh), slopes at most 1 and recurrent column sums at most 2 in the worst cell over few
# steps; 2 * 6 * 16 roundings of values up to the largest output of the case.
CUSTOM_ROUNDINGS = 192
# Scalars in configs and losses: Keras keeps coefficients in float32, and losses sum up to 80 squares there.
CONFIG_RELATIVE = 2.0**-23
LOSS_RELATIVE = 80 * 2.0**-23


class Shape:
    """A shape by the one method that marks it; nothing of the package."""

    def __init__(self, dims: Sequence[int]) -> None:
        """Keep the dimensions."""
        self._dims = list(dims)

    def as_list(self) -> list[int]:
        """The dimensions."""
        return list(self._dims)


OPS = golden_cells.Ops(
    matmul=np.matmul, einsum=np.einsum, tanh=np.tanh, full=np.full, shape=Shape
)  # fmt: skip
NAMES = (
    "RNN", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "LSTMCell", "GRUCell", "SimpleRNNCell",
    "StackedRNNCells", "ResidualWrapper",
)  # fmt: skip
CLASSES = {
    **{name: getattr(rnnpack, name) for name in NAMES},
    **golden_cells.bind(rnnpack.Layer, OPS),
}


@functools.cache
def expectations(name: str) -> list[Any]:
    """The oracle's answers, once per case for all instruction sets."""
    return golden_oracle.expectations(GOLDENS[name])


def check_array(name: str, actual: Any, expected: NDArray[Any], error: Any) -> None:
    """One array within its tolerance, of the same dtype and shape."""
    actual = np.asarray(actual)
    assert actual.dtype == expected.dtype
    if expected.dtype == bool:
        assert np.array_equal(actual, expected)
        return
    share = tolerance.excess(actual, expected, error)
    golden_log.compared(name, actual, expected, share)
    assert share <= 1


def check_structure(actual: Any, expected: Any) -> None:
    """Lists, tuples and named tuples are told apart, down to the arrays."""
    if isinstance(expected, list | tuple):
        assert type(actual) is type(expected)
        assert len(actual) == len(expected)
        for left, right in zip(actual, expected, strict=True):
            check_structure(left, right)
    elif expected is None:
        assert actual is None
    else:
        assert not isinstance(actual, list | tuple | dict)


def check_plain(actual: Any, expected: Any, relative: float) -> None:
    """Configs, shapes and other results that are no outputs."""
    if hasattr(actual, "as_list"):
        actual = tuple(actual.as_list())
    if isinstance(expected, dict):
        assert sorted(actual) == sorted(expected)
        for key, value in expected.items():
            check_plain(actual[key], value, relative)
    elif isinstance(expected, list | tuple):
        assert isinstance(actual, list | tuple)
        assert len(actual) == len(expected)
        for left, right in zip(actual, expected, strict=True):
            check_plain(left, right, relative)
    elif isinstance(expected, np.ndarray):
        assert np.array_equal(np.asarray(actual), expected)
    elif isinstance(expected, float):
        assert math.isclose(float(actual), expected, rel_tol=relative, abs_tol=0.0)
    else:
        assert actual == expected


def check_call(name: str, actual: Any, expected: Any, answer: Any) -> None:
    """Outputs and states of a call."""
    check_structure(actual, expected)
    pairs = list(zip(golden_oracle.flatten(actual), golden_oracle.flatten(expected), strict=True))
    if answer is not None:
        for (left, right), (_, error) in zip(pairs, answer, strict=True):
            check_array(name, left, right, 2 * error)
        return
    norm = max([1.0, *(float(np.abs(right).max(initial=0.0)) for _, right in pairs)])
    for left, right in pairs:
        check_array(name, left, right, CUSTOM_ROUNDINGS * np.finfo(right.dtype).eps / 2 * norm)


def check_result(name: str, step: dict[str, Any], actual: Any, answer: Any) -> None:
    """Whatever a step returned."""
    expected = step["result"]
    if step["op"] == "call":
        check_call(name, actual, expected, answer)
    elif step["op"] == "attribute" and step["args"][0] == "states":
        lefts, rights = golden_oracle.flatten(actual), golden_oracle.flatten(expected)
        assert len(actual) == len(expected)
        check_call(name, [np.asarray(left) for left in lefts], rights, None)
    elif step["op"] == "attribute" and step["args"][0] == "losses":
        check_plain(sorted(map(float, actual)), sorted(expected), LOSS_RELATIVE)
    else:
        check_plain(actual, expected, CONFIG_RELATIVE)


def run_case(name: str, answers: list[Any] | None = None) -> None:
    """Run all steps of a case."""
    case = GOLDENS[name]
    layer = None
    for index, step in enumerate(case["steps"]):

        def act(step: dict[str, Any] = step, layer: Any = layer) -> Any:
            if step["op"] == "create":
                return golden_runner.build(case["layer"], CLASSES)
            return golden_runner.run_step(layer, step)

        if "raises" in step:
            error, fragment = step["raises"]
            with pytest.raises(Exception) as caught:
                act()
            names = {base.__name__ for base in type(caught.value).__mro__}
            assert ("ValueError" if error == "Exception" else error) in names
            assert fragment in str(caught.value)
            continue
        actual = act()
        if step["op"] == "create":
            layer = actual
        if "result" in step:
            check_result(name, step, actual, answers[index] if answers else None)
    golden_log.case_done(name)


@pytest.mark.parametrize("name", ON_ORACLE)
def test_built_in_cells(name: str, isa: str) -> None:
    """Cases of built-in cells, on every instruction set."""
    run_case(name, expectations(name))


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else(name: str) -> None:
    """Custom cells, configs, shapes, errors."""
    run_case(name)
