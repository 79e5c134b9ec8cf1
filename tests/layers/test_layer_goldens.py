"""Every layer against what a live Keras 2.15 gave for it: outputs, masks, shapes and configs.

The bound on the difference is `k eps norm`. Both sides round: each output is a sum of at most `terms`
products (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1: relative to the sum of
absolute values at most `terms` units), followed by functions whose condition is about 1 (`FUNCTIONS` units
for exp, tanh, division and square roots). `norm` bounds the terms by the largest input and weight.
"""

from __future__ import annotations

import json
from pathlib import Path

import golden_store
import numpy as np
import pytest

from rnnpack import Input, layers
from rnnpack.layers import masked

CASES = golden_store.load(Path(__file__).parent / "goldens" / "layers.npz")
FUNCTIONS = 16


def made(case):
    """The layer of a case, without weights."""
    return layers.deserialize(
        {"class_name": case["class_name"], "config": {"name": "layer", **case["config"]}}
    )


def called(layer, case, arrays):
    """The flat outputs of a call."""
    if case["spread"]:
        outputs = layer(*arrays, **case["call"])
    else:
        outputs = layer(arrays if case["list"] else arrays[0], **case["call"])
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def with_weights(case):
    """The layer with the recorded weights, and its inputs with their masks."""
    layer = made(case)
    called(layer, case, case["inputs"])
    layer.set_weights(case["weights"])
    pairs = zip(case["inputs"], case["masks"], strict=True)
    return layer, [x if mask is None else masked.carrying(x, mask) for x, mask in pairs]


def bound(case, dtype):
    """The largest difference explained by rounding."""
    weights = case["weights"]
    sums = [np.prod(w.shape[:-1]) for w in weights if w.ndim > 1]
    sums += [x[:1].size for x in case["inputs"]]
    largest = [
        max((np.abs(a).max() for a in arrays if a.size), default=1.0) for arrays in (weights, case["inputs"])
    ]
    norm = max(1.0, largest[0]) * max(1.0, largest[1])
    eps = np.finfo(np.float16 if "float16" in str(case["config"].get("dtype")) else dtype).eps
    return float((FUNCTIONS + max(sums, default=1)) * eps * norm)


def plain(value):
    """As a JSON file would hold it."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_outputs_and_masks_are_those_of_keras(case):
    layer, arrays = with_weights(case)
    assert [w.shape for w in layer.get_weights()] == [w.shape for w in case["weights"]]
    outputs = called(layer, case, arrays)
    assert len(outputs) == len(case["outputs"])
    got, mask = getattr(outputs[0], "_keras_mask", None), case["output_mask"]
    assert (got is None) == (mask is None)
    if mask is not None:
        np.testing.assert_array_equal(got, mask)
    for output, expected in zip(outputs, case["outputs"], strict=True):
        assert output.dtype == expected.dtype and output.shape == expected.shape
        if expected.dtype.kind != "f":
            np.testing.assert_array_equal(output, expected)
        else:
            limit = bound(case, expected.dtype)
            np.testing.assert_allclose(
                np.asarray(output, np.float64), expected.astype(np.float64), rtol=0, atol=limit
            )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_configs_are_those_of_keras_and_round_trip(case):
    layer, arrays = with_weights(case)
    config = plain(layer.get_config())
    saved = plain(case["saved"])
    assert {key: config.get(key, "missing") for key in saved} == saved
    again = layers.deserialize(plain(layers.serialize(layer)))
    expected = called(layer, case, arrays)
    called(again, case, case["inputs"])
    again.set_weights(layer.get_weights())
    assert plain(again.get_config()) == config
    for output, one in zip(called(again, case, arrays), expected, strict=True):
        np.testing.assert_array_equal(output, one)


@pytest.mark.parametrize("unknown", [1, 2])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_shapes_are_those_of_keras(case, unknown):
    recorded = case["shapes"][unknown - 1]
    if recorded is None:  # Keras needs to know more
        return
    shapes = [(None,) * min(unknown, x.ndim) + x.shape[unknown:] for x in case["inputs"]]
    symbols = [
        Input(batch_shape=shape, dtype=x.dtype) for shape, x in zip(shapes, case["inputs"], strict=True)
    ]
    outputs = called(made(case), case, symbols)
    actual = [tuple(output.shape) for output in case["outputs"]]
    for output, expected, full in zip(outputs, recorded, actual, strict=True):
        assert len(output.shape) == len(expected)
        for got, keras, real in zip(output.shape, expected, full, strict=True):
            # What is known must be right, and is at least what Keras knows from the inputs.
            assert got in (None, real)
            assert got == keras or keras is None or "attention_mask" in case["call"]


def test_every_layer_is_recorded():
    modules = [
        "activation", "attention", "conv1d", "conv1d_transpose", "dense", "dropout", "embedding",
        "group_normalization", "merging",
        "multi_head_attention", "normalization", "pooling", "reshaping", "same_shape", "time_distributed",
    ]  # fmt: skip
    public = [getattr(layers, name) for name in layers.__all__]
    here = {x.__name__ for x in public if x.__module__ in [f"rnnpack.layers.{name}" for name in modules]}
    assert here == {case["class_name"] for case in CASES}
