"""Functions of arrays as layers: what models compute between their layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnpack import activations
from rnnpack.layers.base import Layer


def _item(x: Any, index: Any) -> Any:
    """`x[index]`, where slices are written as dicts and an ellipsis as "..."."""

    def plain(one: Any) -> Any:
        if isinstance(one, dict):
            return slice(one.get("start"), one.get("stop"), one.get("step"))
        return Ellipsis if one == "..." else one

    return x[tuple(map(plain, index)) if isinstance(index, (list, tuple)) else plain(index)]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(np, name)
        for name in (
            "abs", "absolute", "add", "all", "any", "ceil", "clip", "cos", "divide", "equal", "exp",
            "expand_dims", "expm1", "flip", "floor", "floor_divide", "greater", "greater_equal", "less",
            "less_equal", "log", "log1p", "logical_and", "logical_not", "logical_or", "logical_xor", "max",
            "maximum", "mean", "min", "minimum", "multiply", "negative", "not_equal", "power", "prod",
            "reciprocal", "reshape", "rint", "sign", "sin", "sqrt", "square", "squeeze", "std", "subtract",
            "sum", "tanh", "transpose", "true_divide", "var",
        )
    },
    **{
        function.__name__: function
        for function in (
            activations.elu, activations.gelu, activations.relu, activations.selu, activations.sigmoid,
            activations.softmax, activations.softplus, activations.softsign, activations.swish,
        )
    },
    "concatenate": lambda *arrays, axis=-1: np.concatenate(arrays, axis),
    "stack": lambda *arrays, axis=0: np.stack(arrays, axis),
    "get_item": _item,
    "with_mask": lambda x, mask: x,
}  # fmt: skip


def _is_pair(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    return type(value[0]) is int and 0 <= value[0] < 64


class Operation(Layer):
    """Applies a function of NumPy to inputs, such as `Operation("add", constants=[[1, 0.5]])(x)`: x + 0.5.

    Functional models of Keras contain such steps wherever arithmetic was written between layers.

    Args:
        function: name of a NumPy function or activation; "get_item" for an index, in which slices are dicts
            and an ellipsis is "..."; "with_mask" gives the first input the second as its mask.
        constants: `[position, value]` of arguments that are not inputs.
        options: keywords of the function.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: unknown function, or constants in another form.
    """

    def __init__(
        self,
        function: str,
        constants: Sequence[Sequence[Any]] = (),
        options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(**kwargs)
        if function not in _FUNCTIONS:
            raise ValueError(
                f"Operation: unknown function {function!r}, expected one of {sorted(_FUNCTIONS)}"
            )
        if not all(map(_is_pair, constants if isinstance(constants, (list, tuple)) else [constants])):
            raise ValueError(f"Operation: `constants` must hold [position, value] pairs, got {constants!r}")
        self.function = function
        self.constants = sorted(map(tuple, constants), key=lambda pair: pair[0])
        self.options = dict(options or {})
        self.supports_masking = function == "with_mask"

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None, as what comes out has other axes; the given mask for "with_mask"."""
        return inputs[1] if self.function == "with_mask" else None

    def call(self, inputs: Any) -> Any:
        """Applies the function to one array, or to several in a list, and the constants."""
        arguments = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        arguments = [np.asarray(value) for value in arguments]
        for position, value in self.constants:
            arguments.insert(position, value)
        with np.errstate(all="ignore"):
            result = np.asarray(_FUNCTIONS[self.function](*arguments, **self.options))
        return result.astype(self.compute_dtype) if result.dtype.kind == "f" else result

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {
            **super().get_config(),
            "function": self.function,
            "constants": [list(pair) for pair in self.constants],
            "options": self.options,
        }
