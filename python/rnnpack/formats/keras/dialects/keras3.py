"""What layers of Keras 3 call differently, and options of it that Keras 2.15 lacks."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.errors import FormatError

# Options that change nothing at these values, or nothing when a trained model runs; dropped.
_ANY = object()
_WITHOUT_EFFECT: dict[str, Any] = {
    "seed": _ANY, "use_cudnn": _ANY, "synchronized": _ANY, "flash_attention": _ANY,
    "renorm_clipping": _ANY, "renorm_momentum": _ANY, "lora_alpha": _ANY,
    "renorm": (False,), "optional": (False, None), "lora_rank": (None,),
    "quantization_config": (None,), "quantization_mode": (None,), "gptq_config": (None,),
    "use_gate": (False, None), "sliding_window": (None,), "rms_scaling": (False,),
}  # fmt: skip

_RENAMED = {
    "InputLayer": {"batch_shape": "batch_input_shape"},
    "LeakyReLU": {"negative_slope": "alpha"},
}

_CONVOLUTIONS = ("Conv1D", "SeparableConv1D", "DepthwiseConv1D", "Conv1DTranspose")

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
    result: dict[str, Any] = {}
    for key, value in config.items():
        if key in _WITHOUT_EFFECT:
            harmless = _WITHOUT_EFFECT[key]
            if harmless is not _ANY and value not in harmless:
                raise FormatError(f"{class_name}: the option {key}={value!r} is not supported")
        elif not (key == "rank" and class_name in _CONVOLUTIONS):
            result[renamed.get(key, key)] = value
    for key in _ACTIVATION_ARGUMENTS:
        if isinstance(result.get(key), str):
            result[key] = _ACTIVATIONS.get(result[key], result[key])
    if class_name == "Bidirectional":
        _bidirectional(result)
    return result


def _bidirectional(config: dict[str, Any]) -> None:
    """Takes the prefixes off the names: they are added when the two layers are made."""
    for key, prefix in (("layer", "forward_"), ("backward_layer", "backward_")):
        options = config.get(key, {}).get("config") if isinstance(config.get(key), dict) else None
        if isinstance(options, dict) and isinstance(options.get("name"), str):
            options["name"] = options["name"].removeprefix(prefix)
