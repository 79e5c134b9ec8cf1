"""The operators LSTM, GRU and RNN: by rnnpack's own layers where these can express them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import layers
from rnnpack.explain import Explanation
from rnnpack.formats.onnx.node import Node, operator
from rnnpack.formats.onnx.operators.elementwise import ACTIVATIONS, parametric
from rnnpack.formats.onnx.steps import GRUStep, LSTMStep, RNNStep

Array = NDArray[Any]

# Of each operator: how many gates, the default activations, one step in Python.
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
_STEPS: dict[str, Any] = {"LSTM": LSTMStep, "GRU": GRUStep, "RNN": RNNStep}

# Keras' names of activations; those with parameters only for these values.
_NATIVE: dict[str, tuple[str, float | None, float | None]] = {
    "Affine": ("linear", 1.0, 0.0),
    "Elu": ("elu", 1.0, None),
    "HardSigmoid": ("hard_sigmoid", 0.2, 0.5),
    "Relu": ("relu", None, None),
    "Sigmoid": ("sigmoid", None, None),
    "Softplus": ("softplus", None, None),
    "Softsign": ("softsign", None, None),
    "Tanh": ("tanh", None, None),
}
_BY_LOWER = {name.lower(): name for name in ACTIVATIONS}

# ONNX's gates in Keras' order: LSTM i, o, f, c; its peepholes i, o, f.
_LSTM_ORDER = [0, 2, 3, 1]
_PEEPHOLE_ORDER = [0, 2, 1]


class _Activation:
    """An activation with the parameters given for it."""

    def __init__(self, name: str, alpha: float | None, beta: float | None) -> None:
        self.name, self.alpha, self.beta = name, alpha, beta
        self.function = parametric(name, alpha, beta)

    @property
    def native(self) -> str | None:
        """Keras' name for it, None where it has none."""
        if self.name not in _NATIVE:
            return None
        name, alpha, beta = _NATIVE[self.name]
        fits = all(
            given is None or abs(given - wanted) < 1e-6
            for given, wanted in ((self.alpha, alpha), (self.beta, beta))
            if wanted is not None
        )
        return name if fits else None


