"""Layers that are not recurrent refuse what makes no sense: one ValueError, which names what is wrong."""

from __future__ import annotations

from pathlib import Path

import golden_store
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpack import Input, layers

X = np.ones((2, 5, 3), "f")
FLAT = np.ones((2, 5), "f")
MASK = np.ones((2, 5), bool)


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("Dense", {"units": 0}, "`units` must be an integer of at least 1, got 0"),
        ("Dense", {"units": 2.5}, "`units`.*got 2.5"),
        ("Dense", {"units": "4"}, "`units`.*got '4'"),
        ("Dense", {"units": 4, "dtype": "int32"}, "`dtype` of Dense must be a float dtype, got int32"),
        ("Dense", {"units": 4, "activation": "no"}, "Unknown activation function: no"),
        ("Embedding", {"input_dim": 0, "output_dim": 2}, "`input_dim`"),
        ("Embedding", {"input_dim": 4, "output_dim": -1}, "`output_dim`"),
        (
            "Embedding",
            {"input_dim": 4, "output_dim": 2, "sparse": True},
            "`sparse` of Embedding must be False",
        ),
        ("ReLU", {"max_value": -1}, "`max_value` must be a number of at least 0, got -1"),
        ("ReLU", {"negative_slope": None}, "`negative_slope`"),
        ("ReLU", {"threshold": "a"}, "`threshold`"),
        ("LeakyReLU", {"alpha": None}, "`alpha` must be a number, got None"),
        ("ELU", {"alpha": np.ones(2)}, "`alpha`"),
        ("ThresholdedReLU", {"theta": -2}, "`theta`"),
        ("Dropout", {"rate": 1.5}, r"`rate` must be a number in \[0, 1\], got 1.5"),
        ("GaussianDropout", {"rate": "a"}, "`rate`"),
        (
            "Flatten",
            {"data_format": "sideways"},
            "`data_format` must be one of 'channels_last', 'channels_first'",
        ),
        ("Reshape", {"target_shape": (-1, -1)}, "`target_shape` must have at most one -1"),
        ("Reshape", {"target_shape": (-2,)}, "`target_shape` must be an integer of at least -1"),
        ("Permute", {"dims": (1, 3)}, "`dims` must hold each of 1, 2, ... once"),
        ("RepeatVector", {"n": 0}, "`n`"),
        ("Reshape", {"target_shape": 5}, "`target_shape` must be a tuple or a list, got 5"),
        ("Permute", {"dims": None}, "`dims` must be a tuple or a list"),
        ("GaussianNoise", {"stddev": -1}, "`stddev` must be a number of at least 0, got -1"),
        ("Dropout", {"rate": 0.5, "seed": "a"}, "`seed` must be an integer of at least 0"),
        ("Concatenate", {"axis": None}, "`axis` must be an integer, got None"),
        ("LayerNormalization", {"epsilon": float("nan")}, "`epsilon`"),
        ("PReLU", {"shared_axes": ["a"]}, "`shared_axes`"),
        ("MultiHeadAttention", {"num_heads": 1, "key_dim": 1, "attention_axes": 0.5}, "`attention_axes`"),
        ("ZeroPadding1D", {"padding": (1, 2, 3)}, "`padding` must be an integer or 2 of them"),
        ("ZeroPadding1D", {"padding": -1}, "`padding` must be an integer of at least 0"),
        ("Cropping1D", {"cropping": (1, "a")}, "`cropping`"),
        ("UpSampling1D", {"size": 0}, "`size`"),
        ("Dot", {"axes": (1, 2, 3)}, "`axes` must be an integer or a pair of integers"),
        ("Dot", {"axes": 1.0}, "`axes`"),
        ("LayerNormalization", {"axis": None}, "`axis` must be an integer or a list of integers, got None"),
        ("BatchNormalization", {"axis": []}, "`axis`"),
        ("BatchNormalization", {"dtype": "int8"}, "`dtype` of BatchNormalization"),
        ("Conv1D", {"filters": 0, "kernel_size": 1}, "`filters`"),
        ("Conv1D", {"filters": 4, "kernel_size": 0}, "`kernel_size`"),
        ("Conv1D", {"filters": 4, "kernel_size": (1, 2)}, "`kernel_size` must be an integer or 1 of them"),
        ("Conv1D", {"filters": 4, "kernel_size": 1, "padding": "full"}, "`padding` must be one of"),
        ("Conv1D", {"filters": 4, "kernel_size": 1, "padding": None}, "`padding` must be one of"),
        (
            "Conv1D",
            {"filters": 4, "kernel_size": 2, "strides": 2, "dilation_rate": 2},
            "must not both be over 1",
        ),
        ("Conv1D", {"filters": 4, "kernel_size": 1, "groups": 3}, "`groups` must divide `filters`"),
        ("DepthwiseConv1D", {"kernel_size": 2, "padding": "causal"}, "`padding` must be one of"),
        ("DepthwiseConv1D", {"kernel_size": 2, "groups": 2}, "`groups` of DepthwiseConv1D must be 1"),
        (
            "SeparableConv1D",
            {"filters": 2, "kernel_size": 2, "groups": 2},
            "`groups` of SeparableConv1D must be 1",
        ),
        (
            "Conv1DTranspose",
            {"filters": 2, "kernel_size": 2, "padding": "causal"},
            "`padding` must be one of",
        ),
        (
            "Conv1DTranspose",
            {"filters": 2, "kernel_size": 2, "output_padding": 1},
            "must be less than `strides`",
        ),
        ("Conv1DTranspose", {"filters": 2, "kernel_size": 2, "groups": 2}, "`groups` of Conv1DTranspose"),
        ("GroupNormalization", {"groups": 0}, "`groups`"),
        ("GroupNormalization", {"axis": [1]}, "`axis` must be an integer"),
        ("MaxPooling1D", {"pool_size": 0}, "`pool_size`"),
        ("AveragePooling1D", {"padding": "causal"}, "`padding` must be one of"),
        ("GlobalMaxPooling1D", {"data_format": 3}, "`data_format`"),
        ("Attention", {"score_mode": "no"}, "`score_mode` must be one of 'dot', 'concat', got 'no'"),
        ("Attention", {"dropout": 2}, "`dropout`"),
        ("MultiHeadAttention", {"num_heads": 0, "key_dim": 1}, "`num_heads`"),
        ("MultiHeadAttention", {"num_heads": 1, "key_dim": 1, "dropout": -1}, "`rate`"),
        ("TimeDistributed", {"layer": None}, "`layer` of TimeDistributed must be a layer, got NoneType"),
    ],
)
def test_constructors(name, config, words):
    with pytest.raises(ValueError, match=words):
        getattr(layers, name)(**config)


