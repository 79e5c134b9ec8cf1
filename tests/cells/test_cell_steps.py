"""One step of each built-in cell against float64 formulas, and what a direct call accepts."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpack.cells import GRUCell, LSTMCell, SimpleRNNCell

ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
}
CELLS = {"simple": SimpleRNNCell, "gru": GRUCell, "gru_before": GRUCell, "lstm": LSTMCell}


def make(kind, units=3, **kwargs):
    if kind == "gru_before":
        kwargs["reset_after"] = False
    return CELLS[kind](units, bias_initializer="normal", **kwargs)


def weights_of(cell):
    kernel, recurrent, *bias = [w.numpy().astype(np.float64) for w in cell.weights]
    if bias:
        return kernel, recurrent, bias[0]
    after = isinstance(cell, GRUCell) and cell.reset_after
    return kernel, recurrent, np.zeros((2, kernel.shape[1]) if after else kernel.shape[1])


def expected_step(kind, weights, x, states, act, rec):
    """The contract's formulas in float64, gate by gate."""
    kernel, recurrent, bias = weights
    h = states[0]
    u = recurrent.shape[0]

    def block(matrix, k):
        return matrix[..., k * u : (k + 1) * u]

    if kind == "simple":
        h = act(x @ kernel + bias + h @ recurrent)
        return h, [h]
    if kind == "lstm":
        i, f, g, o = (x @ block(kernel, k) + h @ block(recurrent, k) + block(bias, k) for k in range(4))
        c = rec(f) * states[1] + rec(i) * act(g)
        h = rec(o) * act(c)
        return h, [h, c]
    if kind == "gru":
        xs = [x @ block(kernel, k) + block(bias[0], k) for k in range(3)]
        hs = [h @ block(recurrent, k) + block(bias[1], k) for k in range(3)]
        z, r = rec(xs[0] + hs[0]), rec(xs[1] + hs[1])
        candidate = act(xs[2] + r * hs[2])
    else:
        xs = [x @ block(kernel, k) + block(bias, k) for k in range(3)]
        z, r = rec(xs[0] + h @ block(recurrent, 0)), rec(xs[1] + h @ block(recurrent, 1))
        candidate = act(xs[2] + (r * h) @ block(recurrent, 2))
    h = z * h + (1 - z) * candidate
    return h, [h]


@pytest.mark.parametrize("kind", CELLS)
@given(
    data=st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1)),
    act=st.sampled_from(sorted(ACTIVATIONS)),
    rec=st.sampled_from(sorted(ACTIVATIONS)),
    use_bias=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    implementation=st.sampled_from([0, 1, 2]),
)
def test_step_equals_the_formula(kind, data, act, rec, use_bias, dtype, implementation):
    batch, features, units, seed = data
    gated = {} if kind == "simple" else {"recurrent_activation": rec, "implementation": implementation}
    cell = make(kind, units, activation=act, use_bias=use_bias, dtype=dtype, **gated)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, features)).astype(dtype)
    states = [rng.normal(size=(batch, units)).astype(dtype) for _ in range(2 if kind == "lstm" else 1)]
    kept = [s.copy() for s in (x, *states)]
    output, new_states = cell(x, states)
    assert (cell.bias is None) == (not use_bias)

    def wide(array):
        return array.astype(np.float64)

    want, want_states = expected_step(
        kind, weights_of(cell), wide(x), [wide(s) for s in states], ACTIVATIONS[act], ACTIVATIONS[rec]
    )
    # Sums of at most 13 products of numbers around 1, then bounded slopes: a few tens of roundings.
    tolerance = {"rtol": 60 * np.finfo(dtype).eps, "atol": 60 * np.finfo(dtype).eps}
    np.testing.assert_allclose(output, want, **tolerance)
    assert output.dtype == dtype
    assert len(new_states) == len(want_states)
    for got, good in zip(new_states, want_states, strict=True):
        np.testing.assert_allclose(got, good, **tolerance)
    for before, after in zip(kept, (x, *states), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("kind", CELLS)
def test_float16_and_mixed_precision(kind):
    for dtype, stored in (("float16", np.float16), ("mixed_float16", np.float32)):
        cell = make(kind, dtype=dtype)
        states = [np.ones((2, 3))] * (2 if kind == "lstm" else 1)
        output, new_states = cell(np.ones((2, 4)), states)
        assert output.dtype == np.float16
        assert all(s.dtype == np.float16 for s in new_states)
        assert all(w.value.dtype == stored for w in cell.weights)
        want, _ = expected_step(
            kind, weights_of(cell), np.ones((2, 4)), states, ACTIVATIONS["tanh"], ACTIVATIONS["sigmoid"]
        )
        np.testing.assert_allclose(output, want, atol=20 * np.finfo(np.float16).eps)


@pytest.mark.parametrize("kind", ["simple", "gru", "gru_before"])
def test_states_come_back_as_they_came(kind):
    cell = make(kind)
    x, h = np.ones((2, 4), np.float32), np.ones((2, 3), np.float32)
    bare = cell(x, h)
    listed = cell(x, [h])
    tupled = cell(x, (h,))
    assert isinstance(bare[1], np.ndarray)
    assert isinstance(listed[1], list)
    np.testing.assert_array_equal(bare[1], listed[1][0])
    np.testing.assert_array_equal(bare[0], tupled[0])


def test_lstm_returns_h_and_c():
    cell = LSTMCell(3)
    h, states = cell(np.ones((2, 4)), (np.zeros((2, 3)), np.zeros((2, 3))))
    assert isinstance(states, list)
    assert states[0] is h


def test_weight_shapes_and_names():
    shapes = {
        "simple": [(4, 3), (3, 3), (3,)],
        "gru": [(4, 9), (3, 9), (2, 9)],
        "gru_before": [(4, 9), (3, 9), (9,)],
        "lstm": [(4, 12), (3, 12), (12,)],
    }
    for kind, expected in shapes.items():
        cell = make(kind, name="c")
        cell.build((None, 4))
        assert [w.shape for w in cell.weights] == expected
        assert [w.name for w in cell.weights] == ["c/kernel", "c/recurrent_kernel", "c/bias"]


def test_sizes():
    assert (SimpleRNNCell(3).state_size, GRUCell(3).state_size, LSTMCell(3).state_size) == (3, 3, [3, 3])
    assert {kind: make(kind).output_size for kind in CELLS} == dict.fromkeys(CELLS, 3)


def test_unit_forget_bias_replaces_the_forget_block_and_leaves_the_rest_to_the_initializer():
    cell = LSTMCell(2, bias_initializer=lambda shape, dtype: np.full(shape, 0.25, dtype))
    cell.build((None, 1))
    np.testing.assert_array_equal(cell.bias.value, [0.25, 0.25, 1, 1, 0.25, 0.25, 0.25, 0.25])
    cell.set_weights([w * 0 for w in cell.get_weights()])
    assert not cell.bias.value.any()
    plain = LSTMCell(2, unit_forget_bias=False)
    plain.build((None, 1))
    assert not plain.bias.value.any()


def test_default_initializers():
    cell = GRUCell(4)
    cell.build((None, 5))
    recurrent = cell.recurrent_kernel.value
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(4), atol=1e-5)
    assert 0 < np.abs(cell.kernel.value).max() <= math.sqrt(6 / (5 + 12))
    assert not cell.bias.value.any()


