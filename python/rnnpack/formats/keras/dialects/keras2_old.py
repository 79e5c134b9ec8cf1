"""What Keras before 2.15 wrote differently."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.errors import FormatError

# Names of arguments in Keras 1 and, where a layer is given, in that layer only.
_KERAS_1 = {
    "output_dim": "units", "init": "kernel_initializer", "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation", "bias": "use_bias", "p": "rate",
    "dropout_W": "dropout", "dropout_U": "recurrent_dropout",
    "W_regularizer": "kernel_regularizer", "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer", "W_constraint": "kernel_constraint",
    "U_constraint": "recurrent_constraint", "b_constraint": "bias_constraint",
}  # fmt: skip
_KERAS_1_DROPPED = ("consume_less", "forget_bias_init", "input_dtype")


def modern(class_name: str, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A layer's configuration with the arguments that later versions added or renamed."""
    config = dict(config)
    if class_name == "GRU" or class_name == "GRUCell":
        # Until `reset_after` was there, the reset gate was applied before.
        config.setdefault("reset_after", False)
    if class_name == "BatchNormalization" and isinstance(config.get("axis"), (list, tuple)):
        if len(config["axis"]) != 1:
            raise FormatError(f"BatchNormalization: `axis` must be one axis, got {config['axis']!r}")
        config["axis"] = config["axis"][0]
    if class_name == "TimeDistributedDense":
        return "Dense", config
    return class_name, config


def from_keras_1(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Keras 1's names of arguments in those of Keras 2."""
    if class_name == "Embedding":
        renamed = {"init": "embeddings_initializer", "W_regularizer": "embeddings_regularizer",
                   "W_constraint": "embeddings_constraint"}  # fmt: skip
        dropped = (*_KERAS_1_DROPPED, "dropout")
    else:
        renamed, dropped = _KERAS_1, _KERAS_1_DROPPED
    return {renamed.get(key, key): value for key, value in config.items() if key not in dropped}


def sequential(config: Any) -> dict[str, Any]:
    """A Sequential's configuration as a dict whose first layer is an InputLayer where the shape is known."""
    if isinstance(config, list):  # until Keras 2.2.3
        config = {"name": "sequential", "layers": config}
    config = dict(config)
    layers = config.get("layers")
    if not isinstance(layers, list) or not layers or layers[0].get("class_name") == "InputLayer":
        config.pop("build_input_shape", None)
        return config
    first = layers[0]
    while isinstance(first, dict) and isinstance(first.get("config"), dict):
        options = first["config"]
        shape = options.get("batch_input_shape", _old_shape(first.get("class_name"), options))
        if shape is not None:
            break
        first = options.get("layer")
    else:
        shape, options = config.pop("build_input_shape", None), {}
    if shape is not None:
        dtype = "int32" if layers[0]["class_name"] == "Embedding" else options.get("dtype")
        name = f"{layers[0].get('config', {}).get('name', 'sequential')}_input"
        announced = {"batch_input_shape": shape, "dtype": dtype, "name": name}
        config["layers"] = [{"class_name": "InputLayer", "config": announced}, *layers]
    return config


def _old_shape(class_name: Any, options: dict[str, Any]) -> Any:
    """The shape that `input_dim` and `input_length` announce, None without them."""
    if class_name == "Embedding" or options.get("input_dim") is None:
        return None
    return [None, options.get("input_length"), options["input_dim"]] if "input_length" in options else None
