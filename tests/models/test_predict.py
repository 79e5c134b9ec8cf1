"""`predict`: rows of any length give what each gives alone."""

from __future__ import annotations

import numpy as np
import pytest
from predict_cases import F, close, padded, rows_of

from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, Input, Masking, Model, Sequential, layers
from rnnpack.models import predicting


def classifier():
    return Sequential([Bidirectional(LSTM(4, return_sequences=True)), GRU(5), layers.Dense(2, "softmax")])


def tagger():
    x = Input((None, F))
    y = Bidirectional(GRU(4, return_sequences=True))(x)
    y = layers.LayerNormalization()(y)
    tags = layers.TimeDistributed(layers.Dense(3))(y)
    return Model(x, [tags, layers.GlobalAveragePooling1D()(y)])


def test_rows_of_different_lengths_give_what_each_gives_alone(batches):
    model, rows = classifier(), rows_of([5, 1, 9, 3, 9, 2, 7])
    got = model.predict(rows, batch_size=3)
    assert got.shape == (7, 2)
    close(got, np.concatenate([model(row[None]) for row in rows]))
    assert [shape[0][1] for shape in batches] == [3, 9]  # of 1, 2, 3 and 5, 7, 9; then 9 alone


def test_native_rows_are_the_same_to_the_last_bit():
    model = Sequential([LSTM(6, return_sequences=True), GRU(5)])
    rows = rows_of([5, 1, 9, 3, 9, 2, 7])
    np.testing.assert_array_equal(
        model.predict(rows, batch_size=4), np.concatenate([model(r[None]) for r in rows])
    )


def test_outputs_with_a_time_axis_come_as_lists():
    model, rows = tagger(), rows_of([4, 2, 6])
    tags, mean = model.predict(rows)
    assert isinstance(tags, list) and [len(one) for one in tags] == [4, 2, 6] and mean.shape == (3, 8)
    for row, one, average in zip(rows, tags, mean, strict=True):
        want = model(row[None])
        close(one, want[0][0])
        close(average, want[1][0])


def test_a_layer_that_mixes_timesteps_gets_rows_of_one_length_only(batches):
    x = Input((None, F))
    model = Model(x, layers.GlobalMaxPooling1D()(LSTM(4, return_sequences=True)(x)))
    rows = rows_of([4, 2, 4, 2, 3])
    close(model.predict(rows), np.concatenate([model(row[None]) for row in rows]))
    assert batches == []


def test_tokens_come_as_lists_of_numbers():
    model = Sequential([layers.Embedding(20, 4), LSTM(3)])
    rows = [[1, 0, 3], [4], [0, 0, 7, 8, 9]]
    close(model.predict(rows), np.concatenate([model(np.array([row])) for row in rows]))


@pytest.mark.parametrize("mask_zero", [False, True])
def test_zeros_inside_rows_keep_their_meaning(mask_zero):
    model = Sequential([layers.Embedding(20, 4, mask_zero=mask_zero), LSTM(3, return_sequences=True)])
    rows = [np.array([1, 0, 3, 0]), np.array([0]), np.array([5, 0])]
    for got, row in zip(model.predict(rows), rows, strict=True):
        close(got, model(row[None])[0])


def test_several_inputs_with_lengths_of_their_own():
    a, b, h = Input((None, F), name="a"), Input((None, 2), name="b"), Input((4,), name="h")
    model = Model([a, b, h], {"y": GRU(4)(a, initial_state=h), "z": LSTM(3, return_sequences=True)(b)})
    first, second = rows_of([2, 5, 3]), rows_of([4, 1, 4], 2)
    start = np.random.default_rng(1).normal(size=(3, 4)).astype("f")
    got = model.predict({"a": first, "b": second, "h": start})
    for i in range(3):
        want = model([first[i][None], second[i][None], start[i : i + 1]])
        close(got["y"][i], want["y"][0])
        close(got["z"][i], want["z"][0])
    listed = model.predict([first, second, list(start)])
    np.testing.assert_array_equal(got["y"], listed["y"])


def test_inputs_of_the_same_rows_are_joined():
    words, tags = Input((None,), dtype="int32"), Input((None, F))
    y = layers.Concatenate()([layers.Embedding(9, 4)(words), tags])
    model = Model([words, tags], LSTM(3)(y))
    rows = rows_of([3, 5, 1])
    tokens = [np.arange(len(row)) for row in rows]
    got = model.predict([tokens, rows])
    close(got, np.concatenate([model([t[None], r[None]]) for t, r in zip(tokens, rows, strict=True)]))


