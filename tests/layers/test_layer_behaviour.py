"""What layers that are not recurrent do beside numbers: training, masks in models, threads, other names."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rnnpack import GRU, LSTM, Input, Masking, Model, keras, layers, random
from rnnpack.layers import masked

RNG = np.random.default_rng(5)
X = RNG.normal(size=(2, 5, 3)).astype("f")
MASK = np.array([[True, True, True, False, False], [True] * 5])
BIG = np.ones((64, 50, 20), "f")

RANDOM = [
    (layers.Dropout, {"rate": 0.25}),
    (layers.SpatialDropout1D, {"rate": 0.25}),
    (layers.GaussianNoise, {"stddev": 0.5}),
    (layers.GaussianDropout, {"rate": 0.25}),
    (layers.AlphaDropout, {"rate": 0.25}),
]


@pytest.mark.parametrize(("cls", "config"), RANDOM)
def test_random_layers_change_inputs_in_training_only(cls, config):
    layer = cls(**config)
    np.testing.assert_array_equal(layer(BIG), BIG)
    first, second = layer(BIG, training=True), layer(BIG, training=True)
    assert first.dtype == np.float32 and not np.array_equal(first, second)
    # 64000 draws (1280 features): 6 standard errors; the spread of each is below 0.6.
    draws = 1280 if cls is layers.SpatialDropout1D else BIG.size
    if cls is not layers.AlphaDropout:
        assert abs(first.mean() - 1) < 6 * 0.6 / np.sqrt(draws)


@pytest.mark.parametrize(("cls", "config"), RANDOM)
def test_a_seed_fixes_what_a_layer_draws(cls, config):
    same = [cls(**config, seed=7)(BIG, training=True) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    layer = cls(**config, seed=7)
    assert not np.array_equal(layer(BIG, training=True), layer(BIG, training=True))
    np.testing.assert_array_equal(copy.deepcopy(layer)(BIG, training=True), layer(BIG, training=True))
    drawn = []
    for _ in range(2):
        random.set_seed(3)
        drawn.append(cls(**config)(BIG, training=True))
    np.testing.assert_array_equal(*drawn)


def test_spread_of_what_random_layers_draw():
    noise = layers.GaussianNoise(0.5)(BIG, training=True)
    factors = layers.GaussianDropout(0.2)(BIG, training=True)
    # The standard error of a standard deviation s is s / sqrt(2 n).
    for values in (noise, factors):  # sqrt(0.2 / 0.8) is 0.5 as well
        assert abs(values.std() - 0.5) < 6 * 0.5 / np.sqrt(2 * BIG.size)
    normal = RNG.normal(size=BIG.shape).astype("f")
    kept = layers.AlphaDropout(0.3)(normal, training=True)
    assert abs(kept.mean()) < 6 / np.sqrt(BIG.size) and abs(kept.std() - 1) < 6 * 2 / np.sqrt(BIG.size)
    shared = layers.AlphaDropout(0.3, noise_shape=(64, 1, 20))(BIG, training=True)
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[:, :1], BIG.shape))


def test_dropped_elements_are_zero_and_the_rest_is_scaled_up():
    dropped = layers.Dropout(0.25)(BIG, training=True)
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    shared = layers.SpatialDropout1D(0.5)(BIG, training=True)
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[:, :1], BIG.shape))
    shared = layers.Dropout(0.5, noise_shape=(None, 1, 20))(BIG, training=True)
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[:, :1], BIG.shape))
    assert not layers.Dropout(1.0)(BIG, training=True).any()
    for untouched in (layers.Dropout(0.0), layers.GaussianDropout(0), layers.AlphaDropout(1)):
        np.testing.assert_array_equal(untouched(BIG, training=True), BIG)


def test_attention_drops_weights_in_training():
    for layer, inputs in (
        (layers.Attention(dropout=0.5), [X, X]),
        (layers.MultiHeadAttention(2, 3, dropout=0.5), X),
    ):
        value = () if isinstance(inputs, list) else (X,)
        assert not np.array_equal(layer(inputs, *value), layer(inputs, *value, training=True))
        np.testing.assert_array_equal(layer(inputs, *value), layer(inputs, *value))


def test_activity_regularization_adds_a_loss():
    layer = layers.ActivityRegularization(l1=0.1, l2=0.2)
    layer(X)
    expected = (0.1 * np.abs(X).sum() + 0.2 * np.square(X).sum()) / 2
    np.testing.assert_allclose(layer.losses, [expected], rtol=1e-5)
    dense = layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l2")
    dense(X)
    assert len(dense.losses) == 2


def test_embeddings_without_masks_or_rows():
    layer = layers.Embedding(4, 2, input_shape=(3,))
    assert layer.compute_mask(np.zeros((2, 3))) is None
    assert layer(np.zeros((0, 3), int)).shape == (0, 3, 2)
    assert layer.get_config()["batch_input_shape"] == (None, 3)


def test_normalizations_without_learned_weights():
    for layer in (layers.GroupNormalization(3), layers.LayerNormalization(), layers.BatchNormalization()):
        plain = type(layer).from_config({**layer.get_config(), "center": False, "scale": False})
        np.testing.assert_array_equal(plain(X), layer(X))
        assert not plain.trainable_weights


def test_masks_flow_from_an_embedding_through_a_model():
    words = np.array([[1, 2, 0, 0], [3, 1, 4, 2]])
    inputs = Input((None,), dtype="int32")
    embedding, dense, recurrent = layers.Embedding(6, 3, mask_zero=True), layers.Dense(3), LSTM(4)
    hidden = embedding(inputs)
    both = layers.Add()([hidden, layers.Dropout(0.5)(dense(hidden))])
    wide = layers.Concatenate()([both, layers.LayerNormalization()(both)])
    assert wide._keras_mask.shape == (None, None)
    features = layers.TimeDistributed(layers.Dense(2))(wide)
    model = Model(inputs, recurrent(features))
    short = model(words[:1, :2])
    np.testing.assert_allclose(model(words)[:1], short, rtol=0, atol=8 * np.finfo("f").eps)
    padding_counts = recurrent(np.asarray(Model(inputs, features)(words)))
    assert np.abs(padding_counts[:1] - short).max() > 1e-5


@pytest.mark.parametrize(
    "layer",
    [layers.Flatten(), layers.Reshape((15,)), layers.Conv1D(2, 2), layers.Permute((2, 1)), layers.Identity()],
)
def test_masks_end_where_keras_ends_them(layer):
    inputs = Masking()(X)
    assert inputs._keras_mask is not None
    assert getattr(layer(inputs), "_keras_mask", None) is None
    assert layer(Masking()(Input((5, 3))))._keras_mask is None
    with pytest.raises(TypeError, match="does not support masking"):
        layer.compute_mask(X, MASK)


def test_symbolic_masks_of_joined_inputs():
    first, second = Masking()(Input((5, 3))), Masking()(Input((None, 3)))
    assert layers.Add()([first, first])._keras_mask.shape == (None, 5)
    assert layers.Concatenate(axis=1)([first, second])._keras_mask.shape == (None, None)
    assert layers.Concatenate()([first, Input((5, 2))])._keras_mask.shape == (None, 5)
    assert layers.Concatenate()([Input((5, 2)), Input((5, 2))])._keras_mask is None
    assert layers.Add()([Input((5, 2)), Input((5, 2))])._keras_mask is None
    assert layers.Dot(1)([first, first])._keras_mask is None
    assert layers.GlobalAveragePooling1D()(first)._keras_mask is None
    assert layers.Attention()([first, second])._keras_mask.shape == (None, 5)
    result, scores = layers.MultiHeadAttention(2, 3)(first, second, return_attention_scores=True)
    assert result._keras_mask.shape == (None, 5) and scores._keras_mask is None
    assert scores.shape == (None, 2, 5, None)
    _, scores = layers.Attention()([first, second], return_attention_scores=True)
    assert scores.shape == (None, 5, None)


def test_concatenation_in_time_with_an_unmasked_input():
    joined = layers.Concatenate(axis=1)([masked.carrying(X, MASK), X])
    np.testing.assert_array_equal(joined._keras_mask, np.concatenate([MASK, np.ones_like(MASK)], axis=1))


def test_multi_head_attention_heeds_the_masks_its_inputs_carry_in_a_model():
    words = np.array([[1, 2, 0, 0], [3, 1, 4, 2]])
    inputs = Input((4,), dtype="int32")
    hidden = layers.Embedding(6, 3, mask_zero=True)(inputs)
    model = Model(inputs, layers.MultiHeadAttention(2, 3)(hidden, hidden))
    full = model(words)
    assert full._keras_mask.tolist() == (words != 0).tolist()
    small = Input((2,), dtype="int32")
    part = layers.Embedding(6, 3, mask_zero=True)
    attention = layers.MultiHeadAttention(2, 3)
    hidden = part(small)
    shorter = Model(small, attention(hidden, hidden))
    part.set_weights(model.layers[0].get_weights())
    attention.set_weights(model.layers[1].get_weights())
    np.testing.assert_allclose(full[:1, :2], shorter(words[:1, :2]), rtol=0, atol=32 * np.finfo("f").eps)


def test_global_average_of_nothing_is_nan_as_in_keras():
    mask = np.array([[False] * 5, [True] * 5])
    result = layers.GlobalAveragePooling1D()(X, mask=mask)
    assert np.isnan(result[0]).all() and not np.isnan(result[1]).any()


def test_time_distributed_stateful_layers_go_step_by_step():
    inner = GRU(3, stateful=True)
    layer = layers.TimeDistributed(inner)
    steps = RNG.normal(size=(2, 4, 5, 3)).astype("f")
    got = layer(steps)
    again = GRU(3, stateful=True)
    again(steps[:, 0])
    again.set_weights(inner.get_weights())
    again.reset_states()
    expected = np.stack([again(steps[:, step]) for step in range(4)], axis=1)
    np.testing.assert_array_equal(got, expected)

    inner.reset_states()
    kept = np.array([[False, True, False, True], [True] * 4])
    marked = layer(masked.carrying(steps, kept))
    assert not marked[0, 0].any()
    np.testing.assert_array_equal(marked[0, 2], marked[0, 1])
    np.testing.assert_array_equal(marked[1], expected[1])
    np.testing.assert_array_equal(marked._keras_mask, kept)


def test_time_distributed_layers_of_the_users():
    class Sums(layers.Layer):
        def call(self, inputs):
            return inputs["a"].sum(axis=-1) + inputs["b"]

    layer = layers.TimeDistributed(Sums(), trainable=False)
    assert not layer.layer.trainable
    given = {"a": X, "b": np.ones((2, 5), "f")}
    with pytest.raises(ValueError, match="at least 3 axes"):
        layer(given)
    given = {"a": X[..., None, :], "b": np.ones((2, 5, 1), "f")}
    np.testing.assert_array_equal(layer(given), X[..., None, :].sum(axis=-1) + 1)
    symbolic = layers.TimeDistributed(Sums())({"a": Input((5, 1, 3)), "b": Input((5, 1))})
    assert symbolic.shape == (None, 5, 1)
    rebuilt = layers.deserialize(layers.serialize(layer), custom_objects={"Sums": Sums})
    np.testing.assert_array_equal(rebuilt(given), layer(given))


def test_time_distributed_masks():
    flags = np.array([[[True, False], [False, False], [True, True]]] * 2)
    x = RNG.normal(size=(2, 3, 2, 4)).astype("f")
    layer = layers.TimeDistributed(LSTM(3))
    np.testing.assert_array_equal(layer(masked.carrying(x, flags))._keras_mask, flags.any(axis=-1))
    np.testing.assert_array_equal(layer(x, mask=flags)[:, 2], layer(x)[:, 2])
    symbol = Masking()(Input((3, 2, 4)))
    assert layers.TimeDistributed(LSTM(3))(symbol)._keras_mask.shape == (None, 3)
    assert layers.TimeDistributed(LSTM(3, return_sequences=True))(symbol)._keras_mask.shape == (None, 3, 2)


def test_functions_and_other_names_under_keras():
    names = keras.layers
    pair = [X, X + 1]
    for function, cls in (
        (names.add, names.Add), (names.subtract, names.Subtract), (names.multiply, names.Multiply),
        (names.average, names.Average), (names.maximum, names.Maximum), (names.minimum, names.Minimum),
    ):  # fmt: skip
        np.testing.assert_array_equal(function(pair), cls()(pair))
    np.testing.assert_array_equal(names.concatenate(pair, axis=1), np.concatenate(pair, axis=1))
    np.testing.assert_array_equal(names.dot(pair, axes=2), names.Dot(2)(pair))
    assert names.add([Input((5, 3))] * 2, name="sum").name == "sum"
    assert names.Convolution1D is names.Conv1D and names.SeparableConvolution1D is names.SeparableConv1D
    assert names.MaxPool1D is names.MaxPooling1D and names.AvgPool1D is names.AveragePooling1D
    assert names.GlobalMaxPool1D is names.GlobalMaxPooling1D
    assert names.GlobalAvgPool1D is names.GlobalAveragePooling1D


def test_layers_are_imported_when_they_are_asked_for():
    code = (
        "import sys, rnnpack\n"
        "assert 'rnnpack.layers.dense' not in sys.modules\n"
        "assert 'Dense' in dir(rnnpack.layers) and 'Dense' in dir(rnnpack.keras.layers)\n"
        "from rnnpack.keras.layers import *\n"
        "assert Dense is rnnpack.layers.Dense and MaxPool1D is MaxPooling1D and callable(add)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for module in (layers, keras.layers):
        assert all(callable(getattr(module, name)) for name in module.__all__)
        with pytest.raises(AttributeError, match="has no attribute 'Conv9D'"):
            module.Conv9D  # noqa: B018


def test_whole_numbers_stay_whole_where_nothing_is_computed():
    whole = np.arange(30).reshape(2, 5, 3)
    for layer in (
        layers.Flatten(), layers.Reshape((3, 5)), layers.Permute((2, 1)), layers.ZeroPadding1D(),
        layers.UpSampling1D(), layers.Cropping1D(), layers.MaxPooling1D(padding="same", pool_size=3),
    ):  # fmt: skip
        assert layer(whole).dtype == whole.dtype
        assert layer(Input((5, 3), dtype="int64")).dtype == whole.dtype
    flags = whole % 2 == 0
    assert layers.MaxPooling1D(3, 1, "same")(flags).dtype == bool
    for layer in (
        layers.Conv1D(2, 2),
        layers.AveragePooling1D(),
        layers.Dense(2),
        layers.LayerNormalization(),
    ):
        np.testing.assert_array_equal(layer(whole), layer(whole.astype("f")))
        assert layer(whole).dtype == np.float32


def test_activations_may_be_layers():
    for activation in (
        "PReLU", {"class_name": "LeakyReLU", "config": {"alpha": 0.2}}, layers.LeakyReLU(0.1),
    ):  # fmt: skip
        for layer in (layers.Dense(4, activation), layers.Conv1D(4, 2, activation=activation)):
            layer(Input((5, 3)))
            again = layers.deserialize(layers.serialize(layer))
            again(Input((5, 3)))
            again.set_weights(layer.get_weights())
            np.testing.assert_array_equal(again(X), layer(X))


BUILT = [
    layers.Dense(4, "relu"), layers.Conv1D(4, 2), layers.SeparableConv1D(4, 2), layers.BatchNormalization(),
    layers.LayerNormalization(), layers.PReLU(), layers.TimeDistributed(layers.Dense(2)), layers.Softmax(),
    layers.AveragePooling1D(), layers.Flatten(),
]  # fmt: skip


@pytest.mark.parametrize("layer", BUILT, ids=lambda layer: layer.name)
def test_copies_pickles_and_threads_give_the_same(layer):
    big = RNG.normal(size=(32, 5, 3)).astype("f")
    expected = layer(big)
    for one in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(one(big), expected)
    fresh = type(layer).from_config(layer.get_config())
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: layer(big), range(16)):
            np.testing.assert_array_equal(result, expected)
        first = list(pool.map(lambda _: fresh(big), range(8)))
    for result in first[1:]:
        np.testing.assert_array_equal(result, first[0])


@pytest.mark.parametrize("layer", BUILT, ids=lambda layer: layer.name)
def test_inputs_are_never_written_to(layer):
    given = X.copy()
    given.flags.writeable = False
    layer(given)
    layer(given, training=True)


def test_frozen_layers_have_no_trainable_weights():
    layer = layers.MultiHeadAttention(2, 3, trainable=False)
    layer(X, X)
    assert not layer.trainable_weights and len(layer.weights) == 8
    assert len(layers.MultiHeadAttention(2, 3, use_bias=False).weights) == 0


def test_multi_head_attention_from_a_config_has_its_weights():
    layer = layers.MultiHeadAttention(2, 3)
    layer(Input((5, 3)), Input((4, 2)))
    again = layers.deserialize(layers.serialize(layer))
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]
    again.set_weights(layer.get_weights())
    value = RNG.normal(size=(2, 4, 2)).astype("f")
    np.testing.assert_array_equal(again(X, value), layer(X, value))
    assert layer.compute_output_shape((None, 5, 3), (None, 4, 2)) == (None, 5, 3)


def test_causal_attention_of_old_configs():
    layer = layers.Attention(causal=True)
    np.testing.assert_array_equal(layer([X, X]), layers.Attention()([X, X], use_causal_mask=True))
    assert layers.deserialize(layers.serialize(layer)).causal


def test_sizes_of_old_files_may_be_whole_floats():
    assert layers.Dense(4.0).units == 4
