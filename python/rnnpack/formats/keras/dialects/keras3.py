"""What layers of Keras 3 call differently, and options of it that Keras 2.15 lacks."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.keras.dialects.options import ANY, without

# Options that Keras 2.15 lacks.
_WITHOUT_EFFECT: dict[str, Any] = {
    "seed": ANY, "use_cudnn": ANY, "synchronized": ANY, "flash_attention": ANY,
    "renorm_clipping": ANY, "renorm_momentum": ANY, "lora_alpha": ANY,
    "renorm": (False,), "optional": (False, None), "lora_rank": (None,),
    "quantization_config": (None,), "quantization_mode": (None,), "gptq_config": (None,),
    "use_gate": (False, None), "sliding_window": (None,), "rms_scaling": (False,),
}  # fmt: skip

_RENAMED = {
    "InputLayer": {"batch_shape": "batch_input_shape"},
    "LeakyReLU": {"negative_slope": "alpha"},
}

# Options of single layers that Keras 2.15 has in no form, and the values at which they change nothing.
_OF_LAYERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "Conv1D": {"rank": (1,)},
    "SeparableConv1D": {"rank": (1,), "groups": (1,)},
    "DepthwiseConv1D": {"rank": (1,)},
    "ZeroPadding1D": {"data_format": ("channels_last", None)},
}

# Functions that Keras 3 computes otherwise, or under another name, than Keras 2.
_ACTIVATIONS = {
    "hard_sigmoid": "hard_sigmoid_keras3",
    "silu": "swish",
    "hard_swish": "hard_silu",
}
_ACTIVATION_ARGUMENTS = ("activation", "recurrent_activation")


def as_keras_2(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the layer of Keras 2.15 that computes the same.

    Raises:
        FormatError: an option that Keras 2.15 lacks is used.
    """
    renamed = _RENAMED.get(class_name, {})
    harmless = {**_WITHOUT_EFFECT, **_OF_LAYERS.get(class_name, {})}
    result = {renamed.get(key, key): value for key, value in without(class_name, config, harmless).items()}
    for key in _ACTIVATION_ARGUMENTS:
        if isinstance(result.get(key), str):
            result[key] = _ACTIVATIONS.get(result[key], result[key])
    if class_name == "Bidirectional":
        _bidirectional(result)
    if class_name == "TimeDistributed":
        _time_distributed(result)
    return result


def _time_distributed(config: dict[str, Any]) -> None:
    """Frees the batch size of a model that Keras 3 built for one timestep: here it gets all steps at once."""
    inner = config.get("layer", {}).get("config") if isinstance(config.get("layer"), dict) else None
    for entry in inner.get("layers", []) if isinstance(inner, dict) else []:
        if entry["class_name"] == "InputLayer":
            entry["config"]["batch_input_shape"] = [None, *entry["config"]["batch_input_shape"][1:]]


def _bidirectional(config: dict[str, Any]) -> None:
    """Takes the prefixes off the names: they are added when the two layers are made."""
    for key, prefix in (("layer", "forward_"), ("backward_layer", "backward_")):
        options = config.get(key, {}).get("config") if isinstance(config.get(key), dict) else None
        if isinstance(options, dict) and isinstance(options.get("name"), str):
            options["name"] = options["name"].removeprefix(prefix)
