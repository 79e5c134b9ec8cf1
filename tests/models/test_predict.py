"""`predict`: rows of any length give what each gives alone, padding is cut where that cannot show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, Input, Masking, Model, Sequential, layers
from rnnpack.models import padding, predicting

F = 3


def rows_of(lengths, features=F, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, features)).astype("f") for length in lengths]


def padded(rows, length=None, value=0.0):
    array = np.full((len(rows), length or max(map(len, rows)), *rows[0].shape[1:]), value, "f")
    for target, row in zip(array, rows, strict=True):
        target[: len(row)] = row
    return array


def close(got, want, terms=64):
    """Equal up to the rounding of `terms` products, whose sums a library may order by the batch's shape.

    Values of these models are of the order of 1, each passes through some layers that add up to `terms`
    products of such values and have slopes of at most 1: every sum errs by at most terms * eps / 2.
    """
    if isinstance(want, (list, tuple)):
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            close(one, other, terms)
        return
    assert got.shape == want.shape and got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=0, atol=4 * terms * np.finfo("f").eps)


@pytest.fixture
def batches(monkeypatch):
    """The shapes in which the first layer's inputs arrive."""
    seen = []
    original = padding.Plan.run

    def run(self, inputs, masks):
        seen.append([np.shape(value) for value in rnnpack.engine.nest.flatten(inputs)])
        return original(self, inputs, masks)

    monkeypatch.setattr(padding.Plan, "run", run)
    return seen


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


# Arrays with padding.


def masked_models():
    x = Input((None, F))
    m = Masking()(x)
    y = Bidirectional(LSTM(4, return_sequences=True))(m)
    yield Model(x, [layers.Dense(2, "sigmoid")(y), GRU(3)(y)])
    yield Model(x, LSTM(4, return_sequences=True, return_state=True)(m))
    y = GRU(4, return_sequences=True)(layers.Concatenate()([m, layers.Dense(2)(x)]))
    yield Model(x, layers.GlobalAveragePooling1D()(y))
    fixed = Input((9, F))
    yield Model(fixed, Sequential([Masking(), GRU(3, return_sequences=True)])(fixed))


@pytest.mark.parametrize("index", range(4))
def test_cutting_trailing_padding_changes_nothing(index, batches):
    model = list(masked_models())[index]
    rows = rows_of([2, 8, 1, 3, 2, 4])
    rows[3][1] = 0  # a masked step inside
    x = padded(rows, 9)
    x = np.concatenate([x, np.zeros((1, 9, F), "f")])  # a row of padding only
    if index == 2:
        x = x[:-1]  # whose mean would be that of nothing
    close(model.predict(x, batch_size=2), model(x))
    assert min(shape[0][1] for shape in batches) < 9


def test_tokens_with_padding_are_cut_for_a_model_with_a_fixed_length(batches):
    x = Input((12,), dtype="int32")
    y = layers.Embedding(50, 4, mask_zero=True, input_length=12)(x)
    model = Model(x, [LSTM(3, return_sequences=True)(y), LSTM(3)(y)])
    tokens = np.zeros((6, 12), "int32")
    for row, length in enumerate([3, 1, 12, 5, 2, 0]):
        tokens[row, :length] = np.arange(1, length + 1)
    close(model.predict(tokens, batch_size=2), model(tokens))
    assert [shape[0][1] for shape in batches] == [2, 4, 12]


@pytest.mark.parametrize(
    "tail",
    [
        lambda x, m: GRU(3)(layers.Concatenate()([layers.Dense(2)(x), layers.Identity()(m)])),
        lambda x, m: layers.GlobalMaxPooling1D()(m),
        lambda x, m: GRU(3)(m, mask=None),
        lambda x, m: GRU(3)(x),
        lambda x, m: layers.Attention()([m, m]) if hasattr(layers, "Attention") else GRU(3)(x),
        lambda x, m: layers.Activation(lambda v: v / v.shape[1])(m),
        lambda x, m: layers.LayerNormalization(axis=[1, 2])(m) if x.shape[1] else GRU(3)(x),
        lambda x, m: layers.Conv1D(2, 2)(m),
        lambda x, m: GRU(3, go_backwards=True, return_sequences=True)(m),
        lambda x, m: layers.Dropout(0.5)(m, training=False),
        lambda x, m: layers.Flatten()(m) if x.shape[1] else GRU(3)(x),
    ],
)
@pytest.mark.parametrize("time", [None, 9])
def test_what_is_not_known_to_be_safe_is_computed_in_full(tail, time):
    x = Input((time, F))
    model = Model(x, tail(x, Masking()(x)))
    data = padded(rows_of([2, 8, 1, 3]), 9)
    close(model.predict(data, batch_size=2), model(data))


