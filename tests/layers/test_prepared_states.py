"""Prepared calls of stateful layers: recorded states go in, new ones come out, if all went well."""

from __future__ import annotations

import copy
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from contract.contract_cells import bits, normal, randomise
from contract.contract_oracle import flatten
from prepared_cases import OTHER, WEIGHTS, B, F, T, U, X, same

from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN

MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([LSTMCell(U), GRUCell(U)], **k),
    "stack of one": lambda **k: RNN([LSTMCell(U)], **k),
    "pair": lambda **k: Bidirectional(LSTM(U, **k)),
    "pair by sum": lambda **k: Bidirectional(RNN([GRUCell(U), LSTMCell(U)], **k), "sum"),
}
MASK = np.arange(T) < np.array([[2], [0], [5]])
CASES = pytest.mark.parametrize("name", MAKE)


def halves(layer):
    """The layers that record."""
    return (layer.forward_layer, layer.backward_layer) if isinstance(layer, Bidirectional) else (layer,)


def recorded(layer):
    """The recorded states, flat."""
    return flatten([half.states for half in halves(layer)])


def stateful(name="lstm", **flags):
    """Two equal layers after `reset_states`; stateful calls of the first one are prepared."""
    layer = MAKE[name](stateful=True, **flags)
    weights = randomise(layer, (B, None, F))
    other = copy.deepcopy(layer)
    layer.set_weights(weights)
    other.set_weights(weights)
    other(X)
    for _ in range(2):
        layer(X)
    assert plain(layer, X) is not None, "nothing is prepared, so nothing is tested"
    for one in (layer, other):
        one.reset_states()
    return layer, other


def plain(layer, x, states=None, **keywords):
    """The answer of the prepared call."""
    return layer._plain_call(x, states, keywords, *halves(layer))


def long_way(layer, x, **keywords):
    """A call that no prepared one can take, nor the native call of plain arguments."""
    return layer([x], **keywords)


def same_states(layer, other):
    """Both have recorded the same, in the same nests."""
    same([half.states for half in halves(layer)], [half.states for half in halves(other)])


@CASES
@pytest.mark.parametrize("flags", [{}, {"return_sequences": True, "return_state": True}], ids=["last", "all"])
def test_calls_go_on_as_the_long_way_does(name, flags):
    layer, other = stateful(name, **flags)
    for k, mask in enumerate((None, MASK, None, np.zeros((B, T), bool), MASK)):
        keywords = {} if mask is None else {"mask": mask}
        x = normal(B, T, F, seed=k)
        result = plain(layer, x, **keywords)
        assert result is not None
        same(result, long_way(other, x, **keywords))
        same_states(layer, other)


@CASES
def test_results_share_no_memory_with_what_is_recorded(name):
    layer, other = stateful(name, return_state=True)
    lists = [half.states for half in halves(layer)]
    before = [bits(a) for a in flatten(lists)]
    for _ in range(3):
        results = flatten([plain(layer, X), plain(layer, X)])
        arrays = [X, *flatten(lists), *results, *recorded(layer)]
        for i, a in enumerate(arrays):
            assert not any(np.shares_memory(a, b) for b in arrays[:i])
        for a in results:
            a[:] = np.nan
    assert [bits(a) for a in flatten(lists)] == before, "what was recorded before is another call's"
    for _ in range(6):
        long_way(other, X)
    same_states(layer, other)


S = normal(B, U, seed=9)
STATES = {
    "reset_states": lambda layer: layer.reset_states(),
    "reset_states to values": lambda layer: layer.reset_states([S, 2 * S]),
    "states": lambda layer: setattr(layer, "states", [S, 2 * S]),
    "float64 states": lambda layer: setattr(layer, "states", [S.astype("f8"), S]),
    "no states": lambda layer: setattr(layer, "states", [None, None]),
    "an item": lambda layer: layer.states.__setitem__(0, S),
    "a float64 item": lambda layer: layer.states.__setitem__(1, S.astype("f8")),
    "a Fortran item": lambda layer: layer.states.__setitem__(0, np.asfortranarray(S)),
    "an item with gaps": lambda layer: layer.states.__setitem__(0, np.repeat(S, 2, axis=0)[::2]),
    "a read-only item": lambda layer: layer.states.__setitem__(
        0, np.frombuffer(S.tobytes(), "f").reshape(B, U)
    ),
    "one array twice": lambda layer: setattr(layer, "_states", [S.copy()] * 2),
    "numbers": lambda layer: layer.states[1].__setitem__(0, 0.25),
    "weights": lambda layer: layer.set_weights(OTHER),
}


@pytest.mark.parametrize("change", STATES)
def test_states_may_be_set_between_calls(change):
    layer, other = stateful()
    for _ in range(2):
        layer(X)
        long_way(other, X)
        for one in (layer, other):
            STATES[change](one)
        same(layer(X), long_way(other, X))
        same_states(layer, other)
    same(layer(X), long_way(other, X))
    same_states(layer, other)


