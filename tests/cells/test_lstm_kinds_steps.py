"""PeepholeLSTMCell and ProjectedLSTMCell as cells: one step, weights, configs, and what they refuse."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import reference
import tolerance
from contract.contract_cells import bits, normal, randomise
from contract.contract_oracle import (
    assert_close,
    assert_matches,
    flatten,
    reference_cell,
    reference_layer,
)
from hypothesis import given
from hypothesis import strategies as st

import rnnpack
from rnnpack import RNN, Bidirectional, GRUCell, LSTMCell, PeepholeLSTMCell, ProjectedLSTMCell, layers

B, T, F, U, P = 3, 4, 6, 5, 2
KINDS = {
    "peephole": lambda **k: PeepholeLSTMCell(U, **k),
    "projected": lambda **k: ProjectedLSTMCell(U, P, **k),
    "widely projected": lambda **k: ProjectedLSTMCell(U, 40, **k),
}
SIZES = {"peephole": [U, U], "projected": [P, U], "widely projected": [40, U]}
OWN_WEIGHTS = {
    "peephole": [(f"{gate}_gate_peephole_weights", (U,)) for gate in ("input", "forget", "output")],
    "projected": [("projection_kernel", (U, P))],
    "widely projected": [("projection_kernel", (U, 40))],
}
# Exponentials of exponentials overflow; the native cells are tested with every activation.
TAME = [name for name in reference.ELEMENTWISE if name != "exponential"]
kinds = pytest.mark.parametrize("kind", KINDS)


def built(kind, features=F, **kwargs):
    """A cell with random weights."""
    cell = KINDS[kind](**kwargs)
    randomise(cell, (None, features))
    return cell


def states_of(kind, batch=B, dtype="float32"):
    """Random states."""
    return [normal(batch, size, seed=7 + i, dtype=dtype) for i, size in enumerate(SIZES[kind])]


@kinds
@given(
    batch=st.integers(0, 4),
    features=st.integers(1, 6),
    names=st.tuples(st.sampled_from(TAME), st.sampled_from(TAME)),
    use_bias=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_step_is_that_of_the_oracle(kind, batch, features, names, use_bias, dtype):
    names = {"activation": names[0], "recurrent_activation": names[1]}
    cell = built(kind, features, use_bias=use_bias, dtype=dtype, **names)
    x, states = normal(batch, features, dtype=dtype), states_of(kind, batch, dtype)
    kept = [a.copy() for a in (x, *states)]
    output, new_states = cell(x, states)
    assert new_states[0] is output
    assert [a.dtype for a in new_states] == [np.dtype(dtype)] * 2
    assert [a.shape for a in new_states] == [(batch, size) for size in SIZES[kind]]
    if batch:
        one_step = reference.Layer((reference_cell(cell),))
        want = tolerance.run(one_step, x[:, None], None, states, dtype=dtype).states
        for got, bounded in zip(new_states, want, strict=True):
            assert_close(got, bounded, dtype)
    for before, after in zip(kept, (x, *states), strict=True):
        np.testing.assert_array_equal(before, after)


@kinds
@pytest.mark.parametrize("use_bias", [False, True])
def test_weights_and_their_order(kind, use_bias):
    cell = KINDS[kind](name="c", use_bias=use_bias)
    cell.build((None, F))
    common = [("kernel", (F, 4 * U)), ("recurrent_kernel", (SIZES[kind][0], 4 * U)), ("bias", (4 * U,))]
    want = [*(common if use_bias else common[:2]), *OWN_WEIGHTS[kind]]
    assert [(w.name, w.shape) for w in cell.weights] == [(f"c/{name}", shape) for name, shape in want]
    assert cell.state_size == SIZES[kind]
    assert cell.output_size == SIZES[kind][0]
    if use_bias:
        np.testing.assert_array_equal(cell.bias.value, [0.0] * U + [1.0] * U + [0.0] * 2 * U)
    filled = KINDS[kind](kernel_initializer="ones")
    filled.build((None, F))
    assert all((w.value == 1).all() for w in filled.weights[3:])


@kinds
def test_first_states(kind):
    cell = KINDS[kind]()
    states = cell.get_initial_state(batch_size=B, dtype="float64")
    assert [(s.shape, s.dtype.name, s.any()) for s in states] == [
        ((B, size), "float64", False) for size in SIZES[kind]
    ]


@kinds
def test_configs_copies_and_pickles(kind):
    cell = built(kind, activation="relu", dropout=0.25, unit_forget_bias=False, name="mine")
    config = json.loads(json.dumps(layers.serialize(cell)))
    assert config["class_name"] == type(cell).__name__
    again = layers.deserialize(config)
    assert type(again) is type(cell)
    assert again.get_config() == cell.get_config()
    extra = {"projection_units"} if isinstance(cell, ProjectedLSTMCell) else set()
    assert set(config["config"]) == set(LSTMCell(U).get_config()) | extra
    x, states = normal(B, F), states_of(kind)
    for twin in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert [bits(a) for a in flatten(twin(x, states))] == [bits(a) for a in flatten(cell(x, states))]
    layer = RNN([cell, GRUCell(3)], return_state=True)
    twin = RNN.from_config(json.loads(json.dumps(layer.get_config())))
    assert [type(c) for c in twin.cell.cells] == [type(cell), GRUCell]
    assert rnnpack.keras.layers.deserialize(config).get_config() == cell.get_config()


@pytest.mark.parametrize("value", [0, -1, 2.5, "3", None, [2]])
def test_projection_units_are_a_positive_integer(value):
    with pytest.raises(ValueError, match=r"`projection_units`, expected a positive integer, got "):
        ProjectedLSTMCell(U, value)
    with pytest.raises(ValueError, match=r"`units`, expected a positive integer"):
        ProjectedLSTMCell(value, P)


@kinds
@pytest.mark.parametrize("which", [0, 1])
def test_states_of_wrong_shape_are_refused(kind, which):
    cell, states = built(kind), states_of(kind)
    size = SIZES[kind][which]
    for wrong in (normal(B, size + 1), normal(B + 1, size), normal(size), normal(B, size, 1)):
        given = [wrong if i == which else s for i, s in enumerate(states)]
        with pytest.raises(ValueError, match=rf"expects states of shape \({B}, {size}\)"):
            cell(normal(B, F), given)
    with pytest.raises(ValueError, match="3 states"):
        cell(normal(B, F), [*states, states[0]])
    with pytest.raises(ValueError, match=rf"expects inputs of shape \(batch, {F}\)"):
        cell(normal(B, F + 1), states)


# In layers ----------------------------------------------------------------------------------------


@kinds
def test_first_states_of_wrong_size_are_refused_by_the_layer(kind):
    layer = RNN(KINDS[kind]())
    layer.build((None, None, F))
    h, c = states_of(kind)
    for wrong in ([h[:, :1], c], [h, c[:, :1]], [h], [h, c, c]):
        with pytest.raises(ValueError, match="initial_state"):
            layer(normal(B, T, F), initial_state=wrong)


@kinds
def test_a_subclass_runs_in_python_and_is_named(kind):
    cell = KINDS[kind]()
    own = type("Own", (type(cell),), {})
    twin = own.from_config(cell.get_config())
    native, python = RNN(cell, return_state=True), RNN(twin, return_state=True)
    python_weights = randomise(native, (None, None, F))
    python.build((None, None, F))
    python.set_weights(python_weights)
    assert native.explain().native
    assert python.explain().reason == f"cell Own is a subclass of {type(cell).__name__}"
    x = normal(B, T, F)
    for layer in (native, python):
        assert_matches(layer, layer(x), x)


@kinds
def test_new_values_of_their_own_weights_count_at_once(kind):
    layer = RNN(KINDS[kind]())
    randomise(layer, (None, None, F))
    x = normal(B, T, F)
    stream = layer.stream(B)
    for name, _ in OWN_WEIGHTS[kind]:
        before = bits(layer(x))
        stream.reset()
        first = bits(stream(x[:, 0]))
        weight = getattr(layer.cell, name)
        weight.assign(2 * weight.value)
        result = layer(x)
        assert bits(result) != before
        assert_matches(layer, result, x)
        stream.reset()
        # In the first step c is zero, and so is what input and forget gates see of it.
        unseen = name in ("input_gate_peephole_weights", "forget_gate_peephole_weights")
        assert (bits(stream(x[:, 0])) == first) == unseen
        assert layer.explain().native


@kinds
def test_a_replaced_weight_is_the_reason(kind):
    layer = RNN(KINDS[kind]())
    randomise(layer, (None, None, F))
    x = normal(B, T, F)
    want = layer(x)
    for name, _ in OWN_WEIGHTS[kind]:
        weight = getattr(layer.cell, name)
        object.__setattr__(layer.cell, name, weight.numpy())
        assert "was replaced" in layer.explain().reason
        np.testing.assert_allclose(layer(x), want, atol=1e-5)
        object.__setattr__(layer.cell, name, weight)
        assert layer.explain().native


@pytest.mark.parametrize("dtype", ["float16", "mixed_float16"])
@kinds
def test_half_precision_runs_in_python(kind, dtype):
    layer = RNN(KINDS[kind](dtype=dtype), dtype=dtype)
    assert not layer.explain().native
    assert layer(normal(B, T, F)).dtype == np.float16


@kinds
def test_reduced_precision_is_for_float32(kind):
    layer = RNN(KINDS[kind](dtype="float64"), dtype="float64")
    for precision in ("bfloat16", "int8"):
        with pytest.raises(ValueError, match="reduced precision is for float32 layers, not for float64"):
            layer.set_precision(precision)


@pytest.mark.parametrize("mode", ["concat", "sum", None])
def test_both_directions_of_different_cells_of_one_output_size(mode):
    flags = {"return_sequences": True, "return_state": True}
    backward = RNN(PeepholeLSTMCell(U), go_backwards=True, **flags)
    both = Bidirectional(RNN(ProjectedLSTMCell(9, U), **flags), merge_mode=mode, backward_layer=backward)
    randomise(both, (None, None, F))
    assert both.explain().kernel == "projected_lstm|peephole_lstm"
    x, mask = normal(B, T, F), np.random.default_rng(0).random((B, T)) < 0.7
    pair = reference_layer(both.forward_layer), reference_layer(both.backward_layer)
    want = tolerance.run_bidirectional(*pair, mode, x, mask, dtype="float32")
    for _ in range(2):  # the second call is the prepared one
        for got, bounded in zip(
            flatten(both(x, mask=mask)), [*flatten([want.output]), *want.states], strict=True
        ):
            assert_close(got, bounded, "float32")


def test_dropout_wrapper_refuses_them():
    for cell in (PeepholeLSTMCell(U), ProjectedLSTMCell(U, P)):
        with pytest.raises(ValueError, match="DropoutWrapper"):
            rnnpack.DropoutWrapper(cell, 0.5, 0.5, 0.5)
