"""What Keras before 2.15 wrote differently."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.keras.dialects.options import ANY, without

# Names of arguments in Keras 1 and, where a layer is given, in that layer only.
_KERAS_1 = {
    "output_dim": "units", "init": "kernel_initializer", "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation", "bias": "use_bias", "p": "rate",
    "dropout_W": "dropout", "dropout_U": "recurrent_dropout",
    "W_regularizer": "kernel_regularizer", "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer", "W_constraint": "kernel_constraint",
    "U_constraint": "recurrent_constraint", "b_constraint": "bias_constraint",
}  # fmt: skip
# Options that Keras 2 writes although they have no effect.
_KERNEL = {"kernel_initializer": ANY, "kernel_regularizer": ANY, "kernel_constraint": ANY}
_OF_LAYERS: dict[str, dict[str, Any]] = {
    "SeparableConv1D": {"groups": (1,), **_KERNEL},
    "DepthwiseConv1D": _KERNEL,
}
_KERAS_1_EMBEDDING = {
    "init": "embeddings_initializer", "W_regularizer": "embeddings_regularizer",
    "W_constraint": "embeddings_constraint",
}  # fmt: skip
_KERAS_1_DROPPED: tuple[str, ...] = ("consume_less", "forget_bias_init", "input_dtype")


def modern(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """A layer's configuration with the arguments that later versions added or renamed."""
    config = dict(config)
    if class_name == "GRU" or class_name == "GRUCell":
        # Until `reset_after` was there, the reset gate was applied before.
        config.setdefault("reset_after", False)
    return without(class_name, config, _OF_LAYERS.get(class_name, {}))


def from_keras_1(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Keras 1's names of arguments in those of Keras 2."""
    if class_name == "InputLayer":
        return {"dtype" if key == "input_dtype" else key: value for key, value in config.items()}
    renamed, dropped = _KERAS_1, _KERAS_1_DROPPED
    if class_name == "Embedding":
        renamed, dropped = _KERAS_1_EMBEDDING, (*_KERAS_1_DROPPED, "dropout")
    return {renamed.get(key, key): value for key, value in config.items() if key not in dropped}