@pytest.mark.parametrize(
    ("layer", "inputs", "words"),
    [
        (layers.Dense(4), np.ones(3, "f"), "min_ndim=2"),
        (layers.Embedding(4, 2), np.array([[4]]), r"indices in \[0, 4\), got values from 4 to 4"),
        (layers.Embedding(4, 2), np.array([[-1, 2]]), r"got values from -1 to 2"),
        (layers.Embedding(4, 2), np.array([[2**63]], np.uint64), "got values from 9223372036854775808"),
        (layers.Embedding(4, 2), np.array([[0.5]]), "must be whole numbers.*float64 with other values"),
        (layers.Embedding(4, 2), np.array([[np.nan]]), "must be whole numbers"),
        (layers.Embedding(4, 2), np.array([[np.inf]]), r"got values from inf"),
        (layers.Embedding(4, 2), np.array([["a"]]), "must be whole numbers.*dtype <U1"),
        (layers.Reshape((4,)), X, r"`target_shape` \(4,\) does not fit inputs of shape \(2, 5, 3\)"),
        (layers.Reshape((-1, 4)), X, "does not fit"),
        (layers.Permute((2, 1)), FLAT, "expected ndim=3"),
        (layers.Cropping1D(3), X, "leaves nothing of inputs with 5 timesteps"),
        (layers.Dropout(0.5, noise_shape=(1,)), X, r"`noise_shape` \(1,\) does not fit inputs of shape"),
        (layers.PReLU(shared_axes=3), X, r"`shared_axes` must lie in \[1, 3\), got \[3\]"),
        (layers.LayerNormalization(axis=3), X, "`axis` 3 does not fit inputs of shape"),
        (layers.LayerNormalization(axis=[1, -2]), X, "does not fit"),
        (layers.Conv1D(4, 6), X, "have 5 timesteps, too few for a kernel of 6"),
        (layers.Conv1D(4, 2, groups=2), X, "`groups` of layer .* must divide the number of input channels"),
        (layers.SeparableConv1D(4, 3, dilation_rate=3), X, "too few for a kernel of 3 with dilation 3"),
        (layers.Conv1DTranspose(4, 4, 2, "same", 0), X, "with 5 timesteps cannot become 8"),
        (layers.Conv1DTranspose(4, 2), X[:, :0], "with 0 timesteps cannot become"),
        (layers.GroupNormalization(2), X, "`groups` 2 does not divide the 3 channels"),
        (layers.GroupNormalization(2, axis=0), X, "must not be that of the batch"),
        (layers.MaxPooling1D(6), X, "have 5 timesteps, too few for windows of 6"),
        (layers.AveragePooling1D(4, data_format="channels_first"), X, "have 3 timesteps"),
        (layers.GlobalMaxPooling1D(), X[:, :0], "must have at least one timestep"),
        (layers.TimeDistributed(layers.Dense(2)), FLAT, "must have at least 3 axes"),
        (layers.Add(), X, "must be called on a list of arrays"),
        (layers.Add(), [], "must be called on a list"),
        (layers.Add(), [X, np.float32(1)], "with a batch axis each"),
        (layers.Add(), [X, X[:1]], "needs inputs of one batch size"),
        (layers.Add(), [X, X[:, :4]], "got inputs whose sizes do not fit"),
        (layers.Subtract(), [X, X, X], "exactly 2 inputs, got 3"),
        (layers.Concatenate(), [X, X[:, :2]], "cannot join shapes"),
        (layers.Concatenate(), [X, FLAT], "cannot join shapes"),
        (layers.Concatenate(axis=3), [X, X], "along axis 3"),
        (layers.Dot(0), [X, X], "`axes` 0 of a Dot layer do not fit"),
        (layers.Dot((1, 2)), [X, X], "do not fit inputs of shapes"),
        (layers.Dot(7), [X, X], "do not fit inputs of shapes"),
        (layers.Dot(1), [X, X[:1]], "one batch size"),
        (layers.Dot(1), [X], "exactly 2 inputs, got 1"),
        (layers.Attention(), X, r"needs \[query, value\]"),
        (layers.Attention(), [X], r"needs \[query, value\].*got shapes"),
        (layers.Attention(), [X, FLAT], "of 3 axes each"),
        (layers.Attention(), [X, X[:, :, :2]], "do not fit"),
        (layers.AdditiveAttention(), [X, X, X[:, :4]], "do not fit"),
    ],
    ids=lambda value: value.name if isinstance(value, layers.Layer) else "",
)
def test_calls(layer, inputs, words):
    again = type(layer).from_config(layer.get_config())  # a call that fails leaves no traces
    with pytest.raises(ValueError, match=words):
        again(inputs, training=True)
    assert not again.weights