class Recurrent:
    """An LSTM, GRU or RNN node: a function of its inputs that can say how it computes.

    The layer is made when the graph is loaded if the weights are constants, else in every call.
    """

    def __init__(self, node: Node) -> None:
        self.op = node.op
        self.label = node.name
        self.direction = node.text("direction", "forward", ("forward", "reverse", "bidirectional"))
        self.directions = 2 if self.direction == "bidirectional" else 1
        self.units = node.integer("hidden_size")
        self.batch_first = node.opset >= 14 and node.flag("layout")
        self.clip = node.number("clip")
        self.input_forget = node.op == "LSTM" and node.flag("input_forget")
        self.reset_after = node.op == "GRU" and node.flag("linear_before_reset")
        if self.clip is not None and not self.clip > 0:
            raise node.error(f"attribute 'clip' must be positive, got {self.clip}")
        self.activations = _activations(node, self.directions)
        self.wanted = [node.wants(index) for index in range(len(node.outputs))]
        self.ends = any(self.wanted[1:])
        self.peepholes = node.has(7)
        self.precision = "full"
        self.layers: list[Any] | None = None
        self.reason = self._reason()
        weights = [node.constant(index) for index in (1, 2, 3, 7)]
        given = [node.has(index) for index in (1, 2, 3, 7)]
        if all(array is not None or not there for array, there in zip(weights, given, strict=True)):
            try:
                self.layers = self._layers(*weights)
            except (TypeError, ValueError) as error:
                raise node.error(str(error)) from error

    def _reason(self) -> str | None:
        """Why no built-in cell can do it."""
        if self.clip is not None:
            return f"attribute clip={self.clip:g}"
        if self.input_forget:
            return "attribute input_forget=1"
        for group in self.activations:
            for one in group:
                if one.native is None:
                    values = [f"{value:g}" for value in (one.alpha, one.beta) if value is not None]
                    return f"activation {one.name}({', '.join(values)}) has no native kernel"
            if len(group) == 3 and group[1].native != group[2].native:
                return f"activations {group[1].name} and {group[2].name} differ"
        return None

    # Making layers.

    def _layers(self, w: Any, r: Any, b: Any = None, p: Any = None) -> list[Any]:
        """One layer for each direction, or one for both."""
        arrays = self._checked(w, r, b, p)
        backwards = [self.direction == "reverse", True][: self.directions]
        if self.reason is not None:
            return [
                self._python_layer(group, back, *parts)
                for parts, group, back in zip(arrays, self.activations, backwards, strict=True)
            ]
        made = [
            self._native_layer(group, back, self.units, arrays[0][0].dtype)
            for group, back in zip(self.activations, backwards, strict=True)
        ]
        layer = made[0]
        if self.directions == 2:
            layer = layers.Bidirectional(made[0], backward_layer=made[1], merge_mode="concat")
        layer.build((None, None, w.shape[2]))
        layer.set_weights([array for parts in arrays for array in self._native_weights(*parts)])
        if self.precision != "full":
            layer.set_precision(self.precision)
        return [layer]

    def _checked(self, w: Array, r: Array, b: Array | None, p: Array | None) -> list[tuple[Any, ...]]:
        """W, R, B and P of each direction, in float32 or float64."""
        if w.ndim != 3 or r.ndim != 3 or w.dtype.kind != "f" or w.dtype != r.dtype:
            raise ValueError(f"W is {w.dtype} {w.shape}, R {r.dtype} {r.shape}: expected 3 axes of floats")
        gates, units = _GATES[self.op], r.shape[2]
        if self.units is None:
            self.units = units
        wanted = {
            "W": (w, (self.directions, gates * self.units, w.shape[2])),
            "R": (r, (self.directions, gates * self.units, self.units)),
            "B": (b, (self.directions, 2 * gates * self.units)),
            "P": (p, (self.directions, 3 * self.units)),
        }
        for name, (array, shape) in wanted.items():
            if array is not None and (array.shape != shape or array.dtype != w.dtype):
                raise ValueError(
                    f"{name} must be {w.dtype} of shape {shape}, got {array.dtype} of {array.shape}"
                )
        if 0 in w.shape:
            raise ValueError(f"W of shape {w.shape} is empty")
        dtype = np.dtype(np.float64 if w.dtype == np.float64 else np.float32)
        if b is None:
            b = np.zeros((self.directions, 2 * gates * self.units), dtype)
        return [
            tuple(None if array is None else array[at].astype(dtype) for array in (w, r, b, p))
            for at in range(self.directions)
        ]

    def _python_layer(self, group: list[_Activation], back: bool, w: Any, r: Any, b: Any, p: Any) -> Any:
        functions = [one.function for one in group]
        options: dict[str, Any] = {"clip": self.clip}
        if self.op == "LSTM":
            options |= {"peepholes": p, "input_forget": self.input_forget}
        if self.op == "GRU":
            options |= {"reset_after": self.reset_after}
        step = _STEPS[self.op](w, r, b, functions, **options)
        return layers.RNN(step, dtype=w.dtype.name, **self._options(back))

    def _options(self, back: bool) -> dict[str, Any]:
        return {
            "return_sequences": self.wanted[0],
            "return_state": self.ends,
            "go_backwards": back,
            "time_major": not self.batch_first,
            "zero_output_for_mask": True,
        }

    def _native_layer(self, group: list[_Activation], back: bool, units: int, dtype: Any) -> Any:
        names = [one.native for one in group]
        options = {**self._options(back), "dtype": np.dtype(dtype).name}
        if self.op == "RNN":
            return layers.SimpleRNN(units, activation=names[0], **options)
        both: dict[str, Any] = {"activation": names[1], "recurrent_activation": names[0]}
        if self.op == "GRU":
            return layers.GRU(units, reset_after=self.reset_after, **both, **options)
        if not self.peepholes:
            return layers.LSTM(units, **both, **options)
        cell = layers.PeepholeLSTMCell(units, **both, dtype=options["dtype"])
        return layers.RNN(cell, **options)

    def _native_weights(self, w: Array, r: Array, b: Array, p: Array | None) -> list[Array]:
        """One direction's weights as Keras orders them."""
        units, gates = r.shape[1], _GATES[self.op]
        if self.op == "LSTM":
            order = np.add.outer(np.array(_LSTM_ORDER) * units, np.arange(units)).ravel()
            w, r, b = w[order], r[order], np.concatenate([b[: 4 * units][order], b[4 * units :][order]])
        rows = b.reshape(2, gates * units)
        bias = rows if self.reset_after else rows.sum(0)
        peepholes = [] if p is None else list(p.reshape(3, units)[_PEEPHOLE_ORDER])
        return [w.T, r.T, bias, *peepholes]

    # Calling.

    def __call__(
        self,
        x: Array,
        w: Array,
        r: Array,
        b: Array | None = None,
        lengths: Array | None = None,
        h: Array | None = None,
        c: Array | None = None,
        p: Array | None = None,
    ) -> Any:
        """The node's outputs Y, Y_h and Y_c, as many as it has."""
        made = self.layers or self._layers(w, r, b, p)
        if x.ndim != 3:
            raise ValueError(f"X must have 3 axes, got shape {x.shape}")
        if x.shape[2] != w.shape[2] or x.dtype != w.dtype:
            raise ValueError(f"X must be {w.dtype} with {w.shape[2]} features, got {x.dtype} of {x.shape}")
        batch, steps = x.shape[:2] if self.batch_first else x.shape[1::-1]
        states = [self._state(one, batch, x.dtype) for one in ([h, c] if self.op == "LSTM" else [h])]
        mask = self._mask(lengths, batch, steps)
        if steps == 0:
            finals = [
                np.zeros((self.directions, batch, self.units), x.dtype) if s is None else s for s in states
            ]
            empty = np.zeros((0, batch, self.units * self.directions), x.dtype)
            return self._outputs(empty.swapaxes(0, 1) if self.batch_first else empty, finals)
        narrow = x.dtype.itemsize == 2
        if narrow:
            x, states = x.astype(np.float32), [None if s is None else s.astype(np.float32) for s in states]
        sequence, finals = self._run(made, x, mask, states)
        if narrow:
            sequence, finals = sequence.astype(np.float16), [s.astype(np.float16) for s in finals]
        return self._outputs(sequence, finals)

    def _state(self, state: Array | None, batch: int, dtype: Any) -> Array | None:
        """A first state `(directions, batch, units)`."""
        if state is None:
            return None
        if self.batch_first and state.ndim == 3:
            state = state.swapaxes(0, 1)
        if state.shape != (self.directions, batch, self.units) or state.dtype != dtype:
            raise ValueError(
                f"initial states must be {dtype} for {self.directions} directions, {batch} rows and "
                f"{self.units} units, got {state.dtype} of shape {state.shape}"
            )
        return state

    def _mask(self, lengths: Array | None, batch: int, steps: int) -> Array | None:
        """Which steps count, in the layout of X; None where all do."""
        if lengths is None:
            return None
        if lengths.shape != (batch,) or lengths.dtype.kind not in "iu":
            raise ValueError(f"sequence_lens must be {batch} integers, got {lengths.dtype} {lengths.shape}")
        if batch == 0 or lengths.min() == steps == lengths.max():
            return None
        if lengths.min() < 0 or lengths.max() > steps:
            raise ValueError(f"sequence_lens must be 0 to {steps}, got {lengths.min()} to {lengths.max()}")
        mask: Array = np.arange(steps)[:, None] < lengths
        return mask.T if self.batch_first else mask

    def _run(self, made: list[Any], x: Array, mask: Any, states: list[Any]) -> tuple[Array, list[Array]]:
        """Sequences of all directions side by side, and the final states `(directions, batch, units)`."""
        count = len(states)
        first = None
        if any(state is not None for state in states):
            batch = x.shape[0 if self.batch_first else 1]
            zero = np.zeros((self.directions, batch, self.units), x.dtype)
            first = [zero if state is None else state for state in states]
        if len(made) < self.directions:
            flat = None if first is None else [one[at] for at in range(2) for one in first]
            y, finals = self._call(made[0], x, flat, mask)
            ends = [finals[:count], finals[count:]]
            return y, [np.stack(pair) for pair in zip(*ends, strict=True)]
        sequences, ends = [], []
        for at, layer in enumerate(made):
            given = None if first is None else [one[at] for one in first]
            y, finals = self._call(layer, x, given, mask)
            if layer.go_backwards and layer.return_sequences:
                y = np.flip(y, 1 if self.batch_first else 0)
            sequences.append(y)
            ends.append(finals)
        if self.directions == 1:
            return sequences[0], [state[None] for state in ends[0]]
        return np.concatenate(sequences, axis=-1), [np.stack(pair) for pair in zip(*ends, strict=True)]

    def _call(self, layer: Any, x: Array, states: Any, mask: Any) -> tuple[Array, list[Array]]:
        """What a layer returns: its output and, where they are wanted, its final states."""
        result = layer(x, initial_state=states, mask=mask)
        return (result[0], result[1:]) if self.ends else (result, [])

    def _outputs(self, sequence: Array, finals: list[Array]) -> Any:
        """The wanted outputs, in the node's layout."""
        found: list[Any] = [None]
        if self.wanted[0]:
            y = sequence.reshape(*sequence.shape[:2], self.directions, self.units)
            found = [y if self.batch_first else y.transpose(0, 2, 1, 3)]
        found += [state.swapaxes(0, 1) if self.batch_first else state for state in finals]
        return tuple(found)

    # Explaining.

    def explain(self) -> Explanation:
        """How the node computes."""
        made = self.layers or [self._native_layer(self.activations[0], False, self.units or 1, "float32")]
        if self.reason is not None:
            dtype = "float32" if self.layers is None else made[0].dtype
            return Explanation(False, "python", None, dtype, self.reason)
        explanation: Explanation = made[0].explain()
        return explanation

    def set_precision(self, precision: str) -> None:
        """As `set_precision` of layers; ValueError where the node cannot compute so, nothing changes then."""
        if self.reason is not None and precision != "full":
            raise ValueError(f"Node {self.label} cannot compute in {precision}: {self.reason}")
        if self.reason is None and self.layers is not None:
            self.layers[0].set_precision(precision)
        self.precision = precision


def _activations(node: Node, directions: int) -> list[list[_Activation]]:
    """The activations of each direction; parameters go, in order, to those that have such a one."""
    defaults = _DEFAULTS[node.op]
    names = node.texts("activations") or defaults * directions
    if len(names) == len(defaults) != len(defaults) * directions:
        names = names * directions
    if len(names) != len(defaults) * directions or not all(name.lower() in _BY_LOWER for name in names):
        raise node.error(f"attribute 'activations' {names} does not fit {directions} directions")
    alphas, betas = iter(node.numbers("activation_alpha", [])), iter(node.numbers("activation_beta", []))
    made = []
    for name in (_BY_LOWER[name.lower()] for name in names):
        _, alpha, beta = ACTIVATIONS[name]
        made.append(
            _Activation(
                name,
                None if alpha is None else next(alphas, alpha),
                None if beta is None else next(betas, beta),
            )
        )
    groups = range(0, len(made), len(defaults))
    return [made[at : at + len(defaults)] for at in groups]


for _name, _inputs, _outputs in (("LSTM", 8, 3), ("GRU", 6, 2), ("RNN", 6, 2)):
    operator(_name, inputs=(3, _inputs), outputs=_outputs, foldable=False)(Recurrent)
