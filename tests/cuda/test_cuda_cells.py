"""Every cell on a GPU against the float64 oracle: kinds, activations, bias, number formats and sizes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import rounded_rows
import tolerance
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten, reference_layer
from precision.precision_cases import CELLS, MAKE, first_states, settle

from rnnpack import RNN, GRUCell, LSTMCell

pytestmark = pytest.mark.usefixtures("cuda_plugin")

ON_A_GPU = os.environ.get("RNNPACK_TEST_GPU") == "1"
TALL = 128  # threads in a block of the kernels for many rows
TWO_PASSES = ("gru reset before", "projected lstm")
FULL = ("float32", "float64")
FORMATS = (*FULL, *rounded_rows.GRIDS)
# (batch, features, units): below, at and above 8, 16 and 32, and where tall kernels begin.
SIZES = [
    *((1, 5, 7), (7, 1, 13), (16, 32, 8), (17, 9, 21), (64, 3, 11), (70, 40, 5)),
    *((130, 11, 33), (130, 8, 64)),
]


# A SimpleRNN has no gates.
ROLES = [
    *((kind, "activation") for kind in CELLS),
    *((kind, "recurrent_activation") for kind in CELLS if kind != "simple"),
]


def made(kind: str, number_format: str, features: int, **kwargs: Any) -> Any:
    """A layer on the GPU that computes in a number format, with weights of order one."""
    dtype = number_format if number_format in FULL else None
    layer = settle(MAKE[kind](dtype=dtype, **kwargs), features)
    layer.device = "cuda"
    layer.set_precision("full" if number_format in FULL else number_format)
    return layer


def assert_near(got: list[Any], want: list[tolerance.Bounded]) -> None:
    """Every array within its bounds; denormals may be flushed to zero."""
    assert len(got) == len(want)
    for array, bounded in zip(got, want, strict=True):
        error = bounded.error + np.finfo(array.dtype).tiny
        assert tolerance.excess(array, bounded.value, error) <= 1


def assert_right(layer: Any, number_format: str, x: Any, mask: Any = None, states: Any = None) -> None:
    """Output and final states of a call within their bounds."""
    got = flatten([layer(x, mask=mask, initial_state=states)])
    assert {one.dtype for one in got} == {np.dtype(layer.compute_dtype)}
    flat = None if states is None else flatten([states])
    assert_near(got, rounded_rows.run(reference_layer(layer), x, mask, flat, number_format))


@pytest.fixture
def launches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """The threads in a block of each kernel that ran since the last time it was asked; on a GPU none."""
    log = tmp_path / "launches"
    monkeypatch.setenv("RNNPACK_EMULATOR_LAUNCHES", str(log))

    def since_the_last_time() -> list[int]:
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [int(line.split()[3]) for line in lines]

    return since_the_last_time


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
    check(kind, number_format, size, steps=1 if size == SIZES[-1] else 2)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("kind", CELLS)
def test_masks_backwards(kind: str, number_format: str, use_bias: bool) -> None:
    check(kind, number_format, (9, 6, 10), 4, True, go_backwards=True, use_bias=use_bias)
    check(kind, number_format, (9, 6, 10), 4, True, zero_output_for_mask=True, use_bias=use_bias)


@pytest.mark.parametrize("function", reference.ELEMENTWISE)
@pytest.mark.parametrize("kind, role", ROLES)
def test_activations(kind: str, role: str, function: str) -> None:
    for number_format in FORMATS:
        check(kind, number_format, (3, 4, 9), **{role: function})


def test_chunks_of_time_join(launches: Callable[[], list[int]]) -> None:
    """Projected inputs of 4096 rows and 32 columns fill 32 MiB with 64 steps; both cells go on after them."""
    steps, distinct, times = 67, 64, 64
    layer = RNN([LSTMCell(8), GRUCell(8)], return_sequences=True, return_state=True, go_backwards=True)
    settle(layer, 3)
    layer.device = "cuda"
    x = normal(distinct, steps, 3)
    mask = np.random.default_rng(3).random((distinct, steps)) < 0.8
    states = [normal(distinct, 8, seed=seed) for seed in range(3)]
    many = [np.tile(one, (times, *[1] * (one.ndim - 1))) for one in (x, mask, *states)]
    launches()
    got = flatten([layer(many[0], mask=many[1], initial_state=[many[2:4], many[4]])])
    ran = launches()
    assert ON_A_GPU or ran.count(TALL) == 2 * (2 + steps), "two chunks of each cell"
    # Rows that are alike have results that are alike; the oracle needs to see only some of them.
    for one in got:
        alike = one.reshape(times, distinct, -1)
        assert (alike == alike[0]).all()
    few = slice(0, distinct, 7)
    start = [one[few] for one in states]
    want = rounded_rows.run(reference_layer(layer), x[few], mask[few], start, "float32")
    assert_near([one[few] for one in got], want)


def _products(kind: str) -> tuple[int, int]:
    """How many products of inputs there are, and how many of h each step."""
    return 2 if kind == "gru reset before" else 1, 2 if kind in TWO_PASSES else 1


@pytest.mark.skipif(ON_A_GPU, reason="only the emulator keeps a log of launches")
@pytest.mark.parametrize("function", ["tanh", "relu"])
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("kind", CELLS)
def test_many_rows_have_kernels_of_their_own(
    kind: str, number_format: str, function: str, launches: Callable[[], list[int]]
) -> None:
    """So that the sizes above have covered both shapes; doubles and rarer activations are left to one."""
    steps = 2
    of_inputs, of_h = _products(kind)
    ran = {}
    for rows in (7, 130):
        layer = made(kind, number_format, 13, units=64, activation=function)
        x = normal(rows, steps, 13, dtype=layer.compute_dtype)
        launches()
        layer(x)
        ran[rows] = launches().count(TALL)
    # Projecting h leaves a single tile of 5 columns, too few blocks for a tall kernel.
    h_products = 1 if kind == "projected lstm" else of_h
    tall_steps = h_products * steps if function == "tanh" else 0
    assert ran[7] == 0
    assert ran[130] == (0 if number_format == "float64" else of_inputs + tall_steps)


@pytest.mark.skipif(ON_A_GPU, reason="a GPU has no order that can be asked for")
@pytest.mark.parametrize("size", [(18, 5, 9), (70, 40, 33)], ids=str)
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("kind", CELLS)
def test_same_bits_in_any_order_of_threads(
    kind: str, number_format: str, size: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, features, units = size
    layer = made(kind, number_format, features, units=units, return_sequences=True, return_state=True)
    x = normal(batch, 3, features, dtype=layer.compute_dtype)
    mask = np.random.default_rng(2).random((batch, 3)) < 0.8
    found = []
    for order in ("forward", "backward", "1", "2"):
        monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", order)
        found.append([bits(one) for one in flatten([layer(x, mask=mask)])])
    assert all(one == found[0] for one in found)


@pytest.mark.skipif(ON_A_GPU, reason="only the emulator checks accesses")
def test_accesses_are_within_bounds_and_do_not_race() -> None:
    """Some of the tests above once more, where each access of a kernel to memory is checked."""
    some = "masks_backwards and True and bfloat16 or sizes and 17 and (tf32 or float64)"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", some, __file__]
    environment = {**os.environ, "RNNPACK_EMULATOR_CHECK": "1"}
    environment.pop("RNNPACK_CUDA_PLUGIN")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