@pytest.mark.parametrize(
    ("layer", "inputs", "mask", "words"),
    [
        (layers.Softmax(), X, MASK, r"`mask` must broadcast to the inputs of shape \(2, 5, 3\)"),
        (layers.GroupNormalization(3), X, MASK, r"`mask` must broadcast to the inputs of shape"),
        (layers.GlobalAveragePooling1D(), X, MASK[:, :4], r"`mask` must have shape \(2, 5\)"),
        (layers.Add(), [X, X], MASK, "must be a list of one mask or None for each of the 2 inputs"),
        (layers.Add(), [X, X], [MASK], "got list of 1"),
        (layers.Add(), [X, X], [MASK, MASK[:, :4]], "needs masks of one shape"),
        (layers.Concatenate(), [X, X], [MASK, MASK[:, :4]], "`mask` must fit inputs of shape"),
        (layers.Attention(), [X, X], MASK, r"`mask` must be a list \[query mask, value mask\], got ndarray"),
        (layers.Attention(), [X, X], [MASK], "`mask` must be a list"),
        (layers.Attention(), [X, X], [None, MASK[:, :4]], r"`mask` of the value must have shape \(2, 5\)"),
        (layers.MultiHeadAttention(1, 1), X, MASK[:, :4], "`mask` of the query must have shape"),
    ],
    ids=lambda value: value.name if isinstance(value, layers.Layer) else "",
)
def test_masks(layer, inputs, mask, words):
    value = {"value": X} if isinstance(layer, layers.MultiHeadAttention) else {}
    with pytest.raises(ValueError, match=words):
        if isinstance(layer, (layers.Add, layers.Concatenate)):
            layer.compute_mask(inputs, mask)
        else:
            layer(inputs, mask=mask, **value)


