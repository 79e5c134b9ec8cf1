"""The peephole cell against TensorFlow 1's, the projected one against PyTorch's, recorded beside this file.

Both sides round, so results may be apart by twice the running error bound of ``tolerance.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tolerance
from contract.contract_oracle import flatten, reference_layer
from numpy.typing import NDArray

from rnnpack import RNN, Bidirectional, PeepholeLSTMCell, ProjectedLSTMCell

HERE = Path(__file__).parent
Arrays = dict[str, NDArray[Any]]


def load(file: str) -> dict[str, Arrays]:
    """The arrays of each case of a file."""
    cases: dict[str, Arrays] = {}
    with np.load(HERE / file) as recorded:
        for name in recorded.files:
            case, key = name.split("/")
            cases.setdefault(case, {})[key] = recorded[name]
    return cases


PEEPHOLE, PROJECTED = load("peephole.npz"), load("projected.npz")


def assert_close(got: list[Any], recorded: list[Any], want: list[tolerance.Bounded], dtype: str) -> None:
    """Ours and the recorded arrays agree within both sides' bounds."""
    for array, other, bounded in zip(got, recorded, want, strict=True):
        assert array.dtype == other.dtype == np.dtype(dtype)
        assert bounded.error.max() < 5e-3, "the bounds say nothing"
        assert tolerance.excess(array, other, 2 * bounded.error + np.finfo(dtype).tiny) <= 1


@pytest.mark.parametrize("name", PEEPHOLE)
def test_peepholes_of_tensorflow(isa: str, name: str) -> None:
    case = PEEPHOLE[name]
    x, mask, dtype = case["x"], case.get("mask"), case["x"].dtype.name
    cell = PeepholeLSTMCell(case["h"].shape[1], activation=str(case["activation"]), dtype=dtype)
    flags = {"return_sequences": True, "return_state": True, "go_backwards": bool(case["go_backwards"])}
    layer = RNN(cell, dtype=dtype, **flags)
    layer.build(x.shape)
    own = [case[f"peephole_{i}"] for i in range(3)]
    layer.set_weights([case["kernel"], case["recurrent_kernel"], case["bias"], *own])
    states = [case["first_h"], case["first_c"]] if "first_h" in case else None
    got = layer(x, mask=mask, initial_state=states)
    want = tolerance.run(reference_layer(layer), x, mask, states, dtype=dtype)
    assert layer.explain().isa == isa
    assert layer.explain().kernel == "peephole_lstm"
    assert_close(got, [case["output"], case["h"], case["c"]], [want.output, *want.states], dtype)


@pytest.mark.parametrize("name", PROJECTED)
def test_projections_of_pytorch(isa: str, name: str) -> None:
    case = PROJECTED[name]
    x, dtype, count = case["x"], case["x"].dtype.name, len(case["h"])
    units, outputs, use_bias = case["c"].shape[2], case["h"].shape[2], "bias_0" in case
    both, lengths = case["output"].shape[2] != outputs, case.get("lengths")
    mask = None if lengths is None else np.arange(x.shape[1]) < lengths[:, None]
    cells = [
        ProjectedLSTMCell(units, outputs, use_bias=use_bias, dtype=dtype) for _ in range(1 if both else count)
    ]
    flags = {"return_sequences": True, "return_state": True, "zero_output_for_mask": mask is not None}
    layer: Any = RNN(cells if len(cells) > 1 else cells[0], dtype=dtype, **flags)
    if both:
        layer = Bidirectional(layer, dtype=dtype)
    layer.build(x.shape)
    kinds = ["kernel", "recurrent_kernel", *(["bias"] if use_bias else []), "projection"]
    layer.set_weights([case[f"{kind}_{i}"] for i in range(count) for kind in kinds])
    states = [case["first_h"][0], case["first_c"][0]] if "first_h" in case else None
    got = layer(x, mask=mask, initial_state=states)
    if both:
        pair = reference_layer(layer.forward_layer), reference_layer(layer.backward_layer)
        want = tolerance.run_bidirectional(*pair, "concat", x, mask, states, dtype=dtype)
    else:
        want = tolerance.run(reference_layer(layer), x, mask, states, dtype=dtype)
    assert layer.explain().isa == isa
    recorded = [case["output"], *(case[key][i] for i in range(count) for key in "hc")]
    assert_close(flatten(got), recorded, [want.output, *want.states], dtype)
