"""What a layer accepts: rank, fixed axes and dtype of each input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core
from rnnpack.engine import nest

Shape = tuple[Any, ...]


class _Axes(dict[int, "int | None"]):
    """Axis number to size; prepared calls check themselves again after a change."""

    def __setitem__(self, axis: int, size: int | None) -> None:
        """Sets a size."""
        super().__setitem__(axis, size)
        _core.touch()


class InputSpec:
    """Constraints on one input of a layer; None means "anything".

    Args:
        shape: full shape, batch included, with None for axes that may vary.
        ndim: exact rank (taken from `shape` where that is given).
        max_ndim: largest rank.
        min_ndim: smallest rank.
        axes: axis number to exact size, for axes that are fixed in an otherwise free shape.
        dtype: expected dtype.
    """

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[int, int | None] | None = None,
        dtype: Any = None,
    ) -> None:
        """See the class."""
        self.shape: Shape | None = None if shape is None else tuple(shape)
        self.ndim = ndim if self.shape is None else len(self.shape)
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = _Axes((int(axis), size) for axis, size in (axes or {}).items())
        self.dtype: str | None = None if dtype is None else np.dtype(dtype).name
        rank = self.ndim if self.ndim is not None else self.max_ndim
        if self.axes and rank is not None and max(self.axes) > rank - 1:
            raise ValueError(f"Axis {max(self.axes)} is greater than the maximum allowed value: {rank - 1}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets the attribute; prepared calls check themselves again."""
        super().__setattr__(name, value)
        _core.touch()

    def leading_sizes(self, features: int) -> tuple[int | None, int | None] | None:
        """The sizes that the first two axes of inputs (.., .., features) must have, None for any.

        None instead of both where the spec asks for more, or for other inputs.
        """
        others = (self.max_ndim, self.min_ndim, self.dtype)
        if self.axes or self.ndim not in (None, 3) or any(value is not None for value in others):
            return None
        if self.shape is None:
            return None, None
        first, second, last = self.shape
        plain = all(size is None or type(size) is int for size in self.shape)
        return (first, second) if plain and last in (None, features) else None

    def problem(self, shape: Shape, dtype: Any = None) -> str | None:
        """Says in words what is wrong with an input of this shape and dtype, or None when it fits."""
        rank = len(shape)
        if self.ndim is not None and rank != self.ndim:
            return f"expected ndim={self.ndim}, found ndim={rank}. Full shape received: {shape}"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"expected max_ndim={self.max_ndim}, found ndim={rank}. Full shape received: {shape}"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"expected min_ndim={self.min_ndim}, found ndim={rank}. Full shape received: {shape}"
        if self.dtype is not None and dtype is not None and np.dtype(dtype).name != self.dtype:
            return f"expected dtype={self.dtype}, found dtype={np.dtype(dtype).name}"
        for axis, size in self.axes.items():
            if size is not None and shape[axis] not in (size, None):
                return f"expected axis {axis} of input shape to have value {size}, found shape={shape}"
        if self.shape is not None:
            for want, got in zip(self.shape, shape, strict=True):
                if want is not None and got is not None and want != got:
                    return f"expected shape={self.shape}, found shape={shape}"
        return None

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal InputSpec."""
        names = ("shape", "ndim", "max_ndim", "min_ndim", "dtype")
        return {**{name: getattr(self, name) for name in names}, "axes": dict(self.axes)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """Inverse of `get_config`."""
        return cls(**config)

    def __repr__(self) -> str:
        """Shows only the constraints that are set."""
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in self.get_config().items() if v)})"


def check_inputs(spec: Any, inputs: Any, layer_name: str) -> None:
    """Raises ValueError unless every array in `inputs` fits its InputSpec.

    Args:
        spec: None (no check), an InputSpec, or a nest of those, one for each input.
        inputs: nest of objects with `shape` and `dtype` (arrays or symbolic arrays).
        layer_name: for the message.
    """
    specs: list[InputSpec | None] = nest.flatten(spec)
    if all(one is None for one in specs):
        return
    values = nest.flatten(inputs)
    if len(values) != len(specs):
        raise ValueError(
            f'Layer "{layer_name}" expects {len(specs)} input(s), but it received {len(values)} input arrays'
        )
    for index, (one, value) in enumerate(zip(specs, values, strict=True)):
        if one is None:
            continue
        if not hasattr(value, "shape"):
            raise TypeError(f'Inputs to layer "{layer_name}" should be arrays, got {type(value).__name__}')
        problem = one.problem(tuple(value.shape), getattr(value, "dtype", None))
        if problem is not None:
            raise ValueError(
                f'Input {index} of layer "{layer_name}" is incompatible with the layer: {problem}'
            )


def surely_fits(spec: Any, array: NDArray[Any]) -> bool:
    """Whether `spec`, in the form `[InputSpec]`, lets the one input through; False also for other forms."""
    return (
        type(spec) is list
        and len(spec) == 1
        and type(spec[0]) is InputSpec
        and spec[0].problem(array.shape, array.dtype) is None
    )


def leading_sizes(spec: Any, features: int) -> tuple[int | None, int | None] | None:
    """`InputSpec.leading_sizes` of a spec in the form `[InputSpec]`; None also for other forms."""
    if type(spec) is list and len(spec) == 1 and type(spec[0]) is InputSpec:
        return spec[0].leading_sizes(features)
    return None


def shapes_of(inputs: Any) -> Any:
    """The nest of shape tuples that belongs to a nest of arrays."""
    return nest.map_structure(lambda value: tuple(value.shape), inputs)


def as_shape(shape: Iterable[Any]) -> Shape:
    """One shape (tuple, list or anything with `as_list`) as a tuple of ints and Nones."""
    dims = shape.as_list() if hasattr(shape, "as_list") else shape
    return tuple(None if dim is None else int(dim) for dim in dims)


def is_one_shape(shape: Any) -> bool:
    """Whether this is the shape of one array, as opposed to a nest of shapes."""
    if nest.is_shape(shape):
        return True
    return isinstance(shape, (tuple, list)) and all(
        dim is None or isinstance(dim, (int, np.integer)) for dim in shape
    )


def without_states(shapes: Any) -> Any:
    """The inputs' shapes, from a list of these and the shapes of states as well."""
    return shapes[0] if isinstance(shapes, list) and not is_one_shape(shapes) else shapes


def map_shapes(function: Any, shapes: Any) -> Any:
    """Applies a function to every shape of a nest of shapes, keeping tuple, namedtuple and dict types."""
    if is_one_shape(shapes):
        return function(tuple(shapes))
    if isinstance(shapes, dict):
        return {key: map_shapes(function, value) for key, value in shapes.items()}
    if not isinstance(shapes, (tuple, list)):
        raise ValueError(f"Expected the shape of an array or a nest of shapes, got {shapes!r}")
    mapped = [map_shapes(function, value) for value in shapes]
    return type(shapes)(*mapped) if hasattr(shapes, "_fields") else type(shapes)(mapped)


def first_shape(shapes: Any) -> tuple[Any, ...]:
    """The first shape in a nest of shapes."""
    found: list[tuple[Any, ...]] = []
    map_shapes(found.append, shapes)
    return found[0]