@pytest.mark.parametrize("inputs", [X, [X], [X] * 4])
def test_a_built_attention_layer_still_needs_a_list(inputs):
    layer = layers.Attention()
    layer([X, X])
    with pytest.raises(ValueError, match=r"must be called on a list \[query, value\]"):
        layer(inputs)


@pytest.mark.parametrize(
    ("config", "given", "words"),
    [
        ({}, {}, "must be called with a query and a value"),
        ({}, {"value": FLAT}, "do not fit"),
        ({}, {"value": X[:1]}, "do not fit"),
        ({}, {"value": X, "key": X[:, :4]}, "do not fit"),
        ({}, {"value": X, "attention_mask": np.ones((2, 5, 4))}, "`attention_mask` must fit scores"),
        ({}, {"value": X, "attention_mask": np.ones((3, 5, 5)), "use_causal_mask": True}, "must fit"),
        ({}, {"value": X, "attention_mask": np.ones((2, 4, 4)), "use_causal_mask": True}, "got masks"),
        ({"attention_axes": 2}, {"value": X}, "cannot attend over the axes"),
        ({"output_shape": 0.5}, {"value": X}, "`output_shape`"),
    ],
)
def test_multi_head_attention(config, given, words):
    layer = layers.MultiHeadAttention(1, 2, **config)
    with pytest.raises(ValueError, match=words):
        layer(X, **given)
    assert not layer.weights
    symbols = {key: Input(batch_shape=value.shape) for key, value in given.items() if key in ("value", "key")}
    if "attention_mask" not in given:
        with pytest.raises(ValueError, match=words):
            layer(Input(batch_shape=X.shape), **symbols)


def test_later_inputs_must_fit_the_weights():
    for layer in (
        layers.Dense(2),
        layers.Conv1D(2, 2),
        layers.BatchNormalization(),
        layers.PReLU(shared_axes=1),
    ):
        layer(X)
        with pytest.raises(ValueError, match="is incompatible with the layer"):
            layer(np.ones((2, 5, 4), "f"))


@pytest.mark.parametrize("name", ["Dense", "PReLU", "LayerNormalization", "BatchNormalization", "Conv1D"])
def test_sizes_of_weights_must_be_known(name):
    config = {"Dense": {"units": 2}, "Conv1D": {"filters": 2, "kernel_size": 1}}.get(name, {})
    with pytest.raises(ValueError, match="has a known size"):
        getattr(layers, name)(**config)(Input(batch_shape=(None, None, None)))


def test_input_length_is_checked_for_symbolic_inputs():
    layer = layers.Embedding(4, 2, input_length=[None, 3])
    assert layer.compute_output_shape((None, 5, None)) == (None, 5, 3, 2)
    for shape in [(None, 5, 4), (None, 5)]:
        with pytest.raises(ValueError, match="`input_length` is"):
            layer.compute_output_shape(shape)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats(-2, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
SAVED = {
    case["class_name"]: {**case["saved"], "query_shape": None}
    if "query_shape" in case["saved"]
    else case["saved"]
    for case in golden_store.load(Path(__file__).parent / "goldens" / "layers.npz")
}


@settings(max_examples=300)
@given(data=st.data())
def test_configs_with_anything_in_them_are_layers_or_refused(data):
    name = data.draw(st.sampled_from(sorted(SAVED)))
    config = dict(SAVED[name])
    for key in data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=3, unique=True)):
        config[key] = data.draw(JSON)
    try:
        layers.deserialize({"class_name": name, "config": config}).get_config()
    except (ValueError, TypeError) as error:
        assert str(error)


def test_lambda_layers_are_refused_unless_the_caller_knows_them():
    config = {"class_name": "Lambda", "config": {"name": "twice", "function": ["4wEAAAA=", None, None]}}
    for identifier in (config, "Lambda"):
        with pytest.raises(ValueError, match=r"code in a model file is never run.*custom_objects"):
            layers.deserialize(identifier)

    class Twice(layers.Layer):
        def __init__(self, function=None, **kwargs):
            super().__init__(**kwargs)

        def call(self, inputs):
            return 2 * inputs

    twice = layers.deserialize(config, custom_objects={"Lambda": Twice})
    np.testing.assert_array_equal(twice(X), 2 * X)
