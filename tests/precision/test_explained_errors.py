"""Reduced precision stays as close to exact results as the number formats allow: the bound is worked out.

Every product of a rounded row and a rounded matrix is off by what rounding either may change at most: half a
step of the grid for each number, 2^-8 of it in bfloat16 and 1/254 of the range of its row or column in int8.
`oracle.Explained` carries that through all steps, in the worst case where all roundings go the wrong way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from contract.contract_cells import normal
from contract.contract_oracle import flatten, reference_layer
from precision import oracle
from precision.precision_cases import CELLS, MAKE, PRECISIONS, assert_within, first_states, made, settle

from rnnpack import Bidirectional

Way = tuple[str, str]


def explained(layer: Any, precision: str, x: Any, mask: Any = None, states: Any = None) -> list[oracle.Row]:
    """Exact results, with how far reduced precision may be from them."""
    found = oracle.run(oracle.reduced_layer(layer, precision, oracle.Explained), x, mask, states)
    plain = reference.run(reference_layer(layer), x, mask, states)
    for bounded, exact in zip(found, [plain.output, *plain.states], strict=True):
        np.testing.assert_allclose(bounded.value, exact, rtol=1e-12, atol=1e-14)
    return found


@pytest.mark.parametrize("features", [1, 5, 64])
@pytest.mark.parametrize("name", MAKE)
def test_errors_are_those_of_the_format(way: Way, name: str, features: int) -> None:
    layer = settle(MAKE[name](return_sequences=True, return_state=True), features, scale=0.4)
    layer.set_precision(way[0])
    x = normal(3, 3, features)
    want = explained(layer, way[0], x)
    assert_within(layer(x), want)
    # A bound of the size of the values would accept anything.
    assert max(np.median(w.error) for w in want) < 0.2


@pytest.mark.parametrize("name", MAKE)
def test_errors_of_first_states_beyond_one(way: Way, name: str) -> None:
    layer = made(name, way[0], return_sequences=True, return_state=True)
    x, states = normal(3, 3, 5), first_states(layer, 3, 3.0)
    assert_within(layer(x, initial_state=states), explained(layer, way[0], x, None, flatten(states)))


@pytest.mark.parametrize("activation", ["linear", "relu", "swish", "softplus", "gelu", "softsign"])
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_errors_of_activations(precision: str, name: str, activation: str) -> None:
    layer = made(name, precision, activation=activation, return_sequences=True, return_state=True)
    x = normal(3, 3, 5)
    assert_within(layer(x), explained(layer, precision, x))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", MAKE)
def test_errors_of_both_directions(name: str, precision: str) -> None:
    both = settle(Bidirectional(MAKE[name](return_sequences=True, return_state=True)), 5)
    both.set_precision(precision)
    x, mask = normal(4, 5, 5), np.random.default_rng(1).random((4, 5)) < 0.7
    halves = (both.forward_layer, both.backward_layer)
    pair = [oracle.reduced_layer(half, precision, oracle.Explained) for half in halves]
    assert_within(both(x, mask=mask), oracle.run_pair(pair, "concat", x, mask))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CELLS)
def test_typical_errors_are_far_below_the_worst(name: str, precision: str) -> None:
    """Roundings are independent of each other, nearly: errors of a product of n grow with the root of n.

    One step from zero, so that nothing else is in the way. The root of the mean square of an error that is
    uniform within half a step is the half step over the root of 3; both operands bring one. Twice that leaves
    room for numbers that are not spread evenly, and is far less than the worst case, n half steps.
    """
    n = 400
    layer = made(name, precision, n, units=64)
    x = normal(20, 1, n)
    exact = reference.run(reference_layer(layer), x).output
    kernel = np.asarray(layer.get_weights()[0], float)
    if precision == "int8":
        row = (np.abs(x[:, 0]).max(axis=1) / 254)[:, None]
        column = np.abs(kernel).max(axis=0) / 254
    else:
        row, column = np.abs(x[:, 0]) * 2.0**-8, np.abs(kernel) * 2.0**-8
    row, column = np.broadcast_to(row, x[:, 0].shape), np.broadcast_to(column, kernel.shape)
    variance = (row**2 @ kernel**2 + x[:, 0].astype(float) ** 2 @ column**2) / 3
    error = np.asarray(layer(x), float) - exact
    # The slopes of all gates together are at most 1 + 1/4 + 1/4 for values of order one.
    assert np.sqrt((error**2).mean()) <= 2 * 1.5 * np.sqrt(variance.mean())
