"""Number formats of layers on a GPU, and the kernels for few rows and for many, against the oracle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.contract_cells import normal
from cuda_oracle import FORMATS, FULL, NAMES, assert_right, expected
from precision.precision_cases import CELLS, MAKE, first_states, settle

pytestmark = pytest.mark.usefixtures("cuda_plugin")

SIZES = [(7, 1, 13), (130, 11, 33)]  # batch, features, units
SPLIT_THREADS, TALL_THREADS = 256, 128


def made(name: str, number_format: str, features: int, **kwargs: Any) -> Any:
    """A built layer on the GPU that computes in a number format."""
    dtype = number_format if number_format in FULL else None
    layer = settle(MAKE[name](dtype=dtype, **kwargs), features)
    layer.device = "cuda"
    layer.set_precision("full" if number_format in FULL else number_format)
    assert layer.explain().native
    assert layer.explain().device == "cuda"
    return layer


def check(name: str, number_format: str, size: tuple[int, int, int], steps: int = 2, **kwargs: Any) -> None:
    """Output and states of a masked call that begins with random states."""
    batch, features, units = size
    sizes = {} if name == "stack" else {"units": units}
    layer = made(name, number_format, features, return_sequences=True, return_state=True, **sizes, **kwargs)
    x = normal(batch, steps, features)
    mask = np.random.default_rng(2).random((batch, steps)) < 0.8
    states = first_states(layer, batch, scale=0.5)
    x = x.astype(layer.compute_dtype)
    assert_right(layer, layer(x, mask=mask, initial_state=states), x, mask, states)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("number_format", NAMES)
@pytest.mark.parametrize("name", CELLS)
def test_few_rows_and_many(name: str, number_format: str, size: tuple[int, int, int]) -> None:
    check(name, number_format, size)


@pytest.mark.parametrize("number_format", NAMES)
def test_stacks_of_different_kinds(number_format: str) -> None:
    check("stack", number_format, (9, 5, 0), steps=3)


@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("name", CELLS)
def test_reduced_formats_are_reduced_and_stay_near(name: str, number_format: str) -> None:
    """Not the numbers of full precision, and the distance is that of rounded operands."""
    x = normal(4, 3, 6)
    full = made(name, "float32", 6, return_state=True)
    layer = made(name, number_format, 6, return_state=True)
    roundoff = 2.0 ** -FORMATS[number_format].bits
    exact = [one.value for one in expected(full, x)]
    distance = max(np.abs(a - b).max() for a, b in zip(layer(x), exact, strict=True))
    noise = max(np.abs(a - b).max() for a, b in zip(full(x), exact, strict=True))
    assert noise < distance / 8, "nothing was rounded"
    # Two operands a product, up to 13 products of order one a gate and slopes below 2, over three steps.
    assert distance < roundoff * 2 * 13 * 3


@pytest.mark.parametrize("name", CELLS)
def test_float16_layers(name: str) -> None:
    layer = settle(MAKE[name](dtype="float16", return_sequences=True, return_state=True), 6)
    layer.device = "cuda"
    x = normal(5, 3, 6, dtype="float16")
    assert_right(layer, layer(x), x)


def launches(log: Path) -> list[list[int]]:
    """Grid and block sizes of all launches since the log began."""
    return [[int(word) for word in line.split()[:6]] for line in log.read_text().splitlines()]


@pytest.mark.skipif(os.environ.get("RNNPACK_TEST_GPU") == "1", reason="only the emulator keeps a log")
@pytest.mark.parametrize("number_format", NAMES)
@pytest.mark.parametrize("name", CELLS)
def test_few_rows_and_many_rows_have_kernels_of_their_own(
    name: str, number_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that `test_few_rows_and_many` has covered both."""
    ran = {}
    for size in SIZES:
        layer = made(name, number_format, size[1], units=size[2])
        x = normal(size[0], 1, size[1]).astype(layer.compute_dtype)
        log = tmp_path / str(size[0])
        monkeypatch.setenv("RNNPACK_EMULATOR_LAUNCHES", str(log))
        layer(x)
        ran[size[0]] = launches(log)
        monkeypatch.delenv("RNNPACK_EMULATOR_LAUNCHES")
    tall = {rows: [one for one in found if one[3] == TALL_THREADS] for rows, found in ran.items()}
    # Only products have blocks along the second axis.
    split = [one for one in ran[7] if one[3] == SPLIT_THREADS and one[1] > 1]
    assert split
    assert not tall[7]
    # Their sums of doubles do not fit into registers.
    assert bool(tall[130]) == (number_format != "float64")
