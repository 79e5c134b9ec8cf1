"""AbstractRNNCell and zero states."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpack.cells import AbstractRNNCell
from rnnpack.cells.base import generate_zero_filled_state, generate_zero_filled_state_for_cell, output_size_of
from rnnpack.engine.nest import TensorShape
from rnnpack.layers import RNN


class Minimal(AbstractRNNCell):
    def __init__(self, units, **kwargs):
        self.units = units
        super().__init__(**kwargs)

    @property
    def state_size(self):
        return self.units

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
        )
        self.built = True

    def call(self, inputs, states):
        output = inputs @ self.kernel + states[0]
        return output, output


def test_a_minimal_cell_in_a_layer():
    layer = RNN(Minimal(4))
    x = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    y = layer(x)
    np.testing.assert_allclose(y, x.sum(1) @ layer.get_weights()[0], rtol=1e-5, atol=1e-6)


def test_what_subclasses_must_define():
    cell = AbstractRNNCell()
    with pytest.raises(NotImplementedError, match=r"call\(\)"):
        cell.call(None, None)
    with pytest.raises(NotImplementedError, match="state_size"):
        _ = cell.state_size
    with pytest.raises(NotImplementedError, match="output_size"):
        _ = cell.output_size


def test_output_size_falls_back_to_the_first_state():
    assert output_size_of(Minimal(4)) == 4

    class Two(Minimal):
        state_size = (TensorShape((2, 3)), 5)

    assert output_size_of(Two(4)) == (2, 3)

    class Explicit(Minimal):
        output_size = 9

    assert output_size_of(Explicit(4)) == 9


def test_initial_state_of_any_structure():
    cell = Minimal((4, [TensorShape((2, 3)), (5,)]))
    states = cell.get_initial_state(batch_size=7, dtype=np.float64)
    assert isinstance(states, tuple)
    assert states[0].shape == (7, 4)
    assert states[1][0].shape == (7, 2, 3)
    assert states[1][1][0].shape == (7, 5)
    from_inputs = cell.get_initial_state(
        inputs=(np.ones((3, 1), np.float16),), batch_size=7, dtype=np.float64
    )
    assert (from_inputs[0].shape, from_inputs[0].dtype) == ((3, 4), np.float16)


def test_batch_size_and_dtype_are_needed():
    for arguments in ((None, 3, "float32"), (2, 3, None)):
        with pytest.raises(ValueError, match="batch_size and dtype cannot be None"):
            generate_zero_filled_state(*arguments)
    with pytest.raises(ValueError, match="batch_size and dtype cannot be None"):
        generate_zero_filled_state_for_cell(Minimal(3), None, None, "float32")
    assert generate_zero_filled_state(0, TensorShape((2,)), "float32").shape == (0, 2)
