"""Contract §19, first part: Bidirectional."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import reference
import tolerance
from contract_cells import DoublingCell, LayerCell, bits, doubling, integers, normal, randomise
from contract_oracle import assert_close, flatten, reference_layer

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN

B, T, F, U = 3, 5, 4, 6
MASK = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
MODES = ["concat", "sum", "mul", "ave", None]

MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([LSTMCell(2), GRUCell(U)], **k),
}


def check(layer, x, mask=None, initial_state=None):
    """Compare a call with the oracle, outputs and states."""
    result = flatten(layer(x, mask=mask, initial_state=initial_state))
    states = None if initial_state is None else flatten(initial_state)
    forward, backward = reference_layer(layer.forward_layer), reference_layer(layer.backward_layer)
    want = tolerance.run_bidirectional(forward, backward, layer.merge_mode, x, mask, states, dtype="float32")
    outputs = flatten(want.output)
    arrays = outputs + (want.states if layer.return_state else [])
    assert len(result) == len(arrays)
    for got, expected in zip(result, arrays, strict=True):
        assert_close(got, expected, "float32")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_numbers_of_every_merge_mode(name, masked, return_state, return_sequences, mode):
    inner = MAKE[name](return_sequences=return_sequences, return_state=return_state)
    layer = Bidirectional(inner, merge_mode=mode)
    x = normal(B, T, F)
    randomise(layer, x.shape)
    check(layer, x, MASK if masked else None)


@pytest.mark.parametrize("name", MAKE)
def test_numbers_with_time_major(name):
    inner = MAKE[name](return_sequences=True, return_state=True, time_major=True)
    layer = Bidirectional(inner)
    x = normal(T, B, F)
    randomise(layer, x.shape)
    check(layer, x, MASK.T)


def test_numbers_with_initial_states():
    layer = Bidirectional(LSTM(U, return_sequences=True, return_state=True))
    x, states = normal(B, T, F), [normal(B, U, seed=i) for i in range(4)]
    check(layer, x, MASK, states)
    stack = Bidirectional(RNN([LSTMCell(2), GRUCell(U)], return_state=True))
    nest = [[normal(B, 2, seed=1), normal(B, 2, seed=2)], normal(B, U, seed=3)]
    other = [[normal(B, 2, seed=4), normal(B, 2, seed=5)], normal(B, U, seed=6)]
    check(stack, x, None, [*nest, *other])


def test_the_wrapped_thing_must_be_a_layer():
    for thing in (DoublingCell(), 5, None):
        with pytest.raises(ValueError, match="Layer"):
            Bidirectional(thing)
    with pytest.raises(ValueError, match="backward_layer"):
        Bidirectional(LSTM(3), backward_layer=DoublingCell())


@pytest.mark.parametrize("mode", ["max", "Concat", 3, ""])
def test_an_unknown_merge_mode_is_refused(mode):
    with pytest.raises(ValueError, match="merge mode"):
        Bidirectional(LSTM(3), merge_mode=mode)


def test_the_passed_layer_loses_its_weights_and_is_recreated():
    inner = LSTM(U)
    x = normal(B, T, F)
    inner(x)
    layer = Bidirectional(inner)
    assert layer.forward_layer is not inner
    assert layer.get_weights() == []
    layer(x)
    assert bits(layer.forward_layer.get_weights()[0]) != bits(inner.get_weights()[0])


def test_a_given_backward_layer_is_used_as_it_is_and_keeps_its_weights():
    x = normal(B, T, F)
    backward = GRU(4, go_backwards=True)
    backward(x)
    weights = backward.get_weights()
    layer = Bidirectional(LSTM(3), backward_layer=backward)
    y = layer(x)
    assert layer.backward_layer is backward
    for got, want in zip(layer.backward_layer.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(y[:, 3:], backward(x))
    assert y.shape == (B, 7)


def test_default_backward_layer_flips_go_backwards():
    layer = Bidirectional(GRU(3))
    assert (layer.forward_layer.go_backwards, layer.backward_layer.go_backwards) == (False, True)
    layer = Bidirectional(GRU(3, go_backwards=True))
    assert (layer.forward_layer.go_backwards, layer.backward_layer.go_backwards) == (True, False)


def test_names_get_prefixes():
    layer = Bidirectional(GRU(3, name="g"))
    assert (layer.forward_layer.name, layer.backward_layer.name) == ("forward_g", "backward_g")
    assert layer.name.startswith("bidirectional")
    given = Bidirectional(GRU(3, name="g"), backward_layer=GRU(3, name="q", go_backwards=True))
    assert given.backward_layer.name == "backward_q"


def test_equal_directions_are_refused():
    with pytest.raises(ValueError, match="should have different `go_backwards` value"):
        Bidirectional(LSTM(3), backward_layer=LSTM(3))


@pytest.mark.parametrize("attribute", ["stateful", "return_sequences", "return_state"])
def test_attributes_of_the_two_layers_must_agree(attribute):
    with pytest.raises(ValueError, match=attribute):
        Bidirectional(LSTM(3), backward_layer=LSTM(3, go_backwards=True, **{attribute: True}))


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_zero_output_for_mask_is_overwritten_with_return_sequences(return_sequences, zero):
    inner = LSTM(U, return_sequences=return_sequences, zero_output_for_mask=zero)
    layer = Bidirectional(inner, merge_mode=None)
    assert layer.forward_layer.zero_output_for_mask is return_sequences
    assert layer.backward_layer.zero_output_for_mask is return_sequences
    outputs = layer(normal(B, T, F), mask=MASK)
    for y in outputs:
        if return_sequences:
            assert not y[~MASK].any()
            assert y[MASK].all()
        else:
            assert y[:2].all()
            assert not y[2].any()


def test_zero_output_for_mask_of_a_given_backward_layer_is_overwritten_too():
    backward = LSTM(U, return_sequences=True, go_backwards=True)
    layer = Bidirectional(LSTM(U, return_sequences=True), backward_layer=backward)
    assert layer.backward_layer.zero_output_for_mask is True
    assert not layer(normal(B, T, F), mask=MASK)[~MASK].any()


@pytest.mark.parametrize("mode", ["concat", None])
def test_the_backward_sequence_is_turned_to_physical_order_also_without_merging(mode):
    with rnnpack.custom_object_scope({"LayerCell": LayerCell}):
        layer = Bidirectional(RNN(LayerCell(3), return_sequences=True), merge_mode=mode)
    x = integers(B, T, F)
    y = layer(x)
    forward, backward = y if mode is None else (y[..., :3], y[..., 3:])
    np.testing.assert_array_equal(forward, doubling(x)[0])
    np.testing.assert_array_equal(backward, doubling(x, go_backwards=True)[0][:, ::-1])


def test_the_backward_sequence_is_turned_on_axis_zero_when_time_major():
    with rnnpack.custom_object_scope({"LayerCell": LayerCell}):
        layer = Bidirectional(RNN(LayerCell(3), return_sequences=True, time_major=True))
    x = integers(B, T, F)
    want = doubling(x, go_backwards=True)[0][:, ::-1]
    np.testing.assert_array_equal(layer(x.swapaxes(0, 1))[..., 3:], want.swapaxes(0, 1))


def test_last_outputs_merge_directly():
    with rnnpack.custom_object_scope({"LayerCell": LayerCell}):
        layer = Bidirectional(RNN(LayerCell(3)))
    x = integers(B, T, F)
    y = layer(x)
    np.testing.assert_array_equal(y[:, :3], doubling(x)[1])
    np.testing.assert_array_equal(y[:, 3:], doubling(x, go_backwards=True)[1])


def test_merge_mode_none_gives_a_list():
    y = Bidirectional(LSTM(3), merge_mode=None)(normal(B, T, F))
    assert type(y) is list
    assert [a.shape for a in y] == [(B, 3), (B, 3)]


@pytest.mark.parametrize("mode", ["concat", None])
def test_states_come_forward_first(mode):
    layer = Bidirectional(LSTM(3, return_state=True), merge_mode=mode)
    result = layer(normal(B, T, F))
    outputs = 2 if mode is None else 1
    assert type(result) is list
    assert len(result) == outputs + 4
    joined = np.concatenate(result[:2], -1) if mode is None else result[0]
    np.testing.assert_array_equal(joined, np.concatenate([result[outputs], result[outputs + 2]], -1))


def test_states_of_stacks_are_nested_per_cell():
    result = Bidirectional(RNN([LSTMCell(2), GRUCell(3)], return_state=True))(normal(B, T, F))
    assert len(result) == 5
    assert [s.shape for s in result[1]] == [(B, 2), (B, 2)]
    assert result[2].shape == (B, 3)
    assert [s.shape for s in result[3]] == [(B, 2), (B, 2)]


@pytest.mark.parametrize("built", [False, True])
def test_an_odd_number_of_initial_states_is_refused(built):
    layer = Bidirectional(LSTM(3))
    x = normal(B, T, F)
    if built:
        layer(x)
    for states in ([normal(B, 3)] * 3, normal(B, 3), [normal(B, 3)]):
        with pytest.raises(
            ValueError, match=r"(?s)initial_state.*Bidirectional|Bidirectional.*initial_state"
        ):
            layer(x, initial_state=states)


def test_an_even_but_wrong_number_of_initial_states_is_refused():
    with pytest.raises(ValueError, match="state"):
        Bidirectional(LSTM(3))(normal(B, T, F), initial_state=[normal(B, 3)] * 2)


def test_list_input_carries_states():
    layer = Bidirectional(GRU(3))
    x, f, b = normal(B, T, F), normal(B, 3, seed=1), normal(B, 3, seed=2)
    np.testing.assert_array_equal(layer([x, f, b]), layer(x, initial_state=[f, b]))
    np.testing.assert_array_equal(layer(x, [f, b]), layer(x, initial_state=[f, b]))
    assert bits(layer([x, f, b])) != bits(layer([x, b, f]))


def test_mask_reaches_both_directions_unflipped():
    x = integers(B, T, F)
    with rnnpack.custom_object_scope({"LayerCell": LayerCell}):
        layer = Bidirectional(RNN(LayerCell(3)), merge_mode=None)
    forward, backward = layer(x, mask=MASK)
    np.testing.assert_array_equal(forward, doubling(x, mask=MASK)[1])
    np.testing.assert_array_equal(backward, doubling(x, mask=MASK, go_backwards=True)[1])


def test_implicit_mask_is_used():
    x = normal(B, T, F)
    x[~MASK] = 0
    layer = Bidirectional(LSTM(3, return_sequences=True))
    np.testing.assert_array_equal(layer(rnnpack.Masking()(x)), layer(x, mask=MASK))


def test_weights_come_forward_then_backward():
    layer = Bidirectional(GRU(3), backward_layer=LSTM(3, go_backwards=True))
    layer(normal(B, T, F))
    want = [*layer.forward_layer.get_weights(), *layer.backward_layer.get_weights()]
    assert [w.shape for w in layer.get_weights()] == [(F, 9), (3, 9), (2, 9), (F, 12), (3, 12), (12,)]
    for got, expected in zip(layer.get_weights(), want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_changed_weights_are_noticed():
    layer = Bidirectional(LSTM(U, return_sequences=True))
    x = normal(B, T, F)
    before = layer(x)
    layer.set_weights([w + np.float32(0.25) for w in layer.get_weights()])
    assert bits(layer(x)) != bits(before)
    check(layer, x)


@pytest.mark.parametrize("mode", ["concat", None, "sum"])
def test_config_round_trip(mode):
    layer = Bidirectional(LSTM(3, return_sequences=True, name="inner"), merge_mode=mode, name="both")
    config = layer.get_config()
    assert config["merge_mode"] == mode
    assert config["layer"]["config"]["name"] == "inner"
    assert "backward_layer" not in config
    again = Bidirectional.from_config(copy.deepcopy(config))
    assert again.get_config() == config
    assert again.forward_layer.name == "forward_inner"


def test_config_round_trip_with_a_backward_layer():
    layer = Bidirectional(LSTM(3), backward_layer=GRU(4, go_backwards=True))
    config = layer.get_config()
    assert config["backward_layer"]["class_name"] == "GRU"
    again = Bidirectional.from_config(copy.deepcopy(config))
    assert again.get_config() == config
    assert again(normal(B, T, F)).shape == (B, 7)


@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))], ids=["deepcopy", "pickle"]
)
def test_copies(how):
    layer = Bidirectional(GRU(3))
    x = normal(B, T, F)
    want = layer(x)
    np.testing.assert_array_equal(how(layer)(x), want)


def test_stateful_continues_both_directions():
    layer = Bidirectional(LSTM(U, stateful=True, return_state=True))
    x = normal(B, T, F)
    randomise(layer, x.shape)
    first = layer(x)
    free = Bidirectional(LSTM(U, return_state=True))
    free(x)
    free.set_weights(layer.get_weights())
    want = free(x, initial_state=first[1:])
    for a, b in zip(layer(x), want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_reset_states_resets_both_directions():
    layer = Bidirectional(GRU(U, stateful=True))
    x = normal(B, T, F)
    want = layer(x)
    layer(x)
    layer.reset_states()
    np.testing.assert_array_equal(layer(x), want)
    with pytest.raises(AttributeError):
        Bidirectional(GRU(U)).reset_states()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("return_state", [False, True])
def test_compute_output_shape_agrees_with_the_call(return_state, return_sequences, mode):
    layer = Bidirectional(
        LSTM(U, return_sequences=return_sequences, return_state=return_state), merge_mode=mode
    )
    got = layer.compute_output_shape((B, T, F))
    result = layer(normal(B, T, F))
    if isinstance(result, list):
        assert [tuple(s) for s in got] == [a.shape for a in result]
    else:
        assert tuple(got) == result.shape


def test_trainable_and_training_reach_both_directions():
    layer = Bidirectional(LSTM(U, dropout=0.5))
    x = normal(B, T, F)
    layer(x)
    layer.trainable = False
    assert layer.trainable_weights == []
    assert bits(layer(x, training=True)) != bits(layer(x, training=True))
    assert bits(layer(x, training=False)) == bits(layer(x))


def test_public_attributes_follow_the_wrapped_layer():
    layer = Bidirectional(LSTM(3, return_sequences=True, return_state=True))
    assert (layer.return_sequences, layer.return_state, layer.stateful) == (True, True, False)
    assert layer.merge_mode == "concat"


def test_different_cells_and_sum_of_equal_widths():
    layer = Bidirectional(GRU(U), backward_layer=SimpleRNN(U, go_backwards=True), merge_mode="sum")
    x = normal(B, T, F)
    randomise(layer, x.shape)
    check(layer, x, MASK)


def test_dtype_float64():
    layer = Bidirectional(GRU(U, dtype="float64"), dtype="float64")
    x = normal(B, T, F, dtype="float64")
    y = layer(x)
    assert y.dtype == np.float64
    want = reference.run_bidirectional(
        reference_layer(layer.forward_layer), reference_layer(layer.backward_layer), "concat", x
    )
    # Both sides are float64: F + U roundings a step in each.
    np.testing.assert_allclose(y, want.output, rtol=0, atol=4 * T * (F + U) * np.finfo("float64").eps)
