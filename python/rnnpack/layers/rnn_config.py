"""Configurations of recurrent layers."""

from __future__ import annotations

from typing import Any

from rnnpack.layers.base import Layer
from rnnpack.layers.serialization import deserialize
from rnnpack.registry import serialize_keras_object

FLAGS = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "time_major")


class RNNConfig(Layer):
    """`get_config` and `from_config` of a recurrent layer that holds any cell."""

    cell: Any
    zero_output_for_mask: bool
    _num_constants: int

    def _flag_config(self) -> dict[str, Any]:
        """What all recurrent layers save."""
        config = {**super().get_config(), **{flag: getattr(self, flag) for flag in FLAGS}}
        if self._num_constants:
            config["num_constants"] = self._num_constants
        if self.zero_output_for_mask:
            config["zero_output_for_mask"] = True
        return config

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values, the cell as `{"class_name": ..., "config": ...}`."""
        return {**self._flag_config(), "cell": serialize_keras_object(self.cell)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """A new layer without weights.

        Args:
            config: from `get_config`; the cell's entry and `num_constants` are removed from it.
            custom_objects: classes by name, for cells of the user's own.

        Raises:
            ValueError: the cell's class is unknown.
        """
        num_constants = config.pop("num_constants", 0)
        cell = deserialize(config.pop("cell"), custom_objects)
        layer = cls(cell, **config)
        layer._num_constants = num_constants
        return layer
