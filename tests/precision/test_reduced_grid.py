"""Single steps on chosen numbers: where each of them lands, with nothing that noise could move.

A `SimpleRNN` without activation whose kernel is the identity shows its rounded inputs, inputs with a single
one show the rounded kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from numpy.typing import NDArray
from precision import oracle
from precision.precision_cases import CELLS, assert_within, made

from rnnpack import SimpleRNN

EPS = float(np.finfo("f").eps)
Way = tuple[str, str]


def product(
    precision: str, x: Any, kernel: Any, h: Any = None, recurrent: Any = None, activation: Any = None
) -> NDArray[Any]:
    """What one step makes of rows and matrices."""
    x, kernel = np.asarray(x, "f"), np.asarray(kernel, "f")
    units = kernel.shape[1]
    layer = SimpleRNN(units, activation=activation, use_bias=False)
    layer.build((None, None, len(kernel)))
    layer.set_weights([kernel, np.zeros((units, units)) if recurrent is None else recurrent])
    layer.set_precision(precision)
    first = None if h is None else [np.asarray(h, "f")]
    return np.asarray(layer(x[:, None], initial_state=first))


def by_bits(values: NDArray[Any]) -> NDArray[np.float32]:
    """bfloat16 as the upper half of float32: adding just less than a half carries where it must."""
    words = np.asarray(values, "f").view(np.uint32)
    return ((words + 0x7FFF + (words >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view("f")


def test_the_oracle_rounds_as_the_bits_say() -> None:
    generator = np.random.default_rng(0)
    words = generator.integers(0, 2**32, 200_000, dtype=np.uint32)
    words[::3] &= 0xFFFF8000  # many exactly in the middle
    values = words.view("f")
    values = values[np.isfinite(values)]
    np.testing.assert_array_equal(oracle.bfloat16(values.astype(float)), by_bits(values).astype(float))


# bfloat16 -----------------------------------------------------------------------------------------

STEP = 2.0**-7  # between 1 and 2
ROUNDED = {
    1 + STEP / 2: 1.0,  # in the middle: the even one
    1 + 3 * STEP / 2: 1 + 2 * STEP,
    1 + STEP / 2 + 2.0**-23: 1 + STEP,
    1 + 3 * STEP / 2 - 2.0**-23: 1 + STEP,
    -1 - 3 * STEP / 2: -1 - 2 * STEP,
    2 - STEP / 2: 2.0,  # a new exponent
    1.00390625 * 2.0**100: 2.0**100,
    0.1: 0.10009765625,
    3.3895313892515355e38: 3.3895313892515355e38,  # the largest
    float(np.finfo("f").max): np.inf,  # beyond the largest
}


def test_bfloat16_goes_to_the_nearest_and_to_even(bfloat16_isa: str) -> None:
    values = np.array(list(ROUNDED))
    column = [[v] for v in values]
    np.testing.assert_array_equal(
        product("bfloat16", column, [[1.0]])[:, 0], np.array(list(ROUNDED.values()), "f")
    )
    for v, want in ROUNDED.items():
        assert product("bfloat16", [[1.0]], [[v]]) == np.float32(want)
        assert product("bfloat16", [[0.0]], [[0.0]], [[v]], [[1.0]]) == np.float32(want)
        assert product("bfloat16", [[0.0]], [[0.0]], [[1.0]], [[v]]) == np.float32(want)


def test_bfloat16_of_all_kinds_of_numbers(bfloat16_isa: str) -> None:
    """Also where a row is long enough for whole vectors and has a rest."""
    n = 37
    values = (normal(6, n) * 2.0 ** np.random.default_rng(3).integers(-40, 40, (6, n))).astype("f")
    np.testing.assert_array_equal(product("bfloat16", values, np.eye(n)), by_bits(values))
    np.testing.assert_array_equal(
        product("bfloat16", np.eye(n), values.repeat(7, 0)[:n]), by_bits(values.repeat(7, 0)[:n])
    )


@pytest.mark.parametrize("word", [0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0xFF800001, 0x7FC00000, 0x7F80FFFF])
def test_every_nan_stays_nan(way: Way, word: int) -> None:
    """Also those whose bits are all in the half that bfloat16 lacks, or that a carry would make zero."""
    nan = np.array([word], np.uint32).view("f")[0]
    rows, ones, zeros = np.ones((3, 20), "f"), np.ones((20, 20)), np.zeros((20, 20))
    for column in (0, 13, 19):
        x = rows.copy()
        x[1, column] = nan
        for result in (product(way[0], x, ones), product(way[0], rows, zeros, x, ones)):
            assert np.isnan(result[1]).all()
            np.testing.assert_allclose(result[[0, 2]], 20, rtol=8 * EPS)
        kernel = np.ones((20, 20), "f")
        kernel[7, column] = nan
        for result in (product(way[0], rows, kernel), product(way[0], rows, zeros, rows, kernel)):
            assert np.isnan(result[:, column]).all()
            np.testing.assert_allclose(np.delete(result, column, 1), 20, rtol=8 * EPS)


# int8 ---------------------------------------------------------------------------------------------


def test_int8_rounds_to_even_in_the_middle(int8_isa: str) -> None:
    """The range is 127, 31.75 or 2032, so the grid has steps of 1, 1/4 or 16 and every quotient is exact."""
    places = np.array(
        [127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999, 0.50001, 126.5, 125.5, -126.5, 0, -64.25]
    )
    rounded = np.array([127, 0, 2, 2, 0, -2, -2, 0, 1, 126, 126, -126, 0, -64])
    n = len(places)
    for step in (1.0, 0.25, 16.0, -1.0):
        x = np.tile(places * step, (3, 1))
        shown = product("int8", x, np.eye(n))
        np.testing.assert_allclose(shown, np.tile(rounded * step, (3, 1)), rtol=8 * EPS, atol=0)
        column = (places * step)[:, None] * [1, 2, 4]
        shown = product("int8", np.eye(n), column)
        np.testing.assert_allclose(shown, (rounded * step)[:, None] * [1, 2, 4], rtol=8 * EPS, atol=0)
        shown = product("int8", np.zeros((3, 1)), np.zeros((1, n)), x, np.eye(n))
        np.testing.assert_allclose(shown, np.tile(rounded * step, (3, 1)), rtol=8 * EPS, atol=0)


def test_rows_of_h_within_one_have_steps_of_one_127th(int8_isa: str) -> None:
    """With an activation that keeps them there; hard_sigmoid is 0.2 h + 0.5 and shows them again."""
    h = np.array(
        [[0.3, -0.2, 0.001, 0.004, 0.0], [1.0, 0.3, -0.2, 0.001, -1.0], [1.27, 0.3, -0.2, 0.001, 0.004]]
    )
    shown = product("int8", np.zeros((3, 1)), np.zeros((1, 5)), h, np.eye(5), "hard_sigmoid")
    scale = np.array([[1 / 127], [1 / 127], [0.01]])
    want = np.rint(h / scale) * scale
    assert want[0, 2] == 0 < want[0, 3]
    np.testing.assert_allclose(shown, 0.2 * want + 0.5, rtol=8 * EPS)
    # Without such an activation the largest number of the row is the range, also below 1.
    shown = product("int8", np.zeros((3, 1)), np.zeros((1, 5)), h, np.eye(5), "relu")
    scale = np.abs(h).max(axis=1, keepdims=True) / 127
    np.testing.assert_allclose(shown, np.maximum(np.rint(h / scale) * scale, 0), rtol=8 * EPS)


def test_each_column_has_a_scale_of_its_own_and_each_row(int8_isa: str) -> None:
    """Six orders of magnitude apart, and next to columns and rows of zeros."""
    generator = np.random.default_rng(1)
    x = generator.integers(-127, 128, (40, 30))
    w = generator.integers(-127, 128, (30, 35))
    x[:, 3], w[5] = 127, -127
    rows, columns = 2.0 ** generator.integers(-20, 20, (40, 1)), 2.0 ** generator.integers(-20, 20, 35)
    rows[7], columns[[0, 34]] = 0, 0
    got = product("int8", x * rows, w * columns)
    np.testing.assert_allclose(got, (x @ w) * rows * columns, rtol=8 * EPS, atol=0)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 63, 64, 65, 700, 5000])
def test_sums_of_integers_are_exact(int8_isa: str, size: int) -> None:
    """The largest products there are, which cancel but for one: nothing saturates, nothing is rounded."""
    x, w = np.full((2, size), 127.0), np.full((size, 3), 127.0)
    w[: size // 2, 1], w[:, 2] = -127, -127
    x[1] = -127
    got = product("int8", x, w)
    np.testing.assert_allclose(got, x @ w, rtol=8 * EPS, atol=0)
    got = product("int8", np.zeros((1, 1)), np.zeros((1, 3)), np.full((1, 3), -127.0), np.full((3, 3), 127.0))
    np.testing.assert_allclose(got, np.full((1, 3), -3 * 127.0**2), rtol=8 * EPS, atol=0)


# Whose units go to one output each, without another product that rounds what no grid holds.
UNMIXED = [name for name in CELLS if name != "projected lstm"]


@pytest.mark.parametrize("name", UNMIXED)
def test_a_number_that_is_none_stays_in_its_row_and_its_unit(way: Way, name: str) -> None:
    layer = made(name, way[0], units=19)
    x, h = normal(4, 1, 5), normal(4, 19, seed=3)
    states = [h] if "lstm" not in name else [h, normal(4, 19, seed=4)]
    plain, weights = np.asarray(layer(x, initial_state=states)), layer.get_weights()
    for bad in (np.nan, np.inf, -np.inf) if way[0] == "int8" else (np.nan,):
        for victim in (x, h):
            kept = victim.copy()
            victim[2, ..., 3] = bad
            got = np.asarray(layer(x, initial_state=states))
            victim[...] = kept
            assert np.isnan(got[2]).all()
            assert bits(np.delete(got, 2, 0)) == bits(np.delete(plain, 2, 0))
        for which in (0, 1):
            for gate in range(weights[0].shape[1] // 19):
                spoilt = [w.copy() for w in weights]
                spoilt[which][2, gate * 19 + 17] = bad
                layer.set_weights(spoilt)
                got = np.asarray(layer(x, initial_state=states))
                layer.set_weights(weights)
                if name == "gru reset before" and gate == 1:
                    # Its reset gate multiplies the state before a product, so every candidate gets it.
                    assert np.isnan(got).all()
                    continue
                assert np.isnan(got[:, 17]).all()
                assert bits(np.delete(got, 17, 1)) == bits(np.delete(plain, 17, 1))


@pytest.mark.parametrize("name", UNMIXED)
def test_one_step_on_the_grid_is_as_exact_as_float32(way: Way, name: str) -> None:
    """Numbers that all precisions hold: eight bits, the largest of them 127 in each row and column."""
    generator = np.random.default_rng(2)

    def grid(*shape: int) -> NDArray[Any]:
        values = generator.integers(-127, 128, shape).astype(float)
        values[0], values[..., 0] = 127, -127
        return values

    layer = made(name, way[0], 6, units=33, activation="softsign", return_state=True)
    weights = layer.get_weights()
    # Both matrices have steps of 2^-10, rows of x of 2^-6. States are zero, so every rounding is exact.
    layer.set_weights([grid(*w.shape) * 2.0**-10 if w.ndim == 2 and len(w) > 2 else w for w in weights])
    x = grid(9, 1, 6) * 2.0**-6
    want = oracle.run(oracle.reduced_layer(layer, way[0]), x)
    assert max(w.error.max() for w in want) < 100 * EPS
    assert_within(layer(x.astype("f")), want)
