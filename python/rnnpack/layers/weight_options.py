"""What layers with weights share: their `*_initializer`, `*_regularizer` and `*_constraint` arguments."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import activations, constraints, initializers, regularizers
from rnnpack.layers import serialization
from rnnpack.layers.base import Layer
from rnnpack.variable import Variable

_MODULES: dict[str, ModuleType] = {
    "activation": activations,
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": constraints,
}


# Layers that may stand where an activation is asked for.
_ACTIVATION_LAYERS = ("ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "ThresholdedReLU")


def _module_of(option: str) -> ModuleType:
    return _MODULES[option.rsplit("_", 1)[-1]]


def _object_of(option: str, value: Any) -> Any:
    """What an argument stands for."""
    name = value.get("class_name") if isinstance(value, dict) else value
    if option == "activation" and isinstance(name, str) and name in _ACTIVATION_LAYERS:
        return serialization.deserialize(value)
    return _module_of(option).get(value)


class OptionsLayer(Layer):
    """A layer that keeps arguments of these four kinds as attributes and writes them into its config."""

    _options: tuple[str, ...] = ()

    def _set_options(self, **options: Any) -> None:
        """Turns what each argument stands for into an object, and keeps that under the argument's name."""
        for name, value in options.items():
            setattr(self, name, _object_of(name, value))
        self._options = (*self._options, *options)

    def _add(self, name: str, shape: Sequence[int], prefix: str | None = None, **kwargs: Any) -> Variable:
        """Creates a weight with the options of its name.

        Args:
            name: of the weight.
            shape: of the weight.
            prefix: of its options, default the name.
            **kwargs: those of `add_weight`.
        """
        kinds = ("initializer", "regularizer", "constraint")
        options = {kind: getattr(self, f"{prefix or name}_{kind}", None) for kind in kinds}
        return self.add_weight(name=name, shape=shape, **options, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        options = {name: _module_of(name).serialize(getattr(self, name)) for name in self._options}
        return {**super().get_config(), **options}


def needs_floats(layer: Layer) -> None:
    """Raises ValueError unless the layer computes in floats."""
    if layer.dtype_policy.compute_dtype.kind != "f":
        raise ValueError(f"`dtype` of {type(layer).__name__} must be a float dtype, got {layer.dtype}")


def known_size(layer: Layer, shape: Sequence[int | None], axis: int = -1) -> int:
    """The size of one axis of the inputs.

    Raises:
        ValueError: it is unknown, or there is no such axis.
    """
    if not -len(shape) <= axis < len(shape) or shape[axis] is None:
        raise ValueError(
            f'Layer "{layer.name}" needs inputs whose axis {axis} has a known size, got shape {tuple(shape)}'
        )
    return int(shape[axis])  # type: ignore[arg-type]


def as_floats(layer: Layer, inputs: Any) -> Any:
    """The inputs, integers and bools cast to the layer's compute dtype."""
    return inputs if inputs.dtype.kind == "f" else inputs.astype(layer.dtype_policy.compute_dtype)


def product(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """`first @ second`; float16 is multiplied and summed up in float32, then rounded once."""
    if first.dtype != np.float16:
        return np.asarray(first @ second)
    return (first.astype(np.float32) @ second.astype(np.float32)).astype(np.float16)
