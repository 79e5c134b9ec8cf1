"""Dropout in native calls: the masks of the Python loop, drawn from the same seed, and nothing else changes.

For one sample, dropping inputs and states is a change of weights: `(x * m) @ K` is `x @ (m[:, None] * K)`. So
the oracle runs each sample on weights of its own, made from the masks that a Python cell holds after a call.
"""

from __future__ import annotations

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import reference
import tolerance
from contract.contract_cells import bits, normal, randomise
from contract.contract_oracle import assert_close, flatten, reference_cell, reference_layer

import rnnpack
from rnnpack import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    SimpleRNN,
    SimpleRNNCell,
)

B, T, F, U = 3, 4, 6, 5
MASK = np.array([[1, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]], bool)
GATES = {LSTMCell: 4, PeepholeLSTMCell: 4, ProjectedLSTMCell: 4, GRUCell: 3, SimpleRNNCell: 1}
KINDS = {
    "lstm": (LSTMCell, {}),
    "gru": (GRUCell, {}),
    "gru reset before": (GRUCell, {"reset_after": False}),
    "simple": (SimpleRNNCell, {}),
    "peephole lstm": (PeepholeLSTMCell, {}),
    "projected lstm": (ProjectedLSTMCell, {"projection_units": 3}),
}
RATES = [(0.4, 0.0), (0.0, 0.3), (0.5, 0.25)]
SEED = 11


OWN = {cell: type("Own" + cell.__name__, (cell,), {}) for cell in GATES}


def cells(kinds, own, rates, implementation, dtype="float32"):
    """A cell for each kind."""
    made = []
    for cell, kwargs in (KINDS[kind] for kind in kinds):
        kwargs = {**kwargs, "dropout": rates[0], "recurrent_dropout": rates[1], "dtype": dtype}
        if cell is not SimpleRNNCell:
            kwargs["implementation"] = implementation
        made.append((OWN[cell] if own else cell)(U, **kwargs))
    return made if len(made) > 1 else made[0]


def both(kinds, rates, implementation=2, dtype="float32", **flags):
    """The same layer, native and on Python cells."""
    pair = [
        RNN(cells(kinds, own, rates, implementation, dtype), dtype=dtype, **flags) for own in (False, True)
    ]
    weights = randomise(pair[0], (None, None, F))
    pair[1].build((None, None, F))
    pair[1].set_weights(weights)
    assert pair[0].explain(training=True).native
    assert not pair[1].explain(training=True).native
    return pair


def trained(layer, *args, **kwargs):
    """A call in training mode, from the seed."""
    rnnpack.set_seed(SEED)
    return layer(*args, training=True, **kwargs)


def thinned(weights, masks, sample):
    """The weights that a sample sees through its masks, of which there is one, or one for each gate."""
    if masks is None:
        return weights
    masks = masks if isinstance(masks, list) else [masks]
    gates = [m[sample].astype(float)[:, None] for m in masks]
    return np.concatenate(
        [m * w for m, w in zip(gates, np.split(weights, len(gates), axis=1), strict=True)], axis=1
    )


def dropped(layer, sample):
    """The oracle of a layer of Python cells, for one sample of the call that has just ended."""
    members = []
    for cell in getattr(layer.cell, "cells", [layer.cell]):
        plain = reference_cell(cell)
        count = GATES[type(cell).__base__] if getattr(cell, "implementation", 1) == 1 else 1
        inputs, states = (
            np.ones((B, len(w)), cell.compute_dtype) for w in (plain.kernel, plain.recurrent_kernel)
        )
        kernel = thinned(plain.kernel, cell.get_dropout_mask_for_cell(inputs, True, count), sample)
        masks = cell.get_recurrent_dropout_mask_for_cell(states, True, count)
        recurrent = thinned(plain.recurrent_kernel, masks, sample)
        members.append(dataclasses.replace(plain, kernel=kernel, recurrent_kernel=recurrent))
    return dataclasses.replace(reference_layer(layer), cells=tuple(members))


def expected(layer, x, mask=None, states=None):
    """What a training call gives: `[output, *states]` of each sample, with error bounds."""
    results = []
    for b in range(len(x)):
        oracle = dropped(layer, b)
        # One rounding more than without dropout: the product with the mask.
        lift = tolerance.lifter(layer.compute_dtype, tolerance.chain_length(oracle, x.shape[-1]) + 1)
        first = None if states is None else [s[b : b + 1] for s in states]
        found = reference.run(oracle, x[b : b + 1], None if mask is None else mask[b : b + 1], first, lift)
        results.append([found.output, *found.states])
    return results


