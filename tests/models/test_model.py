"""Model: what it tells of itself, and what it may be called with."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

from rnnpack import GRU, LSTM, Bidirectional, Input, Layer, Masking, Model, Sequential, keras, layers

F = 3
X = np.random.default_rng(0).normal(size=(2, 5, F)).astype("f")


def two_inputs(**names):
    a, b = Input((None, F), name="a"), Input((4,), name="b")
    y, h = GRU(4, return_sequences=True, return_state=True, name="gru")(a, initial_state=b)
    return Model([a, b], {"y": layers.Dense(2, name="dense")(y), "h": h}, **names)


def test_a_model_tells_names_and_shapes():
    model = two_inputs(name="two")
    assert model.name == "two"
    assert model.input_names == ["a", "b"] and model.output_names == ["gru", "dense"]  # sorted by key
    assert model.input_shape == [(None, None, 3), (None, 4)]
    assert model.output_shape == {"h": (None, 4), "y": (None, None, 2)}
    assert [symbol.name for symbol in model.inputs] == ["a", "b"] and len(model.outputs) == 2
    assert [layer.name for layer in model.layers] == ["gru", "dense"]
    assert model.count_params() == 3 * 12 + 4 * 12 + 24 + 4 * 2 + 2
    assert set(model.explain()) == {"gru"} and model.explain()["gru"].native


def test_layers_are_found_by_name_and_place():
    model = two_inputs()
    assert model.get_layer("gru") is model.layers[0] is model.get_layer(index=0)
    assert model.get_layer(index=-1) is model.get_layer(name="dense")
    for wrong, message in (
        ({"name": "no"}, "No layer is named 'no'; there are"),
        ({"index": 2}, "`index` must be below 2, got 2"),
        ({}, "either"),
        ({"name": "gru", "index": 0}, "either"),
    ):
        with pytest.raises(ValueError, match=message):
            model.get_layer(**wrong)


def test_inputs_may_come_by_name():
    model = two_inputs()
    h = np.ones((2, 4), "f")
    want = model([X, h])
    for given in ({"a": X, "b": h}, (X, h)):
        got = model(given)
        np.testing.assert_array_equal(got["y"], want["y"])
    mask = np.arange(5) < [[2], [5]]
    np.testing.assert_array_equal(
        model({"a": X, "b": h}, mask={"a": mask})["h"], model([X, h], mask=[mask, None])["h"]
    )
    for given, message in (
        ({"a": X}, r"`inputs` lacks \['b'\]"),
        ({"a": X, "c": h}, r"`inputs` names \['c'\], but the model's inputs are \['a', 'b'\]"),
        ([X], "`inputs` must hold 2 inputs, got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            model(given)


def test_inputs_in_a_dict_keep_their_own_keys():
    a, b = Input((2,), name="first"), Input((2,), name="second")
    model = Model({"x": a, "y": b}, layers.Subtract()([a, b]))
    one, two = np.ones((1, 2), "f"), np.full((1, 2), 3, "f")
    for given in ({"x": one, "y": two}, {"first": one, "second": two}):
        np.testing.assert_array_equal(model(given), one - two)


def test_one_input_and_one_output_need_no_list():
    x = Input((None, F))
    model = Model([x], [LSTM(2)(x)])
    np.testing.assert_array_equal(model([X]), model(X))
    assert isinstance(model(X), np.ndarray) and model.output_shape == (None, 2)


def test_arrays_get_the_dtypes_of_inputs():
    x = Input((None,), dtype="int32")
    model = Model(x, layers.Embedding(9, 2)(x))
    np.testing.assert_array_equal(model(np.array([[1.0, 2.0]])), model(np.array([[1, 2]])))
    for wrong in (np.array([[1.5]]), np.array([["a"]]), np.array([[1j]])):
        with pytest.raises(ValueError, match=r'Input "input_.*" holds int32 numbers, got'):
            model(wrong)
    y = Input((None, 1))
    model = Model(y, LSTM(2)(y))
    np.testing.assert_array_equal(model(np.ones((2, 3), int)), model(np.ones((2, 3, 1), "f")))
    masked = Masking()(np.zeros((2, 3, 1)))  # float32 already
    wide = Input((None, 1), dtype="float64")
    inner = Model(wide, LSTM(2, dtype="float64")(wide))
    np.testing.assert_array_equal(inner(masked), np.zeros((2, 2)))  # the mask stays with the cast array


def test_the_same_layers_make_several_models():
    x = Input((None, F))
    shared = LSTM(4, return_sequences=True)
    hidden = shared(x)
    whole, part = Model(x, GRU(2)(hidden)), Model(x, hidden)
    rest = Model(hidden, GRU(2)(hidden))
    assert whole.layers[0] is part.layers[0] is shared
    np.testing.assert_array_equal(part(X), shared(X))
    assert rest.layers[0].name.startswith("gru") and rest(part(X)).shape == (2, 2)


@pytest.mark.parametrize("count", [2000])
def test_graphs_may_be_deep(count):
    class Same(Layer):
        def compute_output_shape(self, shape):
            return shape

    x = y = Input((2,))
    layer = Same()
    for _ in range(count):
        y = layer(y)
    model = Model(x, y)
    assert model.layers == [layer]
    np.testing.assert_array_equal(model(np.ones((1, 2), "f")), np.ones((1, 2)))
    again = Model.from_config(model.get_config(), {"Same": Same})
    assert again.get_config() == model.get_config()


def test_what_does_not_make_a_model_is_refused():
    x = Input((None, F))
    y = LSTM(2, name="twice")(x)
    for inputs, outputs, message in (
        (X, y, "must be symbolic arrays"),
        ([], y, "must be symbolic arrays"),
        (Input((2,)), y, "not among the `inputs`"),
        ([x, x], y, "the same symbolic array twice"),
        (x, [y, GRU(2, name="twice")(x)], 'The name "twice" is used twice'),
    ):
        with pytest.raises(ValueError, match=message):
            Model(inputs, outputs)


def test_weights_come_layer_by_layer():
    x = Input((None, F))
    first, second = LSTM(4, return_sequences=True), GRU(2)
    first.trainable = False
    model = Model(x, second(first(x)))
    assert model.weights == [*first.weights, *second.weights]
    assert model.trainable_weights == second.weights
    assert model.non_trainable_weights == first.weights
    model.extra = model.add_weight("extra", (2,))
    assert model.weights[-1] is model.extra


def test_nested_models_carry_masks_out():
    inner = Sequential([Masking(), LSTM(4, return_sequences=True)])
    x = Input((None, F))
    symbol = inner(x)
    assert symbol._keras_mask is not None
    layer = GRU(2)
    model = Model(x, layer(symbol))
    data = X.copy()
    data[0, 3:] = 0
    want = layer(inner.layers[1](data, mask=(data != 0).any(-1)))
    np.testing.assert_array_equal(model(data), want)
    assert model.explain().keys() == {f"{inner.name}/{inner.layers[1].name}", layer.name}
    np.testing.assert_array_equal(inner.compute_mask(data), (data != 0).any(-1))


def test_a_symbolic_mask_goes_through_a_nested_model():
    x, mask = Input((None, F)), Input((None,), dtype="bool")
    inner = Model(a := Input((None, F)), layers.Dense(F)(a))
    y = inner(x, mask=mask)
    assert y._keras_mask is not None
    model = Model([x, mask], LSTM(2)(y))
    keep = np.arange(5) < [[2], [5]]
    want = model.layers[1](np.asarray(inner(X)), mask=keep)
    np.testing.assert_array_equal(model([X, keep]), want)


def test_shapes_are_computed_for_other_inputs():
    model = two_inputs()
    assert model.compute_output_shape([(7, 5, 3), (7, 4)]) == {"h": (7, 4), "y": (7, 5, 2)}
    with pytest.raises(ValueError, match="must hold 2 shapes, got 1"):
        model.compute_output_shape((7, 5, 3))


def test_states_of_nested_models_are_reset_and_kept_on_error():
    x = Input(batch_shape=(2, None, F))
    inner = Model(x, LSTM(3, stateful=True)(x))
    y = Input(batch_shape=(2, None, F))

    class Failing(Layer):
        fail = False

        def call(self, inputs):
            if self.fail:
                raise KeyError("on purpose")
            return inputs

        def compute_output_shape(self, shape):
            return shape

    failing = Failing()
    model = Model(y, failing(inner(y)))
    model(X)
    before = np.array(inner.layers[0].states)
    assert before.any()
    failing.fail = True
    with pytest.raises(KeyError):
        model(X)
    with pytest.raises(KeyError):
        model.compute_mask(X)
    np.testing.assert_array_equal(inner.layers[0].states, before)
    model.reset_states()
    assert not np.any(inner.layers[0].states)


def test_copies_and_pickles_compute_the_same():
    model = two_inputs()
    data = [X, np.ones((2, 4), "f")]
    want = model(data)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin(data)["y"], want["y"])
        twin.layers[0].set_weights([w * 0 for w in twin.layers[0].get_weights()])
        assert not np.array_equal(twin(data)["y"], want["y"])
    np.testing.assert_array_equal(model(data)["y"], want["y"])


def test_deep_models_are_copied_and_pickled():
    x = y = Input((2,))
    for _ in range(600):
        y = layers.Activation("tanh")(y)
    model = Model(x, y)
    data = np.ones((1, 2), "f")
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin(data), model(data))
        np.testing.assert_array_equal(
            Model(twin.input, layers.Add()([twin.output] * 2))(data), 2 * model(data)
        )


def test_inputs_are_numbered_from_1():
    keras.backend.reset_uids()
    assert [Input((2,)).name, Input((2,), name="own").name, Input((2,)).name] == ["input_1", "own", "input_2"]


def test_precision_reaches_nested_layers():
    inner = Sequential([Bidirectional(LSTM(4, return_sequences=True))])
    x = Input((None, F))
    model = Model(x, GRU(2)(inner(x)))
    model.set_precision("bfloat16")
    assert model.precision == "bfloat16"
    assert {one.precision for one in model.explain().values()} == {"bfloat16"}
    with pytest.raises(ValueError, match="not for a Model"):
        model.set_precision("int8", calibration=X)


def test_many_threads_call_one_model():
    model = Sequential([Masking(), Bidirectional(LSTM(8, return_sequences=True)), layers.Dense(2)])
    results, errors = [], []
    barrier = threading.Barrier(8)

    def work(length):
        barrier.wait()
        try:
            for _ in range(20):
                results.append((length, model(X[:, :length])))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(2 + n % 4,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(results) == 160
    for length, result in results:
        np.testing.assert_array_equal(result, model(X[:, :length]))
