"""`predict`: padding is cut off where that cannot show, in models of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predict_cases import F, WithConstants, close, padded, rows_of

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, Input, Masking, Model, Sequential, layers


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
        lambda x, m: [GRU(3)(Masking()(layers.Dense(2, bias_initializer="ones")(x))), GRU(2)(m)],
        lambda x, m: RNN(WithConstants(2))(m, constants=[layers.Dense(2)(m)]),
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
