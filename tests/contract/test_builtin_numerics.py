"""Contract §5: weight layouts, numbers, defaults and activations of the built-in cells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import reference
from contract_cells import bits, integers, normal, randomise
from contract_oracle import assert_matches

import rnnpack
from rnnpack import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell, activations

B, T, F, U = 3, 5, 4, 7

CELLS = {
    "simple_rnn": (SimpleRNN, SimpleRNNCell, {}),
    "lstm": (LSTM, LSTMCell, {}),
    "gru": (GRU, GRUCell, {"reset_after": True}),
    "gru_reset_before": (GRU, GRUCell, {"reset_after": False}),
}
GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3, "gru_reset_before": 3}


def make(kind, path, units=U, dtype="float32", **kwargs):
    """A layer of the given kind: the layer class, RNN around the cell, or RNN around a subclass of it."""
    layer, cell, extra = CELLS[kind]
    cell_kwargs = {k: kwargs.pop(k) for k in list(kwargs) if k not in ("return_sequences", "return_state")}
    if path == "layer":
        return layer(units, dtype=dtype, **extra, **cell_kwargs, **kwargs)
    if path == "python":
        cell = type("Own" + cell.__name__, (cell,), {})
    return RNN(cell(units, dtype=dtype, **extra, **cell_kwargs), dtype=dtype, **kwargs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("path", ["layer", "cell", "python"])
@pytest.mark.parametrize("kind", CELLS)
def test_numbers_of_every_cell(kind, path, use_bias, dtype):
    layer = make(kind, path, dtype=dtype, use_bias=use_bias, return_sequences=True, return_state=True)
    x = normal(B, T, F, dtype=dtype)
    randomise(layer, x.shape)
    assert_matches(layer, layer(x), x)
    states = [normal(B, U, seed=i, dtype=dtype) for i in (1, 2)][: 2 if kind == "lstm" else 1]
    assert_matches(layer, layer(x, initial_state=states), x, initial_state=states)


@pytest.mark.parametrize("kind", CELLS)
def test_numbers_in_float16(kind):
    layer = make(kind, "layer", dtype="float16", return_sequences=True, return_state=True)
    x = normal(B, T, F, dtype="float16")
    randomise(layer, x.shape)
    assert_matches(layer, layer(x), x)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("path", ["layer", "python"])
@pytest.mark.parametrize("activation", reference.ELEMENTWISE)
def test_numbers_with_every_activation(kind, path, activation):
    kwargs = {"activation": activation, "return_sequences": True}
    if kind != "simple_rnn":
        kwargs["recurrent_activation"] = "hard_sigmoid"
    layer = make(kind, path, dtype="float64", **kwargs)
    x = normal(B, T, F, dtype="float64")
    randomise(layer, x.shape, scale=0.1)  # exponentials of exponentials must stay finite
    assert_matches(layer, layer(x), x)


@pytest.mark.parametrize("kind", [k for k in CELLS if k != "simple_rnn"])
@pytest.mark.parametrize("path", ["layer", "python"])
@pytest.mark.parametrize("recurrent_activation", [a for a in reference.ELEMENTWISE if a != "exponential"])
def test_numbers_with_every_recurrent_activation(kind, path, recurrent_activation):
    layer = make(
        kind, path, dtype="float64", recurrent_activation=recurrent_activation, return_sequences=True
    )
    x = normal(B, T, F, dtype="float64")
    randomise(layer, x.shape, scale=0.2)
    assert_matches(layer, layer(x), x)


@pytest.mark.parametrize("kind", CELLS)
def test_softmax_acts_along_the_unit_axis(kind):
    layer = make(kind, "layer", dtype="float64", activation="softmax", return_sequences=True)
    x = normal(B, T, F, dtype="float64")
    randomise(layer, x.shape)
    assert_matches(layer, layer(x), x)
    if kind == "simple_rnn":
        np.testing.assert_allclose(layer(x).sum(-1), 1, rtol=0, atol=U * np.finfo("float64").eps)


@pytest.mark.parametrize("kind", CELLS)
def test_weight_shapes(kind):
    gates = GATES[kind]
    cell = CELLS[kind][1](U, **CELLS[kind][2])
    cell.build((None, F))
    bias = (2, 3 * U) if kind == "gru" else (gates * U,)
    assert [w.shape for w in cell.get_weights()] == [(F, gates * U), (U, gates * U), bias]
    assert [w.shape for w in (cell.kernel, cell.recurrent_kernel, cell.bias)] == [
        w.shape for w in cell.get_weights()
    ]


@pytest.mark.parametrize("kind", CELLS)
def test_without_bias_the_attribute_is_none(kind):
    cell = CELLS[kind][1](U, use_bias=False, **CELLS[kind][2])
    cell.build((None, F))
    assert cell.bias is None
    assert len(cell.get_weights()) == 2


def gate_bias(kind, gate, value=50.0):
    """A bias that saturates one gate and leaves the others at zero."""
    shape = (2, 3 * U) if kind == "gru" else (GATES[kind] * U,)
    bias = np.zeros(shape, "float32")
    bias[..., gate * U : (gate + 1) * U] = value / (2 if kind == "gru" else 1)
    return bias


def test_lstm_columns_are_i_f_c_o():
    """Saturating one gate's bias shows which block it reads: c' = f c + i tanh(c~), h' = o tanh(c')."""
    layer = LSTM(U, return_state=True)
    x, zeros = np.zeros((1, 1, F), "float32"), [np.zeros((F, 4 * U)), np.zeros((U, 4 * U))]
    layer.build(x.shape)
    h0, c0 = np.zeros((1, U), "float32"), np.ones((1, U), "float32")

    def final(*gates):
        layer.set_weights([*zeros, sum(gate_bias("lstm", g, v) for g, v in gates)])
        _, h, c = layer(x, initial_state=[h0, c0])
        return float(c[0, 0]), float(h[0, 0])

    half = 0.5
    tolerance = 8 * np.finfo("float32").eps  # three gates and two products, one rounding each
    i_gate = final((0, 50.0), (2, 50.0))
    np.testing.assert_allclose(i_gate[0], half * 1 + 1 * 1, atol=tolerance, rtol=0)
    np.testing.assert_allclose(final((1, 50.0))[0], 1, atol=tolerance, rtol=0)
    np.testing.assert_allclose(final((2, 50.0))[0], half * 1 + half * 1, atol=tolerance, rtol=0)
    c, h = final((3, 50.0))
    np.testing.assert_allclose([c, h], [half, np.tanh(half)], atol=tolerance, rtol=0)


@pytest.mark.parametrize("kind", ["gru", "gru_reset_before"])
def test_gru_columns_are_z_r_h_and_z_keeps_the_old_state(kind):
    layer = make(kind, "layer", return_state=True)
    x, zeros = np.zeros((1, 1, F), "float32"), [np.zeros((F, 3 * U)), np.zeros((U, 3 * U))]
    layer.build(x.shape)
    h0 = np.full((1, U), 0.75, "float32")

    def final(gate, value):
        layer.set_weights([*zeros, gate_bias(kind, gate, value)])
        return float(layer(x, initial_state=[h0])[1][0, 0])

    tolerance = 8 * np.finfo("float32").eps
    np.testing.assert_allclose(final(0, 50.0), 0.75, atol=tolerance, rtol=0)
    np.testing.assert_allclose(final(0, -100.0), 0.0, atol=tolerance, rtol=0)
    np.testing.assert_allclose(final(1, 50.0), 0.375, atol=tolerance, rtol=0)
    # With reset_after the h block of the recurrent bias row is halved by r = 1/2: still saturated.
    np.testing.assert_allclose(final(2, 50.0), 0.375 + 0.5, atol=tolerance, rtol=0)


def test_gru_recurrent_bias_row_is_inside_the_reset_gate():
    """hh = x_h + r (h R_h + br_h): with r = 1/2 the second bias row counts half, the first fully."""
    layer = GRU(1, activation="linear", return_state=True)
    layer.build((1, 1, 1))
    x = np.zeros((1, 1, 1), "float32")

    def final(row):
        bias = np.zeros((2, 3), "float32")
        bias[row, 2] = 1
        layer.set_weights([np.zeros((1, 3)), np.zeros((1, 3)), bias])
        return float(layer(x)[0][0, 0])

    eps = 4 * np.finfo("float32").eps
    np.testing.assert_allclose(final(0), 0.5, rtol=0, atol=eps)
    np.testing.assert_allclose(final(1), 0.25, rtol=0, atol=eps)


def test_the_two_gru_variants_differ():
    x = normal(B, T, F)
    after, before = make("gru", "layer", use_bias=False), make("gru_reset_before", "layer", use_bias=False)
    after.build(x.shape)
    before.build(x.shape)
    before.set_weights(after.get_weights())
    assert np.abs(after(x) - before(x)).max() > 1e-4


def test_defaults():
    for cell in (SimpleRNNCell(2), LSTMCell(2), GRUCell(2)):
        assert cell.activation is activations.tanh
        assert isinstance(cell.kernel_initializer, rnnpack.initializers.GlorotUniform)
        assert isinstance(cell.recurrent_initializer, rnnpack.initializers.Orthogonal)
        assert isinstance(cell.bias_initializer, rnnpack.initializers.Zeros)
        assert cell.use_bias is True
        assert (cell.dropout, cell.recurrent_dropout) == (0, 0)
    for cell in (LSTMCell(2), GRUCell(2)):
        assert cell.recurrent_activation is activations.sigmoid
        assert cell.implementation == 2
    assert LSTMCell(2).unit_forget_bias is True
    assert GRUCell(2).reset_after is True
    assert GRU(2).reset_after is True


def test_default_recurrent_kernels_are_orthogonal_and_kernels_bounded():
    """Rows of the (U, gates*U) kernel are orthonormal (U <= gates*U); Glorot's limit is sqrt(6/(in+out))."""
    for layer, gates in [(SimpleRNN(U), 1), (GRU(U), 3), (LSTM(U), 4)]:
        layer.build((None, None, F))
        kernel, recurrent, bias = layer.get_weights()
        np.testing.assert_allclose(
            recurrent @ recurrent.T, np.eye(U), rtol=0, atol=16 * U * np.finfo("float32").eps
        )
        assert np.abs(kernel).max() <= np.sqrt(6 / (F + gates * U))
        assert np.unique(kernel).size > gates * U
        assert not bias[..., : bias.shape[-1] // gates].any()


def test_hard_sigmoid_has_the_slope_of_keras_2():
    x = np.array([-3, -2.5, -1, 0, 0.5, 1, 2.5, 3], "float64")
    np.testing.assert_array_equal(activations.hard_sigmoid(x), np.clip(0.2 * x + 0.5, 0, 1))
    layer = SimpleRNN(1, activation="hard_sigmoid", use_bias=False)
    layer.build((1, 1, 1))
    layer.set_weights([np.ones((1, 1)), np.zeros((1, 1))])
    got = layer(np.full((1, 1, 1), 2.75, "float32"))
    assert got[0, 0] == 1, "x/6 + 1/2 would give 0.958"


@pytest.mark.parametrize("name", [*reference.ELEMENTWISE, "softmax"])
def test_activations_by_name(name):
    x = normal(5, 7, dtype="float64") * 3
    fn = activations.get(name)
    assert activations.serialize(fn) == name
    want = reference.ACTIVATIONS[name](x)
    # 8 ulp for the approximation inside, as in tolerance.py.
    np.testing.assert_allclose(
        fn(x), want, rtol=8 * np.finfo("float64").eps, atol=8 * np.finfo("float64").eps
    )
    for make_cell in (SimpleRNNCell, LSTMCell, GRUCell):
        assert make_cell(3, activation=name).activation is fn
    assert LSTMCell(3, recurrent_activation=name).recurrent_activation is fn


@pytest.mark.parametrize("cell", [SimpleRNNCell, LSTMCell, GRUCell])
def test_activation_none_is_linear_and_callables_are_kept(cell):
    def own(x):
        return x * 2

    assert cell(3, activation=None).activation is activations.linear
    assert cell(3, activation=own).activation is own
    with pytest.raises(ValueError, match="no_such"):
        cell(3, activation="no_such")
    with pytest.raises(TypeError):
        cell(3, activation=3.5)


def test_activation_from_a_dict():
    @rnnpack.register_keras_serializable(package="contract_tests")
    class Doubled:
        def __call__(self, x):
            return 2 * x

        def get_config(self):
            return {}

    config = {"class_name": "contract_tests>Doubled", "config": {}}
    layer = SimpleRNN(1, activation=config, use_bias=False)
    layer.build((1, 1, 1))
    layer.set_weights([np.ones((1, 1)), np.zeros((1, 1))])
    assert layer(np.full((1, 1, 1), 3, "float32"))[0, 0] == 6


def test_a_callable_activation_gives_the_numbers_of_its_formula():
    x = normal(B, T, F, dtype="float64")
    by_name = LSTM(U, dtype="float64", return_sequences=True)
    by_call = LSTM(U, dtype="float64", activation=lambda v: np.tanh(v), return_sequences=True)
    weights = randomise(by_name, x.shape)
    by_call.build(x.shape)
    by_call.set_weights(weights)
    assert_matches(by_name, by_call(x), x)


def test_unit_forget_bias_replaces_the_f_block_and_leaves_the_rest_to_the_initializer():
    layer = LSTM(U, bias_initializer=rnnpack.initializers.Constant(0.03))
    layer.build((None, None, F))
    bias = layer.get_weights()[2]
    np.testing.assert_array_equal(bias[U : 2 * U], np.ones(U, "float32"))
    np.testing.assert_array_equal(np.delete(bias, slice(U, 2 * U)), np.full(3 * U, 0.03, "float32"))
    off = LSTM(U, bias_initializer=rnnpack.initializers.Constant(0.03), unit_forget_bias=False)
    off.build((None, None, F))
    np.testing.assert_array_equal(off.get_weights()[2], np.full(4 * U, 0.03, "float32"))


def test_unit_forget_bias_is_not_applied_again_by_set_weights():
    layer = LSTM(U)
    layer.build((None, None, F))
    values = [np.full(w.shape, 0.25, "float32") for w in layer.get_weights()]
    layer.set_weights(values)
    layer(normal(B, T, F))
    np.testing.assert_array_equal(layer.get_weights()[2], values[2])


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru_reset_before"])
@pytest.mark.parametrize("path", ["layer", "python"])
def test_implementations_agree_up_to_rounding(kind, path):
    x = normal(B, T, F)
    for implementation in (0, 1, 2):
        layer = make(kind, path, implementation=implementation, return_sequences=True, return_state=True)
        randomise(layer, x.shape)
        assert_matches(layer, layer(x), x)


@pytest.mark.parametrize("thing", [LSTM, GRU, LSTMCell, GRUCell])
def test_recurrent_dropout_forces_implementation_one(thing):
    assert thing(2, recurrent_dropout=0.1).implementation == 1
    assert thing(2, recurrent_dropout=0.1, implementation=2).implementation == 1
    assert thing(2, dropout=0.1).implementation == 2
    assert thing(2, implementation=1).implementation == 1


def test_dropout_rates_are_clipped_silently():
    for thing in (LSTM, GRU, SimpleRNN, LSTMCell, GRUCell, SimpleRNNCell):
        made = thing(2, dropout=-0.5, recurrent_dropout=-1)
        assert (made.dropout, made.recurrent_dropout) == (0, 0)
        made = thing(2, dropout=1.5, recurrent_dropout=7)
        assert (made.dropout, made.recurrent_dropout) == (1, 1)


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_used_directly_agrees_with_its_layer(kind):
    x = normal(B, T, F)
    layer = make(kind, "cell", return_sequences=True, return_state=True)
    randomise(layer, x.shape)
    states = [np.zeros((B, U), "float32") for _ in range(2 if kind == "lstm" else 1)]
    outputs = []
    for t in range(T):
        y, states = layer.cell(x[:, t], states)
        outputs.append(y)
    assert_matches(layer, [np.stack(outputs, 1), *states], x)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(
    ("batch", "steps", "features", "units"), [(1, 1, 1, 1), (1, 3, 2, 33), (5, 2, 17, 16), (9, 4, 1, 8)]
)
def test_odd_sizes(kind, batch, steps, features, units):
    for dtype in ("float32", "float64"):
        layer = make(kind, "layer", units=units, dtype=dtype, return_sequences=True, return_state=True)
        x = normal(batch, steps, features, dtype=dtype)
        randomise(layer, x.shape)
        assert_matches(layer, layer(x), x)


@pytest.mark.parametrize("kind", CELLS)
def test_large_inputs_saturate_without_nan(kind):
    layer = make(kind, "layer", return_sequences=True)
    x = normal(B, T, F) * 1e6
    randomise(layer, x.shape)
    with np.errstate(over="raise"):
        y = layer(x)
    assert np.isfinite(y).all()
    assert np.abs(y).max() <= 1 + np.finfo("float32").eps * 4


@pytest.mark.parametrize("kind", CELLS)
def test_nan_in_the_input_is_not_hidden(kind):
    layer = make(kind, "layer", return_sequences=True)
    x = normal(B, T, F)
    x[1, 2, 0] = np.nan
    y = layer(x)
    assert np.isnan(y[1, 2:]).all()
    assert np.isfinite(y[[0, 2]]).all()
    assert np.isfinite(y[1, :2]).all()


def test_the_same_call_gives_the_same_bits():
    x = normal(B, T, F)
    for kind, path in itertools.product(CELLS, ("layer", "python")):
        layer = make(kind, path)
        assert bits(layer(x)) == bits(layer(x))


def test_integers_in_the_weights_are_exact():
    """h' = x K + h R with small integers has no rounding at all, in any order of summation."""
    x = integers(B, T, F)
    layer = SimpleRNN(U, activation=None, return_sequences=True)
    layer.build(x.shape)
    kernel, recurrent, bias = integers(F, U, seed=1), integers(U, U, seed=2), integers(U, seed=3)
    layer.set_weights([kernel, recurrent, bias])
    h, want = np.zeros((B, U), "float64"), []
    for t in range(T):
        h = x[:, t] @ kernel.astype("float64") + h @ recurrent + bias
        want.append(h)
    assert np.abs(h).max() < 2**24, "stays exact in float32"
    np.testing.assert_array_equal(layer(x), np.stack(want, 1))