def assert_expected(result, want, dtype):
    """A result within the bounds."""
    for b, arrays in enumerate(want):
        for got, bounded in zip(flatten(result), arrays, strict=True):
            assert_close(got[b : b + 1], bounded, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("implementation", [1, 2])
@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("kind", KINDS)
def test_native_and_python_calls_drop_what_the_oracle_drops(isa, kind, rates, implementation, dtype):
    flags = {"return_sequences": True, "return_state": True}
    native, python = both([kind], rates, implementation, dtype, **flags)
    x = normal(B, T, F, dtype=dtype)
    plain = bits(native(x)[0])
    results = [trained(layer, x) for layer in (python, native, native)]
    want = expected(python, x)
    for result in results:
        assert_expected(result, want, dtype)
    assert bits(results[1][0]) == bits(results[2][0]) != plain
    assert bits(native(x)[0]) == plain
    assert native.explain(training=True).isa == isa


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("kinds", [["lstm"], ["gru reset before"], ["lstm", "gru", "simple"]], ids="+".join)
def test_flags_masks_and_first_states(kinds, rates, return_sequences, go_backwards, masked):
    flags = {"return_sequences": return_sequences, "return_state": True, "go_backwards": go_backwards}
    native, python = both(kinds, rates, **flags)
    x, mask = normal(B, T, F), MASK if masked else None
    zeros = native.get_initial_state(x)
    states = [
        [normal(B, U, seed=k) for k in range(2)] if isinstance(z, (list, tuple)) else normal(B, U, seed=9)
        for z in zeros
    ]
    results = [trained(layer, x, mask=mask, initial_state=states) for layer in (python, native)]
    want = expected(python, x, mask, flatten(states))
    for result in results:
        assert_expected(result, want, "float32")
    if masked:
        assert [bits(s[2]) for s in flatten(results[1][1:])] == [bits(s[2]) for s in flatten(states)]


ODD = {
    "a mask of numbers": {"mask": MASK.astype(int)},
    "a mask of three axes": {"mask": MASK[..., None]},
    "float64 states": {"mask": MASK, "initial_state": [np.ones((B, U))] * 2},
    "strided states": {"mask": MASK, "initial_state": [np.ones((U, B), "f").T] * 2},
    "a tuple of states": {"mask": MASK, "initial_state": (np.ones((B, U), "f"),) * 2},
}


@pytest.mark.parametrize("odd", ODD)
def test_arguments_that_go_the_long_way_draw_no_second_time(odd):
    """What the native module refuses at first is converted and tried again: with the same masks."""
    native, python = both(["lstm"], (0.5, 0.25))
    kwargs = {"initial_state": [np.ones((B, U), "f")] * 2} if "initial_state" in ODD[odd] else {}
    x, after, results = normal(B, T, F), [], []
    native(x)
    for layer, arguments in ((native, {"mask": MASK, **kwargs}), (native, ODD[odd]), (python, ODD[odd])):
        results.append(trained(layer, x, **arguments))
        after.append(rnnpack.random.generator().random())
    assert after == after[:1] * 3
    assert bits(results[0]) == bits(results[1])


def test_time_major_and_unroll_draw_the_same():
    native, _ = both(["lstm"], (0.5, 0.25), return_sequences=True)
    x = normal(B, T, F)
    want = bits(trained(native, x))
    for flag in ("unroll", "time_major"):
        other = RNN(native.cell, return_sequences=True, **{flag: True})
        got = trained(other, np.swapaxes(x, 0, 1) if flag == "time_major" else x)
        assert bits(np.swapaxes(got, 0, 1) if flag == "time_major" else got) == want


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru reset before", "simple"])
def test_a_layer_draws_what_its_cell_draws(kind):
    """`LSTM` and `RNN(LSTMCell)` are one thing."""
    cell, kwargs = KINDS[kind]
    layer = {LSTMCell: LSTM, GRUCell: GRU, SimpleRNNCell: SimpleRNN}[cell](
        U, dropout=0.5, recurrent_dropout=0.25, **kwargs
    )
    x = normal(B, T, F)
    layer(x)
    assert bits(trained(layer, x)) == bits(trained(RNN(layer.cell), x))


def test_a_stateful_layer_records_what_training_ended_with():
    native, python = both(["gru"], (0.5, 0.25), return_state=True)
    layer = RNN(native.cell, return_state=True, stateful=True)
    x = normal(B, T, F)
    trained(python, x)
    want = expected(python, x)
    _, first = result = trained(layer, x)
    assert_expected(result, want, "float32")
    _, second = trained(layer, x)
    assert bits(layer.states[0]) == bits(second)
    _, want = trained(native, x, initial_state=first)
    assert bits(second) == bits(want)


@pytest.mark.parametrize("mode", ["concat", "sum", None])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("kinds", [["lstm"], ["gru", "simple"]], ids="+".join)
def test_both_directions(kinds, rates, masked, mode):
    flags = {"return_sequences": True, "return_state": True}
    with rnnpack.custom_object_scope({cell.__name__: cell for cell in OWN.values()}):
        native, python = (
            Bidirectional(RNN(cells(kinds, own, rates, 1), **flags), merge_mode=mode) for own in (False, True)
        )
    weights = randomise(native, (None, None, F))
    python.build((None, None, F))
    python.set_weights(weights)
    x, mask = normal(B, T, F), MASK if masked else None
    assert native.explain(training=True).native
    results = [trained(layer, x, mask=mask) for layer in (python, native, native)]
    assert [bits(a) for a in flatten(results[1])] == [bits(a) for a in flatten(results[2])]
    forward, backward = (
        [dropped(layer, b) for b in range(B)] for layer in (python.forward_layer, python.backward_layer)
    )
    for b in range(B):
        lift = tolerance.lifter("float32", tolerance.chain_length(forward[b], F) + 1)
        rows = x[b : b + 1], None if mask is None else mask[b : b + 1]
        want = reference.run_bidirectional(forward[b], backward[b], mode, *rows, lift=lift)
        for result in results:
            for got, bounded in zip(flatten(result), [*flatten([want.output]), *want.states], strict=True):
                assert_close(got[b : b + 1], bounded, "float32")


# The masks themselves -----------------------------------------------------------------------------


def shown(rate, kind="dropout", steps=3, features=40, **flags):
    """A native layer that shows its masks: h' = m x, or h' = x + m h, for inputs of one."""
    kwargs = {"activation": None, "use_bias": False, kind: rate}
    layer = SimpleRNN(features, return_sequences=True, **kwargs, **flags)
    layer.build((None, None, features))
    layer.set_weights([np.eye(features), np.eye(features) * (kind != "dropout")])
    assert layer.explain(training=True).native

    def call(batch):
        return layer(np.ones((batch, steps, features), "f"), training=True)

    return call


@pytest.mark.parametrize("threads", [1, 4])
def test_a_mask_lasts_for_all_of_a_long_call(threads):
    """Longer than the chunks of time and with rows enough for several threads."""
    before = rnnpack.get_num_threads()
    try:
        rnnpack.set_num_threads(threads)
        y = shown(0.5, steps=1000)(32)
    finally:
        rnnpack.set_num_threads(before)
    assert set(np.unique(y)) == {0.0, 2.0}
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 1000, axis=1))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("kind", ["dropout", "recurrent_dropout"])
def test_as_much_is_dropped_as_was_asked_for_in_every_call_anew(kind, rate):
    """Counts of independent draws stay within six standard deviations, sqrt(n p (1 - p))."""
    rnnpack.set_seed(0)
    call, keep = shown(rate, kind), 1 - rate
    calls = np.stack([call(5) for _ in range(50)])
    if kind == "dropout":
        masks = calls[:, :, 0]
    else:
        masks = calls[:, :, 1] - 1  # x + m x
        # 1, 1 + m, 1 + m + m^2: the same mask at the next step, up to one rounding of each operation.
        np.testing.assert_allclose(calls[:, :, 2], 1 + masks + masks**2, rtol=4 * np.finfo("f").eps)
    kept, count = masks != 0, masks.size
    # Mean and variance of the factors are 1 and rate / keep exactly if their values are 0 and 1 / keep.
    np.testing.assert_allclose(masks[kept], 1 / keep, rtol=4 * np.finfo("f").eps * (1 + keep))
    assert abs(kept.sum() - count * keep) < 6 * np.sqrt(count * keep * rate)
    alike = keep**2 + rate**2
    for axis, name in enumerate(("calls", "rows", "features")):
        same = np.take(kept, range(1, kept.shape[axis]), axis) == np.take(
            kept, range(kept.shape[axis] - 1), axis
        )
        spread = np.sqrt(3 * same.size * alike * (1 - alike))  # neighbours share a draw: at most three times
        assert abs(same.sum() - same.size * alike) < 6 * spread, name


