"""The rounding of operands bit for bit, and what becomes of infinities and NaN.

Products with ones and zeros add nothing of their own, so outputs show how the other factor was rounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rounded_rows
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from precision.precision_cases import CELLS
from test_cuda_cells import FORMATS, FULL, made

pytestmark = pytest.mark.usefixtures("cuda_plugin")

N = 24


def nearest(values: Any, number_format: str) -> Any:
    return values if number_format in FULL else rounded_rows.nearest(values, number_format)


def numbers(number_format: str, seed: int) -> Any:
    """A square matrix of numbers with all their bits, and of ties with even and odd neighbours."""
    rng = np.random.default_rng(seed)
    bits_kept = 11 if number_format in FULL else rounded_rows.GRIDS[number_format].bits
    found = rng.normal(size=(N, N)) * 2.0 ** rng.integers(-10, 10, (N, N))
    ties = (rng.integers(2 ** (bits_kept - 1), 2**bits_kept, (N, N)) + 0.5) * rng.choice([-1.0, 1.0], (N, N))
    found = np.where(rng.random((N, N)) < 0.5, found, ties * 2.0**-bits_kept)
    return found.astype("float64" if number_format == "float64" else "float32")


def linear(number_format: str, kernel: Any, recurrent: Any, **kwargs: Any) -> Any:
    layer = made("simple", number_format, N, units=N, activation="linear", use_bias=False, **kwargs)
    layer.set_weights([kernel, recurrent])
    return layer


@pytest.mark.parametrize("number_format", FORMATS)
def test_inputs_and_kernel_round(number_format: str) -> None:
    values, one, zero = numbers(number_format, 1), np.eye(N), np.zeros((N, N))
    x = one.astype(values.dtype)[:, None]
    want = nearest(values, number_format)
    np.testing.assert_array_equal(linear(number_format, one, zero)(values[:, None]), want)
    np.testing.assert_array_equal(linear(number_format, values, zero)(x), want)


@pytest.mark.parametrize("number_format", FORMATS)
def test_states_and_recurrent_kernel_round(number_format: str) -> None:
    values, one, zero = numbers(number_format, 2), np.eye(N), np.zeros((N, N))
    x = np.zeros((N, 1, N), values.dtype)
    want = nearest(values, number_format)
    h = one.astype(values.dtype)
    np.testing.assert_array_equal(linear(number_format, zero, one)(x, initial_state=values), want)
    np.testing.assert_array_equal(linear(number_format, zero, values)(x, initial_state=h), want)


@pytest.mark.parametrize("number_format", FORMATS)
def test_h_rounds_between_steps_and_outputs_do_not(number_format: str) -> None:
    kernel = numbers(number_format, 3)
    x = np.zeros((40, 2, N), kernel.dtype)
    x[:, 0] = normal(40, N)
    h = linear(number_format, kernel, np.eye(N), return_sequences=True)(x)
    np.testing.assert_array_equal(h[:, 1], nearest(h[:, 0], number_format))
    assert (h[:, 1] != h[:, 0]).any() == (number_format not in FULL)


def test_what_float16_cannot_hold_is_infinite() -> None:
    one, zero = np.eye(N), np.zeros((N, N))
    x = np.full((3, 1, N), 1.0, np.float32)
    x[:, 0, 5] = 65519.0, 65520.0, -70000.0
    ones = np.ones((N, N))
    got = linear("float16", ones, zero)(x)
    np.testing.assert_array_equal(got, np.repeat([[65504.0 + N - 1], [np.inf], [-np.inf]], N, axis=1))
    assert np.isnan(linear("float16", one, zero)(x)[1:, 0]).all(), "infinity times zero"
    small = np.ldexp([0.49, 0.51, 1.0, 1.5, 2.5], -24)
    x = np.zeros((len(small), 1, N), np.float32)
    x[:, 0, 7] = small
    got = linear("float16", one, zero)(x)
    np.testing.assert_array_equal(got[:, 7], np.ldexp([0.0, 1.0, 1.0, 2.0, 2.0], -24))
    for number_format in ("float32", "tf32", "bfloat16"):
        x = np.full((1, 1, N), 1e30, np.float32)
        assert np.isfinite(linear(number_format, one, zero)(x)).all()


@pytest.mark.parametrize("rows", [18, 130])
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("kind", CELLS)
def test_a_bad_row_stays_alone(kind: str, number_format: str, rows: int) -> None:
    layer = made(kind, number_format, 5, units=37, return_sequences=True, return_state=True)
    x = normal(rows, 3, 5, dtype=layer.compute_dtype)
    clean = [np.delete(one, 9, axis=0) for one in flatten([layer(x)])]
    infinity = np.array(np.inf, x.dtype).view(f"u{x.itemsize}")
    minus = np.array(-np.inf, x.dtype).view(infinity.dtype)
    for pattern in (infinity, infinity + 1, minus):  # the NaN has bits that no reduced format keeps
        x.view(infinity.dtype)[9, 1, 3] = pattern
        got = flatten([layer(x)])
        for one, other in zip(got, clean, strict=True):
            assert bits(np.delete(one, 9, axis=0)) == bits(other)
        assert np.isfinite(got[0][9, 0]).all()
        if pattern == infinity + 1:
            assert np.isnan(got[0][9, 1:]).all()


@pytest.mark.parametrize("rows", [18, 130])
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("kind", CELLS)
def test_nothing_behind_a_mask_shows(kind: str, number_format: str, rows: int) -> None:
    layer = made(kind, number_format, 5, units=37, return_sequences=True, return_state=True)
    x = normal(rows, 4, 5, dtype=layer.compute_dtype)
    mask = np.random.default_rng(4).random((rows, 4)) < 0.5
    mask[1] = False
    clean = flatten([layer(x, mask=mask)])
    x[~mask] = np.where(np.arange((~mask).sum()) % 2, np.nan, np.inf)[:, None]
    got = flatten([layer(x, mask=mask)])
    for one, other in zip(got, clean, strict=True):
        assert np.isfinite(one).all()
        assert bits(one) == bits(other)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("number_format", FORMATS)
def test_a_bad_weight_reaches_its_own_units_only(number_format: str, bad: float) -> None:
    """At the first step; not through the padding of tiles, which is as zero as it looks."""
    layer = made("simple", number_format, 5, units=13)
    x = normal(17, 1, 5, dtype=layer.compute_dtype)
    clean = layer(x)
    weights = layer.get_weights()
    weights[0][4, 12] = bad
    layer.set_weights(weights)
    got = layer(x)
    assert bits(got[:, :12]) == bits(clean[:, :12])
    want = np.full(17, np.nan) if np.isnan(bad) else np.sign(x[:, 0, 4])
    np.testing.assert_array_equal(got[:, 12], want)
