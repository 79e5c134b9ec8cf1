"""The two examples of Keras' documentation page of the RNN layer: only the import lines are ours."""

# ruff: noqa: UP008

from __future__ import annotations

import numpy as np
from contract_cells import normal

from rnnpack import keras
from rnnpack.keras import backend
from rnnpack.keras.layers import RNN

# First, let's define a RNN Cell, as a layer subclass.


class MinimalRNNCell(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        self.units = units
        self.state_size = units
        super(MinimalRNNCell, self).__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel"
        )
        self.built = True

    def call(self, inputs, states):
        prev_output = states[0]
        h = backend.dot(inputs, self.kernel)
        output = h + backend.dot(prev_output, self.recurrent_kernel)
        return output, [output]


def by_hand(x, weights):
    """The cell's recurrence in float64: every output."""
    kernel, recurrent = (np.asarray(w, "float64") for w in weights)
    h, outputs = np.zeros((len(x), kernel.shape[1])), []
    for t in range(x.shape[1]):
        h = x[:, t] @ kernel + h @ recurrent
        outputs.append(h)
    return np.stack(outputs, 1)


def test_the_minimal_cell_alone():
    # Let's use this cell in a RNN layer:
    cell = MinimalRNNCell(32)
    x = keras.Input((None, 5))
    layer = RNN(cell)
    y = layer(x)

    assert tuple(y.shape) == (None, 32)
    assert [w.shape for w in layer.get_weights()] == [(5, 32), (32, 32)]
    data = normal(3, 7, 5)
    # 5 + 32 roundings a step; uniform(-0.05, 0.05) weights shrink what earlier steps left.
    tolerance = 4 * 37 * np.finfo("float32").eps
    np.testing.assert_allclose(layer(data), by_hand(data, layer.get_weights())[:, -1], rtol=0, atol=tolerance)
    np.testing.assert_array_equal(keras.Model(x, y)(data), layer(data))


def test_the_minimal_cell_in_a_stack_of_two():
    # Here's how to use the cell to build a stacked RNN:
    cells = [MinimalRNNCell(32), MinimalRNNCell(64)]
    x = keras.Input((None, 5))
    layer = RNN(cells)
    y = layer(x)

    assert tuple(y.shape) == (None, 64)
    assert [w.shape for w in layer.get_weights()] == [(5, 32), (32, 32), (32, 64), (64, 64)]
    data = normal(3, 7, 5)
    weights = layer.get_weights()
    want = by_hand(by_hand(data, weights[:2]), weights[2:])[:, -1]
    np.testing.assert_allclose(layer(data), want, rtol=0, atol=4 * 96 * np.finfo("float32").eps)


def test_uniform_initial_weights_are_within_keras_limits():
    layer = RNN(MinimalRNNCell(32))
    layer(keras.Input((None, 5)))
    for weight in layer.get_weights():
        assert np.abs(weight).max() <= 0.05
        assert np.abs(weight).max() > 0.04
        assert (weight < 0).any()
        assert (weight > 0).any()


def test_positional_arguments_of_the_page():
    import inspect

    names = list(inspect.signature(RNN).parameters)
    assert names == [
        "cell",
        "return_sequences",
        "return_state",
        "go_backwards",
        "stateful",
        "unroll",
        "time_major",
        *names[7:],
    ]
    assert list(inspect.signature(RNN.reset_states).parameters) == ["self", "states"]


def test_raises_table_of_reset_states():
    import pytest

    data = normal(2, 3, 4)
    with pytest.raises(AttributeError):
        RNN(MinimalRNNCell(3)).reset_states()
    with pytest.raises(ValueError, match="batch size"):
        RNN(MinimalRNNCell(3), stateful=True).reset_states()
    layer = RNN(MinimalRNNCell(3), stateful=True)
    layer(data)
    with pytest.raises(ValueError, match="State 0 is incompatible"):
        layer.reset_states(states=np.zeros((2, 4)))
    with pytest.raises(ValueError, match="dtype"):
        layer.reset_states(states=np.zeros((2, 3), complex))


def test_module_paths_of_keras():
    import importlib

    for path, names in {
        "rnnpack.keras": ["Input", "Model", "layers", "backend", "initializers", "utils"],
        "rnnpack.keras.layers": [
            "RNN",
            "LSTM",
            "GRU",
            "SimpleRNN",
            "Bidirectional",
            "StackedRNNCells",
            "SimpleRNNCell",
            "LSTMCell",
            "GRUCell",
            "AbstractRNNCell",
            "Layer",
            "InputSpec",
            "Input",
            "Masking",
        ],
        "rnnpack.keras.backend": ["dot", "floatx", "concatenate", "zeros", "int_shape"],
        "rnnpack.keras.initializers": ["GlorotUniform", "Orthogonal", "get", "serialize", "deserialize"],
        "rnnpack.keras.regularizers": ["L1", "L2", "l2", "get"],
        "rnnpack.keras.constraints": ["MaxNorm", "NonNeg", "get"],
        "rnnpack.keras.activations": ["tanh", "sigmoid", "hard_sigmoid", "get"],
        "rnnpack.keras.utils": ["register_keras_serializable", "custom_object_scope", "get_custom_objects"],
        "rnnpack.keras.models": ["Model"],
    }.items():
        module = importlib.import_module(path)
        for name in names:
            assert hasattr(module, name), f"{path}.{name}"