def test_models_inside_models(batches):
    inner = Sequential([Masking(), LSTM(4, return_sequences=True), layers.Dropout(0.5)], name="inner")
    x = Input((None, F))
    model = Model(x, GRU(3)(inner(x)))
    rows = rows_of([4, 2, 6])
    close(model.predict(rows), np.concatenate([model(row[None]) for row in rows]))
    assert len(batches) == 2  # the model and the inner one


def test_cells_of_ones_own():
    class Cell(GRUCell):
        pass

    model = Sequential([RNN(Cell(4))])
    rows = rows_of([4, 2, 6])
    close(model.predict(rows), np.concatenate([model(row[None]) for row in rows]))


def test_rows_that_do_not_belong_together_are_refused_as_each_is_alone():
    a, b = Input((None, F)), Input((None, F))
    model = Model([a, b], LSTM(2)(layers.Add()([a, b])))
    with pytest.raises(ValueError):
        model.predict([rows_of([2, 3]), rows_of([3, 2])])
    assert model.predict([rows_of([2, 3]), rows_of([2, 3])]).shape == (2, 2)


# States, order, errors.


def test_stateful_models_keep_the_order_of_rows():
    x = Input(batch_shape=(2, None, F))
    layer = LSTM(3, stateful=True)
    model = Model(x, layer(x))
    rows = rows_of([3, 1, 2, 4])
    got = model.predict(rows, batch_size=2)
    model.reset_states()
    for start in (0, 2):
        mask = np.arange(max(map(len, rows[start : start + 2]))) < [[len(r)] for r in rows[start : start + 2]]
        close(got[start : start + 2], layer(padded(rows[start : start + 2]), mask=mask))
    with pytest.raises(ValueError, match="full batches"):
        model.predict(rows_of([2, 2, 2]), batch_size=2)


def test_a_stateful_model_that_cannot_tell_padding_apart_needs_rows_of_one_length():
    x = Input(batch_shape=(2, None, F))
    model = Model(x, layers.GlobalMaxPooling1D()(LSTM(3, stateful=True, return_sequences=True)(x)))
    assert model.predict(rows_of([3, 3, 2, 2]), batch_size=2).shape == (4, 3)
    with pytest.raises(ValueError, match="stateful model whose layers cannot"):
        model.predict(rows_of([3, 2]), batch_size=2)


def test_a_failing_call_leaves_states_and_layers_as_they_were():
    x = Input(batch_shape=(1, None, F))
    layer = LSTM(3, stateful=True)
    model = Model(x, layer(x))
    model.predict(rows_of([2]))
    before = [np.array(one) for one in layer.states]
    with pytest.raises(ValueError, match="at least one timestep"):
        model.predict([*rows_of([2]), np.zeros((0, F), "f")], batch_size=1)
    np.testing.assert_array_equal(layer.states, before)
    fresh = Sequential([LSTM(3), layers.Dense(2)])
    with pytest.raises(ValueError):
        fresh.predict([np.zeros((2, F)), np.zeros((2, F + 1))])
    assert not fresh.built and not fresh.layers[0].built


def test_a_sequential_model_is_built_by_its_first_rows_and_then_accepts_others():
    model = Sequential([LSTM(3)])
    model.predict(rows_of([4, 4]))
    assert model.input_shape == (None, 4, F)
    assert model.predict(rows_of([4, 2])).shape == (2, 3)
    assert model.input_shape == (None, None, F)
    assert Sequential([LSTM(3)]).predict(rows_of([4])).shape == (1, 3)
    assert Sequential([LSTM(3)]).predict(np.zeros((2, 4, F))).shape == (2, 3)
    with pytest.raises(ValueError, match="as many axes each"):
        Sequential([LSTM(3)]).predict([np.zeros((2, 3)), np.zeros(2)])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            [np.zeros((2, F)), np.zeros((2, F + 1))],
            r"Row 1 of input \"x\" must be numbers of shape \(None, 3\)",
        ),
        ([np.zeros((2, F)), np.zeros((0, F))], 'Row 1 of input "x" must have at least one timestep'),
        ([np.zeros((2, F)), "text"], "Row 1"),
        ([[[1, 2, 3], [4]]], "Row 0"),
        ([], "no rows"),
        (3.0, "must have rows"),
        ({"y": np.zeros((1, 2, F))}, r"must have the inputs \['x'\]"),
        ({"x": np.zeros((1, 2, F)), "y": 0}, "must have the inputs"),
    ],
)
def test_rows_that_do_not_fit_are_named(x, message):
    inputs = Input((None, F), name="x")
    model = Model(inputs, LSTM(3)(inputs))
    with pytest.raises(ValueError, match=message):
        model.predict(x)


