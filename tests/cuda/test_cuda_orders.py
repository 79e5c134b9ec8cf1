"""Results do not depend on the order of threads and blocks, and no kernel reads or writes beside its arrays.

The emulator runs them in an order that a variable asks for; with RNNPACK_EMULATOR_CHECK=1 the plugin is also
built with checks of every access, for bounds and races: compute-sanitizer's part, where there is no GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import plugin_build
import pytest

pytestmark = [
    pytest.mark.usefixtures("cuda_plugin"),
    pytest.mark.skipif(os.environ.get("RNNPACK_TEST_GPU") == "1", reason="a GPU has an order of its own"),
]

ORDERS = ("backward", "1", "2", "3")
FORMATS = ("full", "tf32", "bfloat16", "float16")
# A process of its own, for one plugin a process can be loaded. Few rows and many, all cells, all formats.
CALLS = """
import sys
import numpy as np
from contract.contract_cells import normal
from contract.contract_oracle import flatten
from precision.precision_cases import MAKE, first_states, settle
from rnnpack import GRU, LSTM, Bidirectional

results = []


def call(layer, x, precision="full", **keywords):
    settle(layer, x.shape[-1])
    layer.device = "cuda"
    layer.set_precision(precision)
    results.extend(flatten([layer(x, **keywords)]))


flags = {"return_sequences": True, "return_state": True}
for precision in %(formats)r:
    for name in MAKE:
        for batch, steps in ((5, 3), %(many)r):
            x, mask = normal(batch, steps, 6), np.random.default_rng(4).random((batch, steps)) < 0.7
            sizes = {} if name == "stack" else {"units": 19 if batch < 64 else 33}
            call(MAKE[name](**sizes, **flags), x, precision, mask=mask)
for name in MAKE:
    call(MAKE[name](dtype="float64", **flags), normal(5, 3, 6, dtype="float64"))
x, mask = normal(6, 4, 3), np.random.default_rng(5).random((6, 4)) < 0.6
for mode in ("concat", "sum", "mul", "ave", None):
    call(Bidirectional(GRU(9, go_backwards=True, **flags), mode), x, mask=mask)
layer = settle(LSTM(7, **flags), 3)
layer.device = "cuda"
results.extend(flatten([layer([x[0], x[1][:0], x[2][:2]])]))
np.savez(sys.argv[1], *results)
"""


def results_of(order: str, folder: Path, check: bool) -> list[np.ndarray]:
    """Outputs and states of all calls, computed in one order."""
    tests = plugin_build.ROOT / "tests"
    settings = {
        "RNNPACK_EMULATOR_ORDER": order,
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests / "cuda"), *sys.path]),
    }
    if check:
        library = plugin_build.emulated_plugin(checked=True)
        settings |= {"RNNPACK_EMULATOR_CHECK": "1", "RNNPACK_CUDA_PLUGIN": str(library)}
    file = folder / f"{order}-{check}.npz"
    many = (70, 1) if check else (130, 2)
    code = CALLS % {"formats": FORMATS, "many": many}
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(file) as arrays:
        return [arrays[f"arr_{index}"] for index in range(len(arrays.files))]


def assert_same_bits(results: list[np.ndarray], others: list[np.ndarray]) -> None:
    assert len(results) == len(others) > 100
    for one, other in zip(results, others, strict=True):
        assert one.tobytes() == other.tobytes()


def test_results_have_the_same_bits_in_every_order(tmp_path: Path) -> None:
    forward = results_of("forward", tmp_path, check=False)
    assert all(np.isfinite(one).all() for one in forward)
    for order in ORDERS:
        assert_same_bits(results_of(order, tmp_path, check=False), forward)


def test_no_access_is_out_of_bounds_or_a_race(tmp_path: Path) -> None:
    forward = results_of("forward", tmp_path, check=True)
    assert_same_bits(results_of("7", tmp_path, check=True), forward)