def test_calls_of_several_threads_have_masks_of_their_own():
    call = shown(0.5, steps=50)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(call, [2] * 60))
    finally:
        sys.setswitchinterval(interval)
    for y in results:
        np.testing.assert_array_equal(y, np.repeat(y[:, :1], 50, axis=1))
    assert len({bits(y) for y in results}) == len(results)


@pytest.mark.parametrize("kind", KINDS)
def test_inference_draws_nothing(kind):
    native, python = both([kind], (0.5, 0.25))
    x = normal(B, T, F)
    trained(native, x)
    want = rnnpack.random.generator().random()
    trained(native, x)
    for layer in (native, python):
        layer(x)
        layer(x, training=False)
    assert rnnpack.random.generator().random() == want


def test_a_rate_that_changes_counts_from_the_next_call_on():
    native, _ = both(["lstm"], (0.0, 0.0), implementation=1)
    x = normal(B, T, F)
    plain = bits(native(x))
    assert bits(trained(native, x)) == plain
    native.cell.dropout = 0.5
    fresh = RNN(LSTMCell(U, dropout=0.5, implementation=1), weights=native.get_weights())
    fresh(x)
    assert bits(trained(native, x)) == bits(trained(fresh, x)) != plain
    native.cell.dropout = 0.0
    assert bits(trained(native, x)) == plain


@pytest.mark.parametrize("kind", KINDS)
def test_explain_says_native_in_both_modes(kind):
    native, python = both([kind], (0.5, 0.25))
    assert native.explain(training=True) == native.explain(training=False) == native.explain()
    assert native.explain(training=True).reason is None
    assert "Own" in python.explain(training=True).reason