def test_numbers_of_rows_and_structures_must_agree():
    a, b = Input((None, F), name="a"), Input((2,), name="b")
    model = Model([a, b], [LSTM(2)(a), layers.Dense(2)(b)])
    with pytest.raises(ValueError, match=r"one number of rows.*\[2, 3\]"):
        model.predict([rows_of([1, 2]), np.zeros((3, 2))])
    with pytest.raises(ValueError, match="structure of the model's 2 inputs, got 3"):
        model.predict([rows_of([1]), np.zeros((1, 2)), 0])
    with pytest.raises(ValueError, match="structure of the model's 2 inputs, got a ndarray"):
        model.predict(np.zeros((1, 2)))
    for wrong in (0, -1, 2.5, "8"):
        with pytest.raises(ValueError, match="`batch_size` be positive"):
            model.predict([rows_of([1]), np.zeros((1, 2))], batch_size=wrong)
    with pytest.raises(ValueError, match="`verbose` must be"):
        model.predict([rows_of([1]), np.zeros((1, 2))], verbose="loud")
    assert model.predict([rows_of([1]), np.zeros((1, 2))], batch_size=None, verbose=0)[0].shape == (1, 2)


@pytest.mark.parametrize("shape", [(3, 10, F), (3, 9, F + 1), (3, F), (3, 9, F, 1)])
def test_arrays_that_do_not_fit_are_refused_though_padding_is_cut(shape):
    x = Input((9, F))
    model = Model(x, LSTM(2)(Masking()(x)))
    with pytest.raises(ValueError, match=r"incompatible.*expected rows of shape \(9, 3\)"):
        model.predict(np.zeros(shape))
    with pytest.raises(ValueError):
        model.predict([np.zeros(shape)])


def test_single_numbers_and_last_axes_of_size_one():
    x = Input((None, 1), name="x")
    model = Model(x, LSTM(2)(x))
    rows = [np.arange(3.0), np.arange(2.0)]
    np.testing.assert_array_equal(model.predict(rows), model.predict([row[:, None] for row in rows]))
    np.testing.assert_array_equal(model.predict(np.ones((2, 3))), model.predict(np.ones((2, 3, 1))))
    np.testing.assert_array_equal(model.predict([np.ones((2, 3, 1))]), model.predict(np.ones((2, 3, 1))))
    objects = np.empty(2, object)
    objects[:] = rows
    np.testing.assert_array_equal(model.predict(objects), model.predict(rows))


def test_no_rows_give_empty_arrays():
    x = Input((None, F))
    model = Model(x, LSTM(2)(x))
    assert model.predict(np.zeros((0, 4, F), "f")).shape == (0, 2)


def test_progress_counts_the_rows(monkeypatch):
    counted = []

    class Line:
        def __init__(self, *given):
            self.given = given

        def __enter__(self):
            counted.append(self.given)
            return self

        def __exit__(self, *_):
            pass

        def advance(self, n):
            counted.append(n)

    monkeypatch.setattr(predicting, "progress", Line)
    x = Input((None, F))
    model = Model(x, LSTM(2)(x))
    for verbose, rows, shown in (("auto", 5, True), ("auto", 2, False), (1, 2, True), (0, 5, False)):
        counted.clear()
        model.predict(np.zeros((rows, 2, F), "f"), batch_size=2, verbose=verbose)
        assert counted[0] == (rows, "predict", "rows", shown) and sum(counted[1:]) == rows


def test_a_model_with_a_call_of_its_own_is_called():
    class Doubling(Model):
        def call(self, inputs, training=None, mask=None):
            return 2 * super().call(inputs, training, mask)

    x = Input((None, F))
    layer = LSTM(2)
    model = Doubling(x, layer(Masking()(x)))
    rows = rows_of([3, 2])
    close(model.predict(rows), np.concatenate([2 * layer(row[None]) for row in rows]))
    close(model.predict(padded(rows, 6)), model(padded(rows, 6)))


def test_a_padded_array_without_timesteps_is_named():
    tokens = Input((None,), dtype="int32")
    model = Model(tokens, LSTM(2)(layers.Embedding(5, 3, mask_zero=True)(tokens)))
    with pytest.raises(ValueError, match="timestep"):
        model.predict(np.zeros((2, 0), "i"))


@pytest.mark.parametrize(
    "token", [np.int64(2**32 + 1), np.uint64(2**63), np.float64(2.0**33), np.inf, -(2.0**31) - 1]
)
def test_tokens_that_do_not_fit_their_dtype_do_not_wrap_around(token):
    tokens = Input((None,), dtype="int32")
    model = Model(tokens, LSTM(2)(layers.Embedding(5, 3)(tokens)))
    for call in (model, model.predict):
        with pytest.raises(ValueError, match="do not fit"):
            call(np.array([[token, token]]))
