"""Layers that join several inputs, and functions that make such a layer and call it."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnpack import symbolic
from rnnpack.layers.base import Layer
from rnnpack.layers.checks import size
from rnnpack.layers.input_spec import is_one_shape
from rnnpack.layers.weight_options import as_floats, product

_Shape = tuple[Any, ...]


class Merge(Layer):
    """A layer without weights that is called on a list of inputs.

    Args:
        **kwargs: those of `Layer`.

    Raises:
        ValueError: (from a call) no list, or shapes that do not go together.
    """

    def __init__(self, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Checks the shapes; there are no weights."""
        self.compute_output_shape(input_shape)

    def _shapes(self, shapes: Any) -> list[_Shape]:
        """The shapes, if they are those of a list of arrays with a batch axis."""
        if is_one_shape(shapes) or not all(is_one_shape(shape) and len(shape) for shape in shapes):
            raise ValueError(
                f'Layer "{self.name}" must be called on a list of arrays, with a batch axis each, '
                f"got shapes {shapes}"
            )
        return [tuple(shape) for shape in shapes]

    def _batch(self, shapes: list[_Shape]) -> int | None:
        """The batch size of all inputs."""
        sizes = {shape[0] for shape in shapes} - {None}
        if len(sizes) > 1:
            raise ValueError(f'Layer "{self.name}" needs inputs of one batch size, got shapes {shapes}')
        return sizes.pop() if sizes else None

    def _masks(self, inputs: Any, mask: Any) -> Sequence[Any]:
        """The masks as a list, one or None for every input."""
        if mask is None:
            return []
        if not isinstance(mask, (list, tuple)) or len(mask) != len(_listed(self, inputs)):
            raise ValueError(
                f'`mask` of layer "{self.name}" must be a list of one mask or None for each of the '
                f"{len(inputs)} inputs, got {type(mask).__name__}"
                + (f" of {len(mask)}" if isinstance(mask, (list, tuple)) else "")
            )
        return mask


def _listed(layer: Layer, inputs: Any) -> Any:
    if not isinstance(inputs, (list, tuple)) or not inputs:
        raise ValueError(
            f'Layer "{layer.name}" must be called on a list of arrays, got {type(inputs).__name__}'
        )
    return inputs


class ElementWise(Merge):
    """Joins inputs element by element.

    Sizes broadcast; inputs with fewer axes get axes of size 1 after the batch. The outputs' mask is True
    where all masks of the inputs are.

    Args:
        **kwargs: those of `Layer`.

    Raises:
        ValueError: (from a call) no list, or shapes that do not go together.
    """

    def call(self, inputs: Any) -> Any:
        """The joined inputs."""
        self.compute_output_shape([value.shape for value in _listed(self, inputs)])
        rank = max(value.ndim for value in inputs)
        return self._merged(
            [value.reshape(len(value), *[1] * (rank - value.ndim), *value.shape[1:]) for value in inputs]
        )

    @abstractmethod
    def _merged(self, inputs: list[Any]) -> Any: ...

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The broadcast shape."""
        shapes = self._shapes(input_shape)
        batch = self._batch(shapes)
        return (batch, *functools.reduce(self._broadcast, [shape[1:] for shape in shapes]))

    def _broadcast(self, first: _Shape, second: _Shape) -> _Shape:
        rank = max(len(first), len(second))
        pairs = zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True)
        sizes: list[int | None] = []
        for a, b in pairs:
            if None not in (a, b) and 1 not in (a, b) and a != b:
                raise ValueError(
                    f'Layer "{self.name}" got inputs whose sizes do not fit: {first} and {second}'
                )
            known = [one for one in (a, b) if one not in (None, 1)]
            sizes.append(known[0] if known else 1 if a == b == 1 else None)
        return tuple(sizes)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where all masks are; None where there is none."""
        masks = [one for one in self._masks(inputs, mask) if one is not None]
        if not masks:
            return None
        shapes: list[_Shape] = [tuple(one.shape) for one in masks]
        if symbolic.any_symbolic(masks):
            joined: _Shape = functools.reduce(self._broadcast, shapes)
            return symbolic.SymbolicArray(joined, np.bool_)
        if len(set(shapes)) > 1:
            raise ValueError(f'Layer "{self.name}" needs masks of one shape, got shapes {shapes}')
        return np.logical_and.reduce([np.asarray(one, np.bool_) for one in masks])


