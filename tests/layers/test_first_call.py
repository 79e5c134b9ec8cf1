"""The first call of a layer: it builds once, completely or not at all."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, ResidualWrapper
from rnnpack.layers import Layer


def weights_for(layer, features=3):
    """Random weights of the shapes that a layer has for these inputs."""
    layer.build((None, 5, features))
    rng = np.random.default_rng(1)
    return [rng.normal(size=w.shape).astype("f") for w in layer.get_weights()]


X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f")


def test_other_threads_wait_for_the_weights_of_a_first_call():
    given = weights_for(LSTM(4))

    class Slow(LSTM):
        def set_weights(self, weights):
            time.sleep(0.05)
            super().set_weights(weights)

    layer = Slow(4, weights=given)
    with ThreadPoolExecutor(4) as pool:
        futures = []
        for _ in range(4):
            futures.append(pool.submit(layer, X))
            time.sleep(0.01)
        results = [future.result() for future in futures]
    want = LSTM(4, weights=given)(X)
    for result in results:
        np.testing.assert_array_equal(result, want)


def test_no_thread_computes_with_weights_that_a_failing_first_call_throws_away():
    in_call, go_on = threading.Event(), threading.Event()

    class Cell(LSTMCell):
        def call(self, inputs, states, training=None):
            if threading.current_thread().name == "bad":
                in_call.set()
                go_on.wait(5)
                raise RuntimeError("bad first call")
            return super().call(inputs, states, training)

    layer = RNN(Cell(4))
    results = []

    def fail():
        with pytest.raises(RuntimeError):
            layer(X)

    bad = threading.Thread(target=fail, name="bad")
    good = threading.Thread(target=lambda: results.append(layer(X)))
    bad.start()
    assert in_call.wait(5)
    good.start()
    time.sleep(0.05)
    go_on.set()
    bad.join()
    good.join()
    np.testing.assert_array_equal(results[0], layer(X))


def test_a_layer_may_call_its_sub_layers_from_other_threads_in_its_first_call():
    class Parallel(Layer):
        def __init__(self):
            super().__init__()
            self.parts = [LSTM(2), GRU(2)]

        def call(self, inputs):
            with ThreadPoolExecutor(2) as pool:
                return sum(pool.map(lambda part: part(inputs), self.parts))

    assert Parallel()(X).shape == (2, 2)


@pytest.mark.parametrize("make", [LSTM, GRU, lambda n, **k: RNN(GRUCell(n), **k)])
def test_weights_are_applied_by_an_explicit_build(make):
    given = weights_for(make(4))
    layer = make(4, weights=given)
    layer.build((None, 5, 3))
    for have, want in zip(layer.get_weights(), given, strict=True):
        np.testing.assert_array_equal(have, want)
    changed = [2 * w for w in given]
    layer.set_weights(changed)
    layer(X)
    np.testing.assert_array_equal(layer.get_weights()[0], changed[0])


def test_weights_wait_for_the_end_of_the_most_derived_build():
    class Scaled(LSTM):
        def build(self, input_shape):
            super().build(input_shape)
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    given = weights_for(Scaled(4))
    layer = Scaled(4, weights=given)
    layer.build((None, 5, 3))
    assert layer.built
    np.testing.assert_array_equal(layer.scale.numpy(), given[0])


@pytest.mark.parametrize("wrap", [lambda c: [c], ResidualWrapper, lambda c: [ResidualWrapper(c)]])
def test_weights_of_a_cell_are_applied_inside_stacks_and_wrappers(wrap):
    given = weights_for(RNN(GRUCell(3)))
    layer = RNN(wrap(GRUCell(3, weights=given)))
    layer(X)
    for have, want in zip(layer.get_weights(), given, strict=True):
        np.testing.assert_array_equal(have, want)


def test_an_explicit_build_that_fails_leaves_the_layer_unbuilt():
    layer = LSTM(4, weights=[np.zeros(3)])
    with pytest.raises(ValueError, match="expecting 3 weights"):
        layer.build((None, 5, 3))
    assert not layer.built and not layer.weights and not layer.cell.built


class NeedsConstants(GRUCell):
    """Cannot be called without constants."""

    def call(self, inputs, states, constants, training=None):
        return super().call(inputs, states, training)


BAD_FIRST_CALLS = {
    "rank": (lambda: RNN(GRUCell(4)), np.zeros((2, 5, 3, 3), "f"), X),
    "residual": (lambda: RNN(ResidualWrapper(GRUCell(3))), np.zeros((2, 5, 4), "f"), X),
    "bidirectional": (lambda: Bidirectional(RNN(GRUCell(4))), np.zeros((2, 5, 3, 3), "f"), X),
}


@pytest.mark.parametrize("name", BAD_FIRST_CALLS)
def test_a_bad_first_call_leaves_the_layer_as_it_was(name):
    make, bad, good = BAD_FIRST_CALLS[name]
    layer = make()
    before = layer.input_spec
    with pytest.raises((ValueError, TypeError)):
        layer(bad)
    assert not layer.built and not layer.weights and layer.input_spec == before
    assert layer(good).shape[0] == 2


def test_a_cell_built_before_keeps_its_features_after_a_bad_first_call():
    cell = GRUCell(4)
    cell.build((None, 3))
    layer = RNN(cell)
    for _ in range(2):
        with pytest.raises((ValueError, TypeError)):
            layer(np.zeros((2, 5, 7), "f"))
    assert layer(X).shape == (2, 4)


def test_missing_constants_leave_the_layer_unbuilt():
    layer = RNN(NeedsConstants(4))
    with pytest.raises(TypeError, match="constants"):
        layer(X)
    assert not layer.built
    assert layer(np.zeros((2, 5, 6), "f"), constants=[np.zeros((2, 1), "f")]).shape == (2, 4)


def test_an_unknown_instruction_set_leaves_the_layer_unbuilt(monkeypatch):
    layer = LSTM(4)
    monkeypatch.setenv("RNNPACK_ISA", "abacus")
    with pytest.raises(ValueError, match="abacus"):
        layer(X)
    assert not layer.built
    monkeypatch.delenv("RNNPACK_ISA")
    assert layer(X).shape == (2, 4)


def test_a_spec_changed_by_the_user_is_obeyed_in_every_call():
    layer = LSTM(4)
    layer(X)
    layer.input_spec[0].shape = (None, 9, 3)
    with pytest.raises(ValueError, match="incompatible"):
        layer(X)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_called_layers_can_be_copied(copied):
    layer = Bidirectional(LSTM(4))
    want = layer(X)
    np.testing.assert_array_equal(copied(layer)(X), want)


@pytest.mark.parametrize("call", ["first", "later"])
def test_an_unknown_keyword_is_reported_in_the_same_words_in_every_call(call):
    layer = LSTM(4)
    if call == "later":
        layer(X)
    with pytest.raises(TypeError, match=r"^LSTM\.call\(\) got an unexpected keyword argument 'constants'$"):
        layer(X, constants=[X])


@pytest.mark.parametrize("look", [lambda layer: layer.weights, copy.deepcopy], ids=["weights", "copy"])
def test_attributes_may_be_set_for_the_first_time_while_others_are_looked_at(look):
    """As by a call in another thread, for which garbage collection makes room."""
    layer = Bidirectional(LSTM(3))
    layer(X)
    # Not without end: looking at more attributes makes more garbage, which makes more attributes.
    names = iter([f"_later_{i}" for i in range(2000)])
    before = gc.get_threshold()

    def collected(phase, info):
        name = next(names, None)
        if name is not None:
            vars(layer)[name] = 1

    gc.callbacks.append(collected)
    gc.set_threshold(1)
    try:
        for _ in range(20):
            look(layer)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(collected)
    assert hasattr(layer, "_later_0")
