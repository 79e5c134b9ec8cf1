"""Embedding: vectors by number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import symbolic
from rnnpack.layers.checks import size
from rnnpack.layers.weight_options import OptionsLayer, needs_floats


class Embedding(OptionsLayer):
    """Row `i` of a table for every index `i` in the inputs.

    Weights: `embeddings` (input_dim, output_dim).

    Args:
        input_dim: number of rows of the table; indices lie in [0, input_dim).
        output_dim: length of a row.
        embeddings_initializer: of `embeddings`.
        embeddings_regularizer: of `embeddings`.
        activity_regularizer: of the outputs.
        embeddings_constraint: of `embeddings`.
        mask_zero: whether index 0 means "no timestep": the outputs carry a mask that is False there.
        input_length: number of timesteps, or a list of the sizes between batch and output axis, if known.
        sparse: False; sparse inputs are not supported.
        **kwargs: those of `Layer`.

    Call: whole numbers of any shape (batch, ...) and any dtype give (batch, ..., output_dim).

    Raises:
        ValueError: a size that is not a positive integer, `sparse=True`; from a call, an index outside the
            table or a number that is not whole.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        activity_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        input_length: Any = None,
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        if sparse:
            raise ValueError("`sparse` of Embedding must be False: inputs are dense arrays, got True")
        if "input_shape" not in kwargs:
            lengths = input_length if isinstance(input_length, (list, tuple)) else (input_length or None,)
            kwargs["input_shape"] = lengths
        super().__init__(**{**kwargs, "autocast": False})
        needs_floats(self)
        self.input_dim = size("input_dim", input_dim)
        self.output_dim = size("output_dim", output_dim)
        self._set_options(
            embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            activity_regularizer=activity_regularizer,
            embeddings_constraint=embeddings_constraint,
        )
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.input_length = input_length

    def build(self, input_shape: Any = None) -> None:
        """Creates the table."""
        self.embeddings = self._add("embeddings", (self.input_dim, self.output_dim))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """With `mask_zero`, True where the index is not 0; else None."""
        if not self.mask_zero:
            return None
        if isinstance(inputs, symbolic.SymbolicArray):
            return symbolic.SymbolicArray(inputs.shape, np.bool_)
        return np.asarray(inputs) != 0

    def call(self, inputs: Any) -> Any:
        """Looks the rows up."""
        return np.take(self.embeddings.operand, self._indices(inputs), axis=0)

    def _indices(self, inputs: Any) -> NDArray[Any]:
        """The inputs as indices that lie in the table."""
        array = np.asarray(inputs)
        if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and not _whole(array)):
            raise ValueError(
                f'`inputs` of layer "{self.name}" must be whole numbers, indices into the embeddings; '
                f"got dtype {array.dtype}" + (" with other values" if array.dtype.kind == "f" else "")
            )
        if array.size:
            # Checked before the cast, which would wrap around.
            low, high = array.min(), array.max()
            if low < 0 or high >= self.input_dim:
                raise ValueError(
                    f'`inputs` of layer "{self.name}" must be indices in [0, {self.input_dim}), '
                    f"got values from {low} to {high}"
                )
        return array.astype(np.intp, copy=False)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, ..., output_dim), with the sizes that `input_length` tells filled in."""
        if self.input_length is None:
            return (*input_shape, self.output_dim)
        given = self.input_length if isinstance(self.input_length, (list, tuple)) else [self.input_length]
        pairs = list(zip(given, input_shape[1:], strict=False))
        if len(given) != len(input_shape) - 1 or any(a != b for a, b in pairs if None not in (a, b)):
            raise ValueError(
                f"`input_length` is {self.input_length}, but the inputs have shape {input_shape}"
            )
        return (input_shape[0], *(b if a is None else a for a, b in pairs), self.output_dim)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        names = ("input_dim", "output_dim", "mask_zero", "input_length")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _whole(array: NDArray[Any]) -> bool:
    return bool(np.all(np.trunc(array) == array))
