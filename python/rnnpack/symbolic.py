"""Symbolic arrays: a shape and a dtype without numbers, recorded as they pass through layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnpack.dtypes import floatx
from rnnpack.engine import nest
from rnnpack.restoring import count_call, trial_array

if TYPE_CHECKING:
    from rnnpack.layers.base import Layer

Shape = tuple["int | None", ...]


@dataclass(eq=False)
class Node:
    """One recorded layer call: the layer, its arguments, and the flat list of its symbolic outputs.

    `serial` grows from call to call.
    """

    layer: Layer
    inputs: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[SymbolicArray]
    serial: int = field(default_factory=count().__next__)


class SymbolicArray:
    """Stands for an array of known dtype whose sizes may be unknown (None).

    Args:
        shape: sizes, batch included.
        dtype: of the array.
        name: for messages.
        mask_of: set where this stands for the mask that travels with another symbolic array.
    """

    # Operators of arrays must not try to treat this as a scalar.
    __array_ufunc__ = None

    def __init__(
        self, shape: Sequence[int | None], dtype: Any, name: str = "", mask_of: SymbolicArray | None = None
    ) -> None:
        self.shape: Shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.name = name
        self.mask_of = mask_of
        self.node: Node | None = None
        self._keras_mask: SymbolicArray | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """Always raises TypeError."""
        raise TypeError(f"{self!r} has no values; build a Model and call it on arrays")

    def __bool__(self) -> bool:
        """Always raises TypeError."""
        raise TypeError(f"{self!r} has no values and is neither true nor false")

    def __repr__(self) -> str:
        """Shape, dtype and name."""
        return f"<SymbolicArray shape={self.shape} dtype={self.dtype.name} name={self.name!r}>"


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    name: str | None = None,
    dtype: Any = None,
    *,
    batch_shape: Any = None,
    batch_input_shape: Any = None,
) -> SymbolicArray:
    """Makes a symbolic array on which layers can be called.

    Args:
        shape: sizes without the batch, None where unknown.
        batch_size: if it is known.
        name: the input's name in a Model; default "input_1", "input_2", ...
        dtype: default `backend.floatx()`.
        batch_shape: sizes with the batch, instead of `shape`.
        batch_input_shape: the same as `batch_shape`.

    Raises:
        ValueError: neither or both of `shape` and `batch_shape` are given.
    """
    from rnnpack.layers import context  # here, as layers need this module

    full = batch_shape if batch_shape is not None else batch_input_shape
    if (shape is None) == (full is None):
        raise ValueError("Input() needs either `shape` or `batch_shape`")
    dims = (batch_size, *shape) if full is None else tuple(full)
    return SymbolicArray(
        [None if dim is None else int(dim) for dim in dims],
        floatx() if dtype is None else dtype,
        name or context.unique_name("input", first=1),
    )


def any_symbolic(structure: Any) -> bool:
    """Whether a symbolic array is anywhere in the structure."""
    if isinstance(structure, (tuple, list)):
        return any(map(any_symbolic, structure))
    if isinstance(structure, dict):
        return any(map(any_symbolic, structure.values()))
    return isinstance(structure, SymbolicArray)


def call_layer(layer: Layer, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Builds the layer for symbolic inputs, infers its outputs and records the call.

    Raises:
        ValueError: the shapes do not fit the layer.
    """
    count_call()
    layer._prepare_symbolic(inputs, kwargs)
    outputs = layer._symbolic_outputs(inputs, args, kwargs)
    node = Node(layer, inputs, args, kwargs, nest.flatten(outputs))
    for output in node.outputs:
        output.node = node
    if layer.supports_masking:
        mask = kwargs.get(
            "mask", nest.map_structure(lambda value: getattr(value, "_keras_mask", None), inputs)
        )
        masks = nest.flatten(layer.compute_mask(inputs, mask))
        for output, one in zip(node.outputs, masks, strict=False):
            if one is not None:
                output._keras_mask = SymbolicArray(one.shape, np.bool_, f"{output.name}_mask", mask_of=output)
    return outputs


def trial_outputs(layer: Layer, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Infers outputs by calling the layer on zeros, for layers without `compute_output_shape`.

    Unknown sizes are tried as 2 and as 3: output sizes that differ are unknown too.
    """

    def call(size: int) -> Any:
        def zeros(value: Any) -> Any:
            if not isinstance(value, SymbolicArray):
                return value
            return trial_array([size if dim is None else dim for dim in value.shape], value.dtype)

        return layer(*nest.map_structure(zeros, (inputs, *args)), **nest.map_structure(zeros, kwargs))

    def join(two: Any, three: Any) -> SymbolicArray:
        shape = [a if a == b else None for a, b in zip(two.shape, three.shape, strict=True)]
        return SymbolicArray(shape, two.dtype, layer.name)

    return nest.map_structure(join, call(2), call(3))
