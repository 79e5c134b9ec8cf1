"""Every cell on a GPU against the float64 oracle: kinds, activations, bias, number formats and sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
import rounded_rows
import tolerance
from contract.contract_cells import normal
from contract.contract_oracle import flatten, reference_layer
from precision.precision_cases import CELLS, MAKE, first_states, settle

pytestmark = pytest.mark.usefixtures("cuda_plugin")

FULL = ("float32", "float64")
FORMATS = (*FULL, *rounded_rows.GRIDS)
# (batch, features, units): below, at and above 8, 16 and 32, and where tall kernels begin.
SIZES = [
    *((1, 5, 7), (7, 1, 13), (16, 32, 8), (17, 9, 21), (64, 3, 11), (70, 40, 5)),
    *((130, 11, 33), (130, 8, 64)),
]


def made(kind: str, number_format: str, features: int, **kwargs: Any) -> Any:
    """A layer on the GPU that computes in a number format, with weights of order one."""
    dtype = number_format if number_format in FULL else None
    layer = settle(MAKE[kind](dtype=dtype, **kwargs), features)
    layer.device = "cuda"
    layer.set_precision("full" if number_format in FULL else number_format)
    return layer


def assert_right(layer: Any, number_format: str, x: Any, mask: Any = None, states: Any = None) -> None:
    """Output and final states of a call within their bounds."""
    got = flatten([layer(x, mask=mask, initial_state=states)])
    flat = None if states is None else flatten([states])
    want = rounded_rows.run(reference_layer(layer), x, mask, flat, number_format)
    assert len(got) == len(want)
    for array, bounded in zip(got, want, strict=True):
        assert array.dtype == layer.compute_dtype
        # Denormals may be flushed to zero.
        error = bounded.error + np.finfo(array.dtype).tiny
        assert tolerance.excess(array, bounded.value, error) <= 1


def check(
    kind: str,
    number_format: str,
    size: tuple[int, int, int],
    steps: int = 2,
    masked: bool = False,
    **kwargs: Any,
) -> None:
    """A call that begins with random states."""
    batch, features, units = size
    layer = made(
        kind, number_format, features, units=units, return_sequences=True, return_state=True, **kwargs
    )
    dtype = layer.compute_dtype
    mask = np.random.default_rng(2).random((batch, steps)) < 0.7 if masked else None
    states = [one.astype(dtype) for one in flatten([first_states(layer, batch, scale=0.5)])]
    assert_right(layer, number_format, normal(batch, steps, features, dtype=dtype), mask, states)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("kind", CELLS)
def test_sizes(kind: str, number_format: str, size: tuple[int, int, int]) -> None:
    check(kind, number_format, size)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("kind", CELLS)
def test_masks_backwards(kind: str, number_format: str, use_bias: bool) -> None:
    check(kind, number_format, (9, 6, 10), 4, True, go_backwards=True, use_bias=use_bias)
    check(kind, number_format, (9, 6, 10), 4, True, zero_output_for_mask=True, use_bias=use_bias)


@pytest.mark.parametrize("role", ["activation", "recurrent_activation"])
@pytest.mark.parametrize("function", reference.ELEMENTWISE)
@pytest.mark.parametrize("kind", CELLS)
def test_activations(kind: str, function: str, role: str) -> None:
    if kind == "simple" and role == "recurrent_activation":
        pytest.skip("a SimpleRNN has no gates")
    for number_format in FORMATS:
        check(kind, number_format, (3, 4, 9), **{role: function})
