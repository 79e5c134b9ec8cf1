"""Both directions in one native call, from the second call on, give the bits of two calls."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import tolerance
from contract.contract_cells import LayerCell, bits, normal
from contract.contract_oracle import assert_close, flatten, reference_layer
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_cases import MAKE, MASKS, MODES, B, F, T, U, assert_same, bidirectional, each, recorded

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNNCell, _core


class CountedCall:
    """A prepared call that notes each time it is not None."""

    def __init__(self, made, plain_call):
        self.made, self.plain_call, self.current = made, plain_call, plain_call.current

    def __call__(self, *args):
        result = self.plain_call(*args)
        if result is not None:
            self.made.append(1)
        return result


@pytest.fixture
def pairs(monkeypatch):
    """The native calls of pairs, prepared or not: a list that grows by one with each."""
    made, run, prepare = [], _core.run_bidirectional, _core.PlainCall

    def noted(*args, **kwargs):
        made.append(1)
        return run(*args, **kwargs)

    def counted(stacks, **kwargs):
        plain_call = prepare(stacks, **kwargs)
        return CountedCall(made, plain_call) if len(stacks) == 2 else plain_call

    monkeypatch.setattr(_core, "run_bidirectional", noted)
    monkeypatch.setattr(_core, "PlainCall", counted)
    return made


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MAKE)
def test_later_calls_give_the_bits_of_the_first(pairs, name, mode, return_sequences, return_state):
    prototype = bidirectional(name, mode, return_sequences=return_sequences, return_state=return_state)
    x = normal(B, T, F)
    for mask in MASKS.values():
        layer = copy.deepcopy(prototype)
        pairs.clear()
        first = layer(x, mask=mask)
        assert not pairs
        for _ in range(2):
            result = layer(x, mask=mask)
            assert type(result) is type(first)
            assert_same(result, first)
        assert len(pairs) == 2
        assert_same(first, each(layer, x, mask))
        marks = [[hasattr(a, "_keras_mask") for a in flatten([found])] for found in (first, result)]
        assert marks[0] == marks[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MAKE)
def test_the_second_call_agrees_with_the_oracle(isa, name, mode, dtype):
    layer = bidirectional(name, mode, dtype=dtype, return_sequences=True, return_state=True)
    x, mask = normal(B, T, F, dtype=dtype), MASKS["holes"]
    layer(x)
    result = layer(x, mask=mask)
    halves = [reference_layer(half) for half in (layer.forward_layer, layer.backward_layer)]
    want = tolerance.run_bidirectional(*halves, mode, x, mask, None, dtype=dtype)
    for got, bounded in zip(flatten(result), [*flatten([want.output]), *want.states], strict=True):
        assert_close(got, bounded, dtype)
    assert layer.explain().isa == isa


@settings(max_examples=80, deadline=None)
@given(
    cells=st.tuples(
        *[
            st.lists(
                st.tuples(st.sampled_from((LSTMCell, GRUCell, SimpleRNNCell)), st.integers(1, 40)),
                min_size=1,
                max_size=2,
            )
        ]
        * 2
    ),
    mode=st.sampled_from(["concat", None]),
    flags=st.fixed_dictionaries(
        {n: st.booleans() for n in ("return_sequences", "return_state", "time_major", "unroll")}
    ),
    turned=st.booleans(),
    sizes=st.tuples(st.integers(0, 9), st.integers(1, 7), st.integers(1, 40)),
    mask=st.sampled_from(["none", "right", "left", "holes", "nothing"]),
    given_states=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_random_pairs(cells, mode, flags, turned, sizes, mask, given_states, dtype):
    made = [
        RNN([cell(n, dtype=dtype) for cell, n in half], dtype=dtype, go_backwards=back, **flags)
        for half, back in zip(cells, (turned, not turned), strict=True)
    ]
    layer = Bidirectional(made[0], mode, backward_layer=made[1])
    batch, time, features = sizes
    layer.build((None, None, features))
    generator = np.random.default_rng(time + features)
    x = generator.standard_normal((batch, time, features)).astype(dtype)
    lengths = generator.integers(0, time + 1, (batch, 1))
    m = {
        "none": None,
        "right": np.arange(time) < lengths,
        "left": np.arange(time)[::-1] < lengths,
        "holes": generator.random((batch, time)) < 0.5,
        "nothing": np.zeros((batch, time), bool),
    }[mask]
    if flags["time_major"]:
        x, m = x.swapaxes(0, 1), None if m is None else m.T
    states = None
    if given_states and len(cells[0]) == len(cells[1]):  # each direction takes half of the list
        states = [
            [generator.standard_normal((batch, n)) for _ in range(2)]
            if cell is LSTMCell
            else np.ones((batch, n))
            for cell, n in [*cells[0], *cells[1]]
        ]
    want = layer(x, mask=m, initial_state=states)
    assert_same(layer(x, mask=m, initial_state=states), want)
    assert_same(want, each(layer, x, m, states))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MAKE)
def test_first_states(pairs, name, mode):
    layer = bidirectional(name, mode, return_sequences=True, return_state=True)
    x = normal(B, T, F)
    one = [[normal(B, 4), normal(B, 4, seed=1)], normal(B, U)] if name == "stack" else None
    half = one or [normal(B, U, seed=k) for k in range(2 if name == "lstm" else 1)]
    states = [*half, *half[:-1], half[-1] + 1]
    before = [bits(s) for s in flatten(states)]
    for mask in (None, MASKS["nothing"], MASKS["holes"]):
        layer(x, initial_state=states, mask=mask)
        assert_same(layer(x, initial_state=states, mask=mask), each(layer, x, mask, states))
        assert_same(layer([x, *states], mask=mask), each(layer, x, mask, states))
    assert [bits(s) for s in flatten(states)] == before
    assert len(pairs) == 8


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_a_stateful_pair_continues_and_resets(pairs, name, return_state):
    flags = {"return_sequences": True, "return_state": return_state}
    layer = bidirectional(name, stateful=True, **flags)
    other = bidirectional(name, **flags)
    states = None
    for call in range(5):
        x, mask = normal(B, T - call, F, seed=call), None if call % 2 else MASKS["holes"][:, call:]
        result = layer(x, mask=mask)
        if not other.built:
            other.build(x.shape)
            other.set_weights(layer.get_weights())
        final = recorded(layer)
        want = each(other, x, mask, states)
        assert_same(flatten([result])[:1], want[:1])
        if return_state:
            assert_same(result, want)
            assert_same(final, result[1:])
            assert not any(
                np.shares_memory(a, b) for a, b in zip(flatten(final), flatten(result[1:]), strict=True)
            )
        states = [np.array(s) if isinstance(s, np.ndarray) else [np.array(a) for a in s] for s in final]
        if call == 3:
            layer.reset_states()
            states = None
    assert len(pairs) == 4


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_time_first_and_the_forward_layer_going_backwards(pairs, name, return_sequences, masked):
    mask = MASKS["holes"] if masked else None
    for flags in ({"time_major": True}, {"go_backwards": True}, {"time_major": True, "go_backwards": True}):
        layer = bidirectional(name, return_sequences=return_sequences, return_state=True, **flags)
        x, m = normal(B, T, F), mask
        if layer.forward_layer.time_major:
            x, m = x.swapaxes(0, 1), None if m is None else m.T
        first = layer(x, mask=m)
        assert_same(layer(x, mask=m), first)
        assert_same(first, each(layer, x, m))
    assert len(pairs) == 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["concat", None])
def test_directions_of_different_kinds_and_sizes(pairs, mode, dtype):
    flags = {"return_sequences": True, "return_state": True, "dtype": dtype}
    backward = RNN([SimpleRNNCell(9, dtype=dtype), LSTMCell(7, dtype=dtype)], go_backwards=True, **flags)
    layer = Bidirectional(GRU(3, reset_after=False, **flags), mode, backward_layer=backward, dtype=dtype)
    x = normal(B, T, F, dtype=dtype)
    first = layer(x, mask=MASKS["holes"])
    assert_same(layer(x, mask=MASKS["holes"]), first)
    assert_same(first, each(layer, x, MASKS["holes"]))
    assert len(pairs) == 1


@pytest.mark.parametrize("mode", ["sum", "mul", "ave"])
def test_directions_of_different_sizes_cannot_be_merged_by_element(mode):
    layer = Bidirectional(LSTM(U), mode, backward_layer=LSTM(U - 1, go_backwards=True))
    x, errors = normal(B, T, F), []
    for _ in range(2):
        with pytest.raises(ValueError) as error:
            layer(x)
        errors.append(str(error.value))
        layer.build(x.shape)
    assert errors[0] == errors[1]


def test_directions_of_different_dtypes_are_two_calls(pairs):
    for dtypes in (("float32", "float64"), ("float64", "float32"), ("float32", "mixed_float16")):
        flags = {"return_sequences": True}
        backward = LSTM(U, go_backwards=True, dtype=dtypes[1], **flags)
        layer = Bidirectional(LSTM(U, dtype=dtypes[0], **flags), None, backward_layer=backward)
        x = normal(B, T, F, dtype="float64")
        first = layer(x)
        assert_same(layer(x), first)
        assert [a.dtype for a in first] == [np.dtype(d.replace("mixed_", "")) for d in dtypes]
        assert_same(first, each(layer, x))
    assert not pairs


def test_a_direction_in_python_makes_two_calls(pairs):
    backward = RNN(LayerCell(U), go_backwards=True, return_sequences=True)
    layer = Bidirectional(LSTM(U, return_sequences=True), backward_layer=backward)
    x = normal(B, T, F)
    layer(x)
    assert_same(layer(x), each(layer, x))
    assert not pairs


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_batch(mode):
    layer = bidirectional("lstm", mode, return_sequences=True, return_state=True)
    layer.build((None, None, F))
    for _ in range(2):
        assert_same(layer(normal(0, T, F)), each(layer, normal(0, T, F)))


def test_inputs_of_other_dtypes_and_layouts():
    layer = bidirectional("lstm", return_sequences=True)
    x = np.rint(4 * normal(B, T, F))
    want = layer(x)
    for other in (x.astype("f8"), x.astype(int), np.asfortranarray(x), np.repeat(x, 2, axis=2)[..., ::2]):
        assert_same(layer(other), want)


def test_nothing_is_read_at_masked_steps(pairs):
    layer = bidirectional("gru", return_sequences=True, return_state=True)
    x = normal(B, T, F)
    layer(x)
    want = layer(x, mask=MASKS["holes"])
    assert_same(layer(np.where(MASKS["holes"][..., None], x, np.nan), mask=MASKS["holes"]), want)
    assert len(pairs) == 2


@pytest.mark.parametrize("mode", MODES)
def test_the_number_of_threads_never_changes_a_bit(mode):
    layer = Bidirectional(LSTM(128, return_sequences=True, return_state=True), mode)
    x, before, results = normal(5, 60, 32), rnnpack.get_num_threads(), []
    layer(x)
    try:
        for count in (1, 2, 3, 5):
            rnnpack.set_num_threads(count)
            results.append([bits(a) for a in flatten(layer(x))])
    finally:
        rnnpack.set_num_threads(before)
    assert results == results[:1] * 4
