"""Records what the layers of a live Keras 2.15 give for the cases of `layer_cases.py`.

Run with the Python of an environment that has tensorflow 2.15:
``python tests/layers/goldens/make_layer_goldens.py``.
"""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import golden_store  # noqa: E402
import keras  # type: ignore[import-not-found]  # noqa: E402
import layer_cases  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # type: ignore[import-untyped]  # noqa: E402


def lower(value: Any) -> Any:
    """Tensors to arrays, shapes to lists, configs to the layout without modules."""
    if isinstance(value, tf.TensorShape):
        return value.as_list()
    if isinstance(value, tf.Tensor | tf.Variable):
        return value.numpy()
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    if isinstance(value, list | tuple):
        return [lower(member) for member in value]
    if isinstance(value, dict):
        if {"module", "class_name", "config", "registered_name"} <= set(value):
            value = {key: value[key] for key in ("class_name", "config")}
        return {key: lower(member) for key, member in value.items() if key != "build_config"}
    return value


def random_weights(layer: Any, seed: int) -> list[Any]:
    """Weights of about size one, variances positive; multiples of 2**-6, exact also in float16."""
    rng = np.random.default_rng(seed)
    values = []
    for variable in layer.weights:
        value = rng.uniform(-1, 1, variable.shape)
        if "variance" in variable.name:
            value = np.abs(value) + 0.5
        values.append(np.asarray(np.round(value * 64) / 64, variable.dtype.as_numpy_dtype))
    return values


def call(layer: Any, case: dict[str, Any], arrays: list[Any]) -> Any:
    """Calls a layer as the case says."""
    if case["spread"]:
        return layer(*arrays, **case["call"])
    return layer(arrays if case["list"] else arrays[0], **case["call"])


def static_shape(make: Any, case: dict[str, Any], unknown: int) -> Any:
    """Shapes of the outputs for inputs whose first `unknown` sizes are not known; None if Keras refuses."""
    shapes = [(None,) * min(unknown, x.ndim) + x.shape[unknown:] for x in case["inputs"]]
    arrays = [
        keras.Input(batch_shape=shape, dtype=x.dtype.name)
        for shape, x in zip(shapes, case["inputs"], strict=True)
    ]
    try:
        outputs = call(make(), case, arrays)
    except (ValueError, TypeError, IndexError):
        return None
    return [lower(output.shape) for output in tf.nest.flatten(outputs)]


def record(case: dict[str, Any]) -> dict[str, Any]:
    """The case with weights, config, outputs, masks and shapes."""
    described = {"class_name": case["class_name"], "config": {"name": "layer", **case["config"]}}
    if case["class_name"] == "MultiHeadAttention":
        described["config"].update(dict.fromkeys(["query_shape", "value_shape", "key_shape"]))

    def make() -> Any:
        tf.keras.backend.clear_session()
        return keras.layers.deserialize(copy.deepcopy(described), use_legacy_format=True)

    shapes = [static_shape(make, case, unknown) for unknown in (1, 2)]
    layer, arrays = make(), [tf.constant(x) for x in case["inputs"]]
    call(layer, case, arrays)
    weights = random_weights(layer, case["seed"])
    layer.set_weights(weights)
    for array, mask in zip(arrays, case["masks"], strict=True):
        if mask is not None:
            array._keras_mask = tf.constant(mask)
    outputs = tf.nest.flatten(call(layer, case, arrays))
    return {
        **case,
        "weights": weights,
        "saved": lower(layer.get_config()),
        "outputs": [output.numpy() for output in outputs],
        # Of the first output; others, such as weights of attention, may be tensors that inner layers marked.
        "output_mask": lower(getattr(outputs[0], "_keras_mask", None)),
        "shapes": shapes,
    }


def main() -> None:
    """Record all cases."""
    recorded = [record(case) for case in layer_cases.cases()]
    path = HERE / "layers.npz"
    golden_store.save(path, recorded)
    print(f"{len(recorded)} cases, {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