class Add(ElementWise):
    """The sum of the inputs."""

    def _merged(self, inputs: list[Any]) -> Any:
        return functools.reduce(np.add, inputs)


class Subtract(ElementWise):
    """The first of two inputs minus the second."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The broadcast shape."""
        return super().compute_output_shape(_pair(self, self._shapes(input_shape)))

    def _merged(self, inputs: list[Any]) -> Any:
        return inputs[0] - inputs[1]


class Multiply(ElementWise):
    """The product of the inputs."""

    def _merged(self, inputs: list[Any]) -> Any:
        return functools.reduce(np.multiply, inputs)


class Average(ElementWise):
    """The mean of the inputs."""

    def _merged(self, inputs: list[Any]) -> Any:
        total = functools.reduce(np.add, (as_floats(self, value) for value in inputs))
        return total / total.dtype.type(len(inputs))


class Maximum(ElementWise):
    """The largest of the inputs."""

    def _merged(self, inputs: list[Any]) -> Any:
        return functools.reduce(np.maximum, inputs)


class Minimum(ElementWise):
    """The smallest of the inputs."""

    def _merged(self, inputs: list[Any]) -> Any:
        return functools.reduce(np.minimum, inputs)


class Concatenate(Merge):
    """The inputs one after the other along an axis; all other sizes are equal.

    The outputs' mask is that of the inputs joined in the same way, and True for inputs without; along the
    last axis a timestep is True where it is in all of them.

    Args:
        axis: the axis, counted with the batch.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: (from a call) no list, no such axis, or other sizes differ.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.axis = size("axis", axis, least=None)

    def call(self, inputs: Any) -> Any:
        """The joined inputs."""
        self.compute_output_shape([value.shape for value in _listed(self, inputs)])
        return np.concatenate(inputs, axis=self.axis)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The sum of the sizes along the axis, the common sizes elsewhere."""
        shapes = self._shapes(input_shape)
        rank = len(shapes[0])
        if any(len(shape) != rank for shape in shapes) or not -rank <= self.axis < rank:
            raise ValueError(f'Layer "{self.name}" cannot join shapes {shapes} along axis {self.axis}')
        joined: list[int | None] = []
        for axis, found in enumerate(zip(*shapes, strict=True)):
            known = {one for one in found if one is not None}
            if axis == self.axis % rank:
                joined.append(None if None in found else sum(found))
            elif len(known) > 1:
                raise ValueError(f'Layer "{self.name}" cannot join shapes {shapes} along axis {self.axis}')
            else:
                joined.append(known.pop() if known else None)
        return tuple(joined)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The masks joined (see the class)."""
        masks = self._masks(inputs, mask)
        if all(one is None for one in masks):
            return None
        if symbolic.any_symbolic([inputs, list(masks)]):
            return symbolic.SymbolicArray(self.compute_output_shape([x.shape for x in inputs])[:-1], np.bool_)
        parts = [_full_mask(value, one) for value, one in zip(inputs, masks, strict=True)]
        return np.concatenate(parts, axis=self.axis).all(axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "axis": self.axis}


def _full_mask(value: Any, mask: Any) -> Any:
    """A mask of the shape of the input it belongs to."""
    if mask is None:
        return np.broadcast_to(np.True_, value.shape)
    mask = np.asarray(mask, np.bool_)
    try:
        return np.broadcast_to(mask[..., np.newaxis] if mask.ndim < value.ndim else mask, value.shape)
    except ValueError:
        raise ValueError(f"`mask` must fit inputs of shape {value.shape}, got shape {mask.shape}") from None


class Dot(Merge):
    """Sums of products of two inputs along one axis of each, sample by sample. A mask ends here.

    Args:
        axes: the axis of both inputs, or a pair, counted with the batch.
        normalize: whether to scale both to length 1 along the axis first (cosine proximity).
        **kwargs: those of `Layer`.

    Call: inputs (batch, ..., n, ...) and (batch, ..., n, ...) give (batch, other axes of the first, other
    axes of the second), or (batch, 1) where there are none.

    Raises:
        ValueError: `axes` is not one or two integers; from a call, shapes that do not fit.
    """

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        pair = axes if isinstance(axes, (list, tuple)) else (axes, axes)
        if len(pair) != 2 or not all(isinstance(axis, int) for axis in pair):
            raise ValueError(f"`axes` must be an integer or a pair of integers, got {axes!r}")
        self.axes = axes
        self.normalize = normalize

    def _axes(self, shapes: list[_Shape]) -> list[int]:
        """The axis of each input, counted from the start."""
        given = self.axes if isinstance(self.axes, (list, tuple)) else (self.axes, self.axes)
        ranks = [len(shape) for shape in shapes]
        found = [axis % rank if -rank <= axis < rank else 0 for axis, rank in zip(given, ranks, strict=True)]
        sizes = {shape[axis] for shape, axis in zip(shapes, found, strict=True)} - {None}
        if 0 in found or len(sizes) > 1:
            raise ValueError(f"`axes` {self.axes} of a Dot layer do not fit inputs of shapes {shapes}")
        return found

    def call(self, inputs: Any) -> Any:
        """The sums of products."""
        shapes = [value.shape for value in _listed(self, inputs)]
        output_shape = self.compute_output_shape(shapes)
        moved = [
            np.moveaxis(as_floats(self, value), axis, -1)
            for value, axis in zip(inputs, self._axes(shapes), strict=True)
        ]
        if self.normalize:
            moved = [_normalized(value) for value in moved]
        batch, length = moved[0].shape[0], moved[0].shape[-1]
        first, second = (v.reshape(batch, math.prod(v.shape[1:-1]), length) for v in moved)
        return product(first, second.swapaxes(1, 2)).reshape(output_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The axes that are not summed over."""
        shapes = _pair(self, self._shapes(input_shape))
        batch = self._batch(shapes)
        first, second = self._axes(shapes)
        rest = [*shapes[0][1:first], *shapes[0][first + 1 :], *shapes[1][1:second], *shapes[1][second + 1 :]]
        return (batch, *(rest or [1]))

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None."""

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def _pair(layer: Layer, shapes: list[_Shape]) -> list[_Shape]:
    if len(shapes) != 2:
        raise ValueError(f'Layer "{layer.name}" must be called on exactly 2 inputs, got {len(shapes)}')
    return shapes


def _normalized(value: Any) -> Any:
    """Divided by the length of the last axis, vectors of nearly no length by 1e-6 (as TensorFlow does)."""
    squares = np.square(value).sum(axis=-1, keepdims=True)
    return value / np.sqrt(np.maximum(squares, value.dtype.type(1e-12)))


def add(inputs: Any, **kwargs: Any) -> Any:
    """`Add(**kwargs)(inputs)`."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """`Subtract(**kwargs)(inputs)`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """`Multiply(**kwargs)(inputs)`."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """`Average(**kwargs)(inputs)`."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """`Maximum(**kwargs)(inputs)`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """`Minimum(**kwargs)(inputs)`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """`Concatenate(axis, **kwargs)(inputs)`."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: Any, axes: Any, normalize: bool = False, **kwargs: Any) -> Any:
    """`Dot(axes, normalize, **kwargs)(inputs)`."""
    return Dot(axes=axes, normalize=normalize, **kwargs)(inputs)