@pytest.mark.parametrize("kind", CELLS)
def test_initial_states(kind):
    cell = make(kind)
    count = 2 if kind == "lstm" else 1
    for states in (
        cell.get_initial_state(batch_size=5, dtype="float64"),
        cell.get_initial_state(inputs=np.ones((5, 4)), batch_size=99, dtype="float16"),
    ):
        listed = states if isinstance(states, list) else [states]
        assert [(s.shape, s.dtype.name, s.any()) for s in listed] == [((5, 3), "float64", False)] * count
    for arguments in ({"batch_size": 5}, {"dtype": "float32"}, {}):
        with pytest.raises(ValueError, match="batch_size and dtype cannot be None"):
            cell.get_initial_state(**arguments)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("shape", [(1, 3), (2, 4), (3,), (2, 3, 1), (2, 2, 3)])
def test_states_of_wrong_shape_are_refused(kind, shape):
    cell = make(kind)
    good = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"states of shape \(2, 3\)"):
        cell(np.ones((2, 4)), [good, np.zeros(shape)] if kind == "lstm" else [np.zeros(shape)])


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("shape", [(2, 5), (2, 2, 4), (4,)])
def test_inputs_of_wrong_shape_are_refused(kind, shape):
    cell = make(kind)
    cell.build((None, 4))
    with pytest.raises(ValueError, match=r"\(batch, 4\)"):
        cell(np.ones(shape), [np.zeros((2, 3))] * (2 if kind == "lstm" else 1))


def test_lstm_needs_two_states():
    with pytest.raises(ValueError, match=r"\[h, c\]"):
        LSTMCell(3)(np.ones((2, 4)), [np.zeros((2, 3))])


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("units", [0, -1, 2.5, "8", None])
def test_units_must_be_a_positive_integer(kind, units):
    with pytest.raises(ValueError, match="`units`, expected a positive integer"):
        make(kind, units)


def test_other_bad_arguments():
    with pytest.raises(ValueError, match="Unknown activation"):
        GRUCell(3, activation="nope")
    with pytest.raises(TypeError):
        GRUCell(3, recurrent_activation=3)
    with pytest.raises(TypeError, match="not understood"):
        GRUCell(3, color="red")
    with pytest.raises(ValueError, match="float dtype"):
        LSTMCell(3, dtype="int32")
    with pytest.raises(ValueError, match="number of features"):
        LSTMCell(3).build((2, None))


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_compute_the_same_and_are_independent(kind, clone):
    cell = make(kind)
    x, states = np.ones((2, 4)), [np.ones((2, 3))] * (2 if kind == "lstm" else 1)
    before = cell(x, states)[0]
    twin = clone(cell)
    np.testing.assert_array_equal(twin(x, states)[0], before)
    twin.set_weights([w + 1 for w in twin.get_weights()])
    np.testing.assert_array_equal(cell(x, states)[0], before)
    assert not np.array_equal(twin(x, states)[0], before)


def test_a_weight_may_be_replaced_by_an_array():
    cell = SimpleRNNCell(3, activation=None)
    cell.build((None, 2))
    cell.kernel = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(cell(np.ones((1, 2)), np.zeros((1, 3)))[0], [[2, 2, 2]])
