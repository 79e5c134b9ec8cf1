"""Calibration: scales that a sample has fixed, and what is larger is cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from numpy.typing import NDArray
from precision import oracle
from precision.precision_cases import CELLS, MAKE, all_bits, assert_near, first_states, made, settle

import rnnpack
from rnnpack import RNN, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell

EPS = float(np.finfo("f").eps)
GROWING = {
    "simple": lambda **k: SimpleRNN(7, activation="relu", **k),
    "gru": lambda **k: MAKE["gru"](activation="swish", **k),
    "gru reset before": lambda **k: MAKE["gru reset before"](activation="linear", **k),
    "lstm": lambda **k: MAKE["lstm"](activation="elu", **k),
    "stack": lambda **k: RNN(
        [SimpleRNNCell(6, activation="linear"), GRUCell(5, activation="relu"), LSTMCell(4)], **k
    ),
}


def sample_for(layer: Any, seed: int = 7) -> NDArray[Any]:
    """A sample whose largest inputs, and states that grow, come before its last step."""
    sample = normal(6, 5, 5, seed=seed)
    sample[:, -1] *= 0.01
    return sample.swapaxes(0, 1) if layer.time_major else sample


def calibrated(layer: Any, precision: str = "int8") -> tuple[Any, list[oracle.Ranges]]:
    """The layer with scales from a sample, and the ranges that the sample has."""
    sample = sample_for(layer)
    layer.set_precision(precision, calibration=sample)
    return layer, oracle.seen(layer, sample)


def check(layer: Any, ranges: list[oracle.Ranges], x: Any, mask: Any = None, states: Any = None) -> None:
    """A call agrees with the oracle of these ranges."""
    flat = None if states is None else flatten(states)
    want = oracle.run(oracle.reduced_layer(layer, "int8", ranges=ranges), x, mask, flat)
    assert_near(layer(x, mask=mask, initial_state=states), want)


@pytest.mark.parametrize("size", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("name", [*MAKE, *(f"growing {name}" for name in GROWING)])
def test_ranges_are_those_of_the_sample(int8_isa: str, name: str, size: float) -> None:
    """Inputs and states within the range, and beyond it."""
    make = GROWING[name.removeprefix("growing ")] if name.startswith("growing") else MAKE[name]
    layer, ranges = calibrated(settle(make(return_sequences=True, return_state=True), 5))
    x, states = size * normal(4, 3, 5), first_states(layer, 4, size)
    assert layer.explain().isa == int8_isa
    check(layer, ranges, x)
    check(layer, ranges, x[:, :2], np.random.default_rng(0).random((4, 2)) < 0.7, states)


@pytest.mark.parametrize("flags", [{"go_backwards": True}, {"time_major": True}], ids=str)
@pytest.mark.parametrize("name", GROWING)
def test_the_sample_is_laid_out_and_read_as_inputs_are(name: str, flags: dict[str, bool]) -> None:
    layer = settle(GROWING[name](return_sequences=True, return_state=True, **flags), 5)
    layer, ranges = calibrated(layer)
    x = normal(4, 3, 5)
    check(layer, ranges, x.swapaxes(0, 1) if layer.time_major else x)


def test_what_is_larger_is_cut_off(int8_isa: str) -> None:
    layer = SimpleRNN(3, activation=None, use_bias=False)
    layer.build((None, None, 3))
    layer.set_weights([np.eye(3), np.zeros((3, 3))])
    sample = np.array([[[127.0, 0.0, 3.0]]])
    layer.set_precision("int8", calibration=sample)
    x = np.array([[[0.5, 1.5, -2.5]], [[500, -1e30, 127.4]], [[1, np.inf, 2]], [[3, 60.4, -3e38]]], "f")
    # Infinity is no number that is too large, but none.
    want = [[0, 2, -2], [127, -127, 127], [np.nan] * 3, [3, 60, -127]]
    np.testing.assert_allclose(layer(x), want, rtol=8 * EPS)
    layer.set_weights([np.zeros((3, 3)), np.eye(3)])
    layer.set_precision("full")
    zeros = np.zeros((4, 1, 3), "f")
    layer.set_weights([np.eye(3), np.eye(3)])
    layer.set_precision("int8", calibration=sample)
    np.testing.assert_allclose(layer(zeros, initial_state=x[:, 0]), want, rtol=8 * EPS)


@pytest.mark.parametrize("name", CELLS)
def test_nan_is_nan(int8_isa: str, name: str) -> None:
    layer, _ = calibrated(settle(MAKE[name](activation="relu"), 5))
    x = normal(3, 2, 5)
    plain = layer(x)
    x[1, 1, 2] = np.nan
    got = layer(x)
    assert np.isnan(got[1]).all()
    assert bits(got[[0, 2]]) == bits(plain[[0, 2]])


@pytest.mark.parametrize("name", MAKE)
def test_a_sample_of_zeros_fixes_nothing(name: str) -> None:
    """There is no magnitude to go by."""
    layer, x = made(name, "int8"), normal(3, 2, 5)
    want = bits(layer(x))
    if name == "stack":
        layer = settle(RNN([SimpleRNNCell(4, use_bias=False), GRUCell(3, use_bias=False)]), 5)
        layer.set_precision("int8")
        want = bits(layer(x))
    if name == "projected lstm":
        layer = made(name, "int8", use_bias=False)
        want = bits(layer(x))
    layer.set_precision("int8", calibration=np.zeros((2, 3, 5)))
    assert bits(layer(x)) == want


@pytest.mark.parametrize("name", GROWING)
def test_calibration_is_undone_redone_and_kept_with_new_weights(name: str) -> None:
    layer = settle(GROWING[name](return_state=True), 5)
    x, sample = normal(4, 3, 5), sample_for(layer)
    full = all_bits(layer(x))
    layer.set_precision("int8")
    own = all_bits(layer(x))
    layer.set_precision("int8", calibration=sample)
    fixed = all_bits(layer(x))
    assert fixed != own
    layer.set_precision("int8", calibration=3 * sample)
    assert all_bits(layer(x)) != fixed
    layer.set_precision("int8", calibration=sample.astype("float64"))
    assert all_bits(layer(x)) == fixed
    layer.set_precision("int8", calibration=np.asfortranarray(sample)[:, :, ::-1][:, :, ::-1])
    assert all_bits(layer(x)) == fixed
    layer.set_precision("int8")
    assert all_bits(layer(x)) == own
    layer.set_precision("full")
    assert all_bits(layer(x)) == full
    ranges = oracle.seen(layer, sample)
    layer.set_precision("int8", calibration=sample)
    settle(layer, 5, seed=9)
    check(layer, ranges, x)  # the ranges of the old weights


@pytest.mark.parametrize("name", ["gru", "stack"])
def test_a_sample_leaves_recorded_states_and_the_generator_alone(name: str) -> None:
    layer = settle(MAKE[name](stateful=True), 5, batch=4)
    for cell in oracle.members(layer):
        cell.dropout = 0.5
    layer(normal(4, 3, 5))
    before = all_bits(layer.states)
    rnnpack.set_seed(3)
    drawn = rnnpack.random.generator().random()
    rnnpack.set_seed(3)
    layer.set_precision("int8", calibration=normal(4, 2, 5, seed=4))
    assert rnnpack.random.generator().random() == drawn
    assert all_bits(layer.states) == before
