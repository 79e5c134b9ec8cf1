"""Prepared calls of Bidirectional: what may change between calls, what they refuse, how they fail."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from moments import at_line
from pair_cases import MAKE, MASKS, MODES, B, F, T, U, assert_same, bidirectional, each, recorded
from prepared_cases import same

from rnnpack import GRU, LSTM, RNN, Bidirectional, InputSpec, Layer, SimpleRNN, _core, regularizers
from rnnpack.initializers import Constant

X = normal(B, T, F)


def ready(name="lstm", mode="concat", **flags):
    """A layer whose calls are prepared."""
    layer = bidirectional(name, mode, **flags)
    for _ in range(2):
        layer(X)
    assert plain(layer, X) is not None, "nothing is prepared, so nothing is tested"
    return layer


def plain(layer, x, states=None, **keywords):
    """The answer of the prepared call."""
    return layer._plain_call(x, states, keywords, layer.forward_layer, layer.backward_layer)


@pytest.mark.parametrize("flags", [{}, {"return_sequences": True, "return_state": True}], ids=["last", "all"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MAKE)
def test_every_form_of_result(name, mode, flags):
    layer = ready(name, mode, **flags)
    first = bidirectional(name, mode, **flags)
    first.build((None, None, F))
    first.set_weights(layer.get_weights())
    for mask in (None, MASKS["holes"], MASKS["nothing"]):
        want = copy.deepcopy(first)(X, mask=mask)
        layer(X)
        for training in (None, True, False):
            result = plain(layer, X, mask=mask, training=training)
            same(result, want)
            masks = [getattr(a, "_keras_mask", None) for a in flatten([result])]
            count = (2 if mode is None else 1) if mask is not None and flags else 0
            assert all(a is mask for a in masks[:count])
            assert all(a is None for a in masks[count:])
        assert_same(result, each(layer, X, mask))


def test_given_states_are_halved():
    layer = ready(return_state=True)
    states = [normal(B, U, seed=k) for k in range(4)]
    assert_same(plain(layer, X, states), each(layer, X, states=states))
    assert_same(plain(layer, X, tuple(states)), each(layer, X, states=states))
    for other in (states[:2], states[:3], [*states, *states], [states[:2], states[2:]], states[0], []):
        assert plain(layer, X, other) is None
    stack, (a, b, c, d) = ready("stack", return_state=True), [normal(B, n) for n in (4, U, 4, U)]
    nested = [[a, 2 * a], b, [c, c], d]
    assert_same(plain(stack, X, nested), each(stack, X, states=nested))


UNUSUAL = {
    "features": lambda: X[..., :2],
    "no row": lambda: X[:0],
    "no timestep": lambda: X[:, :0],
    "float64": lambda: X.astype("f8"),
    "gaps": lambda: np.repeat(X, 2, axis=2)[..., ::2],
    "a list": lambda: [X],
    "a subclass": lambda: X.view(type("Own", (np.ndarray,), {})),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_inputs_go_the_long_way(case):
    layer = ready()
    kept = layer._plain_call
    assert plain(layer, UNUSUAL[case]()) is None
    if case not in ("features", "no timestep"):
        assert_same(
            layer(UNUSUAL[case]()), each(layer, np.ascontiguousarray(np.squeeze(UNUSUAL[case]()), "f"))
        )
    assert layer._plain_call is kept


CHANGES = {
    **{f"merge by {mode}": lambda layer, mode=mode: setattr(layer, "merge_mode", mode) for mode in MODES[1:]},
    "return_state": lambda layer: setattr(layer, "return_state", True),
    "weights": lambda layer: layer.set_weights([w + np.float32(0.25) for w in layer.get_weights()]),
    "precision": lambda layer: layer.set_precision("int8"),
    "a weight": lambda layer: layer.backward_layer.cell.kernel.assign_add(np.ones((F, 4 * U))),
    "another layer": lambda layer: setattr(layer, "backward_layer", built(LSTM(U, go_backwards=True))),
    "a layer of another kind": lambda layer: setattr(layer, "forward_layer", built(GRU(U))),
    "a layer in Python": lambda layer: setattr(layer, "forward_layer", built(LSTM(U, activation="softmax"))),
    "another cell": lambda layer: setattr(layer.forward_layer, "cell", built(LSTM(U)).cell),
    "directions": lambda layer: [
        setattr(half, "go_backwards", not half.go_backwards)
        for half in (layer.forward_layer, layer.backward_layer)
    ],
}


def built(layer):
    """The layer after a call."""
    layer(X)
    return layer


@pytest.mark.parametrize("change", CHANGES)
def test_changes_count_from_the_next_call_on(change):
    layer = ready()
    before = [bits(layer(X))]
    replacement = copy.deepcopy(layer)  # made before the change: its making announces changes, too
    CHANGES[change](replacement)
    want = replacement(X)
    layer(X)
    assert plain(layer, X) is not None
    if "layer" in change or "cell" in change:  # with weights of its own
        layer.forward_layer, layer.backward_layer = replacement.forward_layer, replacement.backward_layer
    else:
        CHANGES[change](layer)
    assert plain(layer, X) is None
    for _ in range(3):
        same(layer(X), want)
    assert [bits(a) for a in flatten([want])] != before, "the change must show"


def test_a_member_replaced_in_place_counts():
    layer = ready("stack")
    cell = built(GRU(U)).cell
    layer(X)
    layer.backward_layer.cell.cells[1], other = cell, layer.backward_layer.cell.cells[1]
    assert plain(layer, X) is None
    layer.backward_layer.cell.cells[1] = other
    assert plain(layer, X) is not None
    del layer.forward_layer.cell.cells[1]
    assert plain(layer, X) is None


@pytest.mark.parametrize("owner", ["wrapper", "forward_layer", "backward_layer"])
@pytest.mark.parametrize("by_item", [False, True])
def test_input_specs_count(owner, by_item):
    layer = ready()
    target = layer if owner == "wrapper" else getattr(layer, owner)
    if by_item:
        target.input_spec[0] = InputSpec(shape=(B + 1, None, F))
    else:
        target.input_spec = [InputSpec(shape=(B + 1, None, F))]
    assert plain(layer, X) is None
    for _ in range(2):
        with pytest.raises(ValueError, match="incompatible with the layer"):
            layer(X)
    target.input_spec = [InputSpec(min_ndim=3)]
    want = each(layer, X)
    for _ in range(2):
        assert_same(layer(X), want)
    assert layer._plain_call is None or plain(layer, X) is None


def test_replaced_methods_and_losses_of_the_wrapper_count():
    layer = ready(return_sequences=True)
    layer.compute_mask = lambda inputs, mask=None: None
    assert plain(layer, X) is None
    assert not hasattr(layer(X, mask=MASKS["holes"]), "_keras_mask")
    del layer.compute_mask
    layer(X)
    layer.call = lambda inputs, **_: inputs + 1
    same(layer(X), X + 1)
    del layer.call
    layer(X)
    layer.activity_regularizer = regularizers.L2(1.0)
    for _ in range(2):
        layer(X)
        assert len(layer.losses) == 1
    layer.activity_regularizer = None
    layer(X)
    assert layer.losses == []
    for one in (layer, layer.forward_layer, layer.backward_layer.cell):
        layer(X)
        one.add_loss(3.0)
        layer(X)
        assert layer.losses == []


def test_losses_of_a_call_inside_another_are_cleared_by_the_next_call():
    class Outer(Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, inputs):
            self.inner.forward_layer.add_loss(3.0)
            return self.inner(inputs)

    layer = ready()
    outer = Outer(layer)
    for _ in range(2):
        outer(X)
        assert layer.losses == [3.0]
    layer(X)
    assert layer.losses == []


@pytest.mark.parametrize("role", ["forward_layer", "backward_layer"])
def test_dropout_of_one_direction_counts(role):
    layer = ready()
    want = layer(X)
    getattr(layer, role).cell.dropout = 0.5
    for _ in range(2):
        same(layer(X), want)
    assert plain(layer, X) is None
    same(plain(layer, X, training=False), want)
    assert bits(layer(X, training=True)) != bits(want)


@pytest.mark.parametrize("mode", ["sum", "mul", "ave"])
def test_merging_warns_and_fails_as_numpy_does(mode):
    huge = Constant(3e38)
    rnn = SimpleRNN(
        U, "linear", kernel_initializer="zeros", recurrent_initializer="zeros", bias_initializer=huge
    )
    layer = Bidirectional(RNN(rnn.cell, stateful=True), mode)
    with np.errstate(over="ignore"):
        for _ in range(3):
            assert np.isinf(layer(X)).all()
        layer.reset_states()
        assert np.isinf(plain(layer, X)).all()
    layer.reset_states()
    with np.errstate(over="raise"):
        for call in (lambda: plain(layer, X), lambda: layer(X)):
            with pytest.raises(FloatingPointError):
                call()
    assert not any(a.any() for a in recorded(layer))
    with np.errstate(over="warn"), pytest.warns(RuntimeWarning, match="overflow"):
        plain(layer, X)
    assert all((a == np.float32(3e38)).all() for a in recorded(layer))


def test_the_half_of_a_sum_is_its_exact_half():
    layer = Bidirectional(LSTM(U, dtype="float64"), "ave", dtype="float64")
    x = normal(B, T, F, dtype="float64")
    for _ in range(2):
        layer(x)
    same(plain(layer, x), each(layer, x)[0])


def test_the_native_module_refuses_pairs_that_cannot_be():
    def cell(features):
        kernel = np.ones((features, 4 * U), "f")
        return [_core.PackedCell("lstm", kernel, np.ones((U, 4 * U), "f"), None, "tanh", "sigmoid")]

    cells = [cell(F), cell(F + 1)]
    rest = {
        **dict.fromkeys(("time_major", "go_backwards", "return_sequences", "return_state"), False),
        **dict.fromkeys(("zero_output_for_mask", "stateful", "drops"), False),
        "carrying": None,
        "watched": [],
        "epoch": 0,
    }
    good = {"stacks": [(cells[0], False)], "merge_mode": None, "sizes": (None, None)}
    assert not _core.PlainCall(**good, **rest).current()
    for bad in (
        {"stacks": []},
        {"stacks": [(cells[0], False)] * 3},
        {"stacks": [(cells[0], False), (cells[1], False)]},
        {"merge_mode": "max"},
    ):
        with pytest.raises(ValueError):
            _core.PlainCall(**{**good, **bad}, **rest)


@pytest.mark.parametrize("calls_before", [0, 1])
@pytest.mark.parametrize("flags", [{}, {"stateful": True}], ids=["stateless", "stateful"])
def test_weights_may_change_at_any_moment_of_a_call(flags, calls_before):
    """The call has the old or the new weights, and the next one has the new ones."""
    layer = ready(**flags)
    kernel, results = layer.backward_layer.cell.kernel, []
    values = kernel.numpy(), kernel.numpy() + 1

    def call():
        if flags:
            layer.reset_states()
        return layer(X)

    for value in values:
        kernel.assign(value)
        results.append(bits(call()))
    happened, line = True, 0
    while happened:
        line += 1
        kernel.assign(values[0])
        for _ in range(calls_before):
            call()
        got, happened = at_line(line, lambda: kernel.assign(values[1]), call)
        assert bits(got) in results
        if happened:
            assert bits(call()) == results[1]
    assert line > 3


@pytest.mark.parametrize("mode", ["concat", "ave"])
def test_copies_and_threads(mode):
    layer = ready(mode=mode, return_sequences=True)
    want = bits(layer(X))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin._plain_call is None
        assert bits(twin(X)) == want
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: bits(layer(X)), range(200))) == {want}
