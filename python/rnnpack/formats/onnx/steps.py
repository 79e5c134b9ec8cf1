"""One timestep of ONNX's recurrent operators in NumPy, for what no built-in cell can do.

Cells for `rnnpack.RNN`; formulas and gate orders are those of https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class _Step:
    """What the three have in common.

    Args:
        w: `(gates * units, features)`.
        r: `(gates * units, units)`.
        b: `(2 * gates * units,)`: those of the inputs, then those of the state.
        functions: the activations.
        clip: bound on the sums that gates are made of, None for none; the standard leaves open whether the
            LSTM's cell state is clipped on its way to the output, ONNX Runtime does not.
    """

    states = 1

    def __init__(
        self, w: Array, r: Array, b: Array, functions: list[Callable[[Array], Array]], clip: float | None
    ) -> None:
        self.kernel, self.recurrent_kernel = np.ascontiguousarray(w.T), np.ascontiguousarray(r.T)
        self.input_bias, self.state_bias = b.reshape(2, -1)
        self.units = r.shape[1]
        self.state_size = [self.units] * self.states
        self.functions = [function if clip is None else _clipping(function, clip) for function in functions]
        self.functions[2:] = functions[2:]

    def gates(self, values: Array) -> list[Array]:
        """The blocks of columns, one for each gate."""
        return [values[:, at : at + self.units] for at in range(0, values.shape[1], self.units)]


def _clipping(function: Callable[[Array], Array], clip: float) -> Callable[[Array], Array]:
    return lambda x: function(np.clip(x, -clip, clip))


class RNNStep(_Step):
    """`h' = f(x W + h R + Wb + Rb)`."""

    def call(self, inputs: Array, states: Any) -> tuple[Array, list[Array]]:
        """The output and the new states of one step."""
        bias = self.input_bias + self.state_bias
        h = self.functions[0](inputs @ self.kernel + states[0] @ self.recurrent_kernel + bias)
        return h, [h]


class GRUStep(_Step):
    """Gates z, r, h; with `reset_after` (linear_before_reset) the reset gate follows the state's product."""

    def __init__(self, *args: Any, reset_after: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reset_after = reset_after

    def call(self, inputs: Array, states: Any) -> tuple[Array, list[Array]]:
        """The output and the new states of one step."""
        f, g = self.functions
        h, two = states[0], 2 * self.units
        xz, xr, xh = self.gates(inputs @ self.kernel + self.input_bias)
        hz, hr = self.gates(h @ self.recurrent_kernel[:, :two] + self.state_bias[:two])
        z, r = f(xz + hz), f(xr + hr)
        matrix, bias = self.recurrent_kernel[:, two:], self.state_bias[two:]
        recurrent = r * (h @ matrix + bias) if self.reset_after else (r * h) @ matrix + bias
        h = (1 - z) * g(xh + recurrent) + z * h
        return h, [h]


class LSTMStep(_Step):
    """Gates i, o, f, c; peepholes `(3 * units,)` in the order i, o, f; `input_forget`: f is `1 - i`."""

    states = 2

    def __init__(self, *args: Any, peepholes: Array | None, input_forget: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shape = (3, self.units)
        self.peepholes = np.zeros(shape, self.kernel.dtype) if peepholes is None else peepholes.reshape(shape)
        self.input_forget = input_forget

    def call(self, inputs: Array, states: Any) -> tuple[Array, list[Array]]:
        """The output and the new states of one step."""
        f, g, last = self.functions
        h, c = states
        z = inputs @ self.kernel + h @ self.recurrent_kernel + self.input_bias + self.state_bias
        zi, zo, zf, zc = self.gates(z)
        pi, po, pf = self.peepholes
        i = f(zi + pi * c)
        forget = 1 - i if self.input_forget else f(zf + pf * c)
        c = forget * c + i * g(zc)
        h = f(zo + po * c) * last(c)
        return h, [h, c]