BAD = {
    "too few": lambda layer: layer.states.pop(),
    "too many": lambda layer: layer.states.append(S),
    "another batch": lambda layer: layer.states.__setitem__(0, S[:1]),
    "other units": lambda layer: layer.states.__setitem__(1, S[:, :2]),
    "a list": lambda layer: layer.states.__setitem__(0, S.tolist()),
    "None": lambda layer: layer.states.__setitem__(0, None),
    "complex numbers": lambda layer: layer.states.__setitem__(0, S.astype(complex)),
}


@pytest.mark.parametrize("case", BAD)
def test_recorded_states_that_do_not_fit_are_refused_as_on_the_long_way(case):
    layer, other = stateful()
    errors = []
    for one, call in ((layer, layer.__call__), (other, lambda x: long_way(other, x))):
        call(X)
        BAD[case](one)
        states = list(one.states)
        assert one is other or plain(layer, X) is None
        with pytest.raises((ValueError, TypeError)) as error:
            call(X)
        assert all(a is b for a, b in zip(one.states, states, strict=True))
        errors.append((error.type, str(error.value)))
    assert errors[0] == errors[1]


@CASES
@pytest.mark.parametrize(
    "inputs", [X[:2], X[..., :2], X[:, :0], X[0], X.astype(complex)], ids=lambda x: f"{x.shape}{x.dtype}"
)
def test_refused_inputs_leave_the_states(name, inputs):
    layer, _ = stateful(name)
    layer(X)
    before = [bits(a) for a in recorded(layer)]
    with pytest.raises(ValueError):
        layer(inputs)
    with pytest.raises(ValueError):
        layer(X, mask=MASK[:, :2])
    assert [bits(a) for a in recorded(layer)] == before


def test_given_states_count_only_while_the_recorded_ones_are_zero():
    layer, other = stateful(return_state=True)
    for _ in range(2):
        assert plain(layer, X, [S, S]) is None
        same(layer(X, [S, S]), other([X, S, S]))
        same_states(layer, other)


def test_a_layer_may_stop_and_begin_to_be_stateful():
    layer, other = stateful()
    for value in (True, False, False, True, True):
        layer.stateful = other.stateful = value
        for _ in range(2):
            same(layer(X), long_way(other, X))
        same_states(layer, other)


def test_a_prepared_call_without_its_layers_answers_nothing():
    layer, _ = stateful()
    for layers in ((), (layer, layer)):
        assert layer._plain_call(X, None, {}, *layers) is None
    assert not any(a.any() for a in recorded(layer))
    with pytest.raises(AttributeError):
        layer._plain_call(X, None, {}, object())
    with pytest.raises(TypeError):
        layer._plain_call(X, None)


def test_layers_are_not_kept_alive():
    import weakref

    for name in ("lstm", "pair"):
        layer, _ = stateful(name)
        layer(X)
        gone = weakref.ref(layer)
        del layer
        assert gone() is None


@pytest.mark.parametrize("wrap", [lambda layer: layer, Bidirectional])
def test_ctrl_c_leaves_the_states(wrap):
    layer = wrap(LSTM(200, stateful=True, recurrent_initializer="glorot_uniform"))
    short, long = normal(1, 2, 64), np.zeros((1, 400_000, 64), "f")
    for _ in range(3):
        layer(short)
    before = [a for half in halves(layer) for a in half.states]
    values = [bits(a) for a in before]
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            plain(layer, long)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, handler)
    after = [a for half in halves(layer) for a in half.states]
    assert all(a is b for a, b in zip(after, before, strict=True))
    assert [bits(a) for a in after] == values


def test_small_calls_of_many_threads_are_calls_one_after_the_other():
    layer, other = stateful()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: bits(layer(X)), range(400)))
    want = [bits(other(X)) for _ in range(400)]
    assert set(results) == set(want)
    same_states(layer, other)


@pytest.mark.parametrize("wrap", [lambda layer: layer, Bidirectional])
def test_large_calls_of_many_threads_record_what_one_of_them_ended_in(wrap):
    layer = wrap(LSTM(96, stateful=True, return_state=True))
    x = normal(4, 20, 16)
    for _ in range(2):
        layer(x)

    def work(k):
        if k % 5 == 0:
            layer.reset_states()
        return [bits(a) for a in layer(x)[1:]]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(60)))
    size = len(halves(layer)[0].states)
    for i, half in enumerate(halves(layer)):
        assert [bits(a) for a in half.states] in [r[i * size : (i + 1) * size] for r in results]


def test_weights_and_states_are_copied_with_a_layer():
    layer, _ = stateful()
    layer(X)
    twin = copy.deepcopy(layer)
    same_states(layer, twin)
    same(twin(X), layer(X))
    twin.set_weights(WEIGHTS)
    twin(X)
    assert [bits(a) for a in recorded(twin)] != [bits(a) for a in recorded(layer)]