@pytest.mark.parametrize(
    "make",
    [
        lambda x, h: LSTM(4, return_sequences=True)(x, initial_state=[GRU(4)(x), h]),
        lambda x, h: LSTM(4, return_sequences=True)([x, GRU(4)(x), h]),
        lambda x, h: layers.Dense(2, lambda v: v / v.shape[1])(x),
        lambda x, h: layers.TimeDistributed(layers.Masking())(layers.Reshape((-1, 3, 1))(x)),
        lambda x, h: layers.TimeDistributed(LSTM(2))(layers.Reshape((-1, 3, 1))(x)),
        lambda x, h: layers.Concatenate(axis=1)([x, x]),
        lambda x, h: layers.Add()([x, layers.RepeatVector(1)(layers.Dense(F)(h))]),
        lambda x, h: layers.BatchNormalization(axis=1)(x) if x.shape[1] else x,
        lambda x, h: layers.Rescaling(np.ones((1, 3)), 1.0)(x),
        lambda x, h: LSTM(2)(x, mask=layers.Masking()(x)._keras_mask),
        lambda x, h: layers.GlobalAveragePooling1D(data_format="channels_first")(x) if x.shape[1] else x,
        lambda x, h: Sequential([layers.Permute((2, 1)), layers.Permute((2, 1))])(x),
        lambda x, h: GRU(4)(x, initial_state=h),
    ],
)
def test_no_graph_is_taken_for_safer_than_it_is(make):
    x, h = Input((None, F)), Input((4,))
    model = Model([x, h], [make(x, h), layers.Dense(1)(h)])
    rows, start = rows_of([2, 5, 3, 2]), np.ones((4, 4), "f")
    rows[1][2] = 0
    got = model.predict([rows, start])
    for place, row in enumerate(rows):
        close(np.asarray(got[0][place]), np.asarray(model([row[None], start[:1]])[0][0]))
    data = padded(rows, 8)
    close(model.predict([data, start], batch_size=2), model([data, start]))


def test_a_layer_whose_call_was_replaced_is_not_trusted():
    x = Input((None, F))
    layer = layers.Dense(2)
    model = Model(x, layer(Masking()(x)))
    layer.call = lambda inputs: np.cumsum(inputs[..., :2][:, ::-1], axis=1)
    rows = rows_of([2, 5])
    for got, row in zip(model.predict(rows), rows, strict=True):
        close(got, np.asarray(model(row[None])[0]))


def test_a_second_input_without_padding_of_its_own():
    a, b = Input((None, F)), Input((None, 2))
    y = layers.Concatenate()([Masking()(a), b])
    model = Model([a, b], LSTM(3, return_sequences=True)(y))
    x = padded(rows_of([2, 5, 1]), 7)
    other = np.random.default_rng(1).normal(size=(3, 7, 2)).astype("f")
    close(model.predict([x, other], batch_size=2), model([x, other]))
    model = Model([a, b], [LSTM(3)(Masking()(a)), GRU(2)(b)])
    close(model.predict([x, other], batch_size=2), model([x, other]))
    model = Model([a, b], [LSTM(3)(Masking()(a)), layers.Dense(2)(b)])
    close(model.predict([x, other], batch_size=2), model([x, other]))


# Random graphs.


@st.composite
def chains(draw):
    """A model of random layers in a row with a branch, and rows for it."""
    x = Input((None, F))
    values = [Masking(mask_value=draw(st.sampled_from([0.0, 0.5])))(x) if draw(st.booleans()) else x]
    for _ in range(draw(st.integers(1, 5))):
        value = draw(st.sampled_from(values))
        other = draw(st.sampled_from(values))
        make = draw(
            st.sampled_from(
                [
                    lambda v, o: LSTM(4, return_sequences=True)(v),
                    lambda v, o: GRU(3, return_sequences=True, zero_output_for_mask=True)(v),
                    lambda v, o: Bidirectional(GRU(2, return_sequences=True), merge_mode="sum")(v),
                    lambda v, o: layers.Dense(3, "relu")(v),
                    lambda v, o: layers.TimeDistributed(layers.Dense(2))(v),
                    lambda v, o: layers.Concatenate()([v, o]),
                    lambda v, o: layers.Identity()(v),
                    lambda v, o: layers.Rescaling(0.5, 0.1)(v),
                    lambda v, o: layers.ZeroPadding1D(1)(v),
                    lambda v, o: layers.LayerNormalization()(v),
                    lambda v, o: layers.BatchNormalization()(v),
                ]
            )
        )
        if value.shape[1] is None and other is not None:
            values.append(make(value, other if len(values) == 1 else value))
    last = values[-1]
    model = Model(x, [last, GRU(2, return_state=draw(st.booleans()))(last)])
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    rows = rows_of(lengths, seed=draw(st.integers(0, 99)))
    for row in rows:
        row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from([0.0, 0.5, 1.0]))
    return model, rows


@settings(max_examples=60, deadline=None)
@given(chains(), st.integers(1, 4))
def test_random_models_predict_rows_as_they_predict_each(case, batch_size):
    model, rows = case
    flat = rnnpack.engine.nest.flatten
    results = model.predict(rows, batch_size=batch_size)
    single = [flat(model(row[None])) for row in rows]
    outputs = [results[0], *flat(results[1])]
    for place, output in enumerate(outputs):
        for got, want in zip(output, single, strict=True):
            close(np.asarray(got), np.asarray(want[place][0]), 200)


@settings(max_examples=60, deadline=None)
@given(chains(), st.integers(1, 4))
def test_random_models_predict_padded_arrays_as_they_compute_them(case, batch_size):
    model, rows = case
    x = padded(rows, 9, value=0.5 if any(getattr(one, "mask_value", 0) for one in model.layers) else 0.0)
    flat = rnnpack.engine.nest.flatten
    for got, want in zip(flat(model.predict(x, batch_size=batch_size)), flat(model(x)), strict=True):
        close(got, np.asarray(want), 200)


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
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="`batch_size` be positive"):
            model.predict([rows_of([1]), np.zeros((1, 2))], batch_size=wrong)
    with pytest.raises(ValueError, match="`verbose` must be"):
        model.predict([rows_of([1]), np.zeros((1, 2))], verbose="loud")
    assert model.predict([rows_of([1]), np.zeros((1, 2))], batch_size=None, verbose=0)[0].shape == (1, 2)


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
