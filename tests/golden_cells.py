"""Custom cells of the golden cases, written once and bound to a library: live Keras or the package.

``bind(base, ops)`` returns the cells by name. Layer cells get ``base`` (a Keras-like ``Layer``) as their
base class; plain cells are classes with nothing but ``call`` and ``state_size``. All arithmetic goes
through ``ops``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from golden_store import NestedInput, NestedState


@dataclass(frozen=True)
class Ops:
    """The few functions the cells need; NumPy's or TensorFlow's."""

    matmul: Callable[..., Any]
    einsum: Callable[..., Any]
    tanh: Callable[..., Any]
    full: Callable[..., Any]
    shape: Callable[..., Any]


class Configured:
    """Keeps constructor arguments as attributes and config."""

    ops: Ops
    arguments: tuple[str, ...] = ("units",)

    if TYPE_CHECKING:  # the arguments, and what the Layer base class brings

        def __getattr__(self, name: str) -> Any:
            """Whatever it is."""

    def __init__(self, **kwargs: Any) -> None:
        """Take the cell's own arguments, hand the rest to the library's Layer."""
        own = {name: kwargs.pop(name) for name in self.arguments}
        super().__init__(**kwargs)
        for name, value in own.items():
            setattr(self, name, value)
        self.prepare()

    def prepare(self) -> None:
        """Set state_size and the like."""
        self.state_size = self.units

    def get_config(self) -> dict[str, Any]:
        """The base's config and the cell's own arguments."""
        inherited = super().get_config()  # type: ignore[misc]
        return {**inherited, **{name: getattr(self, name) for name in self.arguments}}

    def weight(self, name: str, *shape: int) -> Any:
        """Add one weight."""
        return self.add_weight(name=name, shape=shape, initializer="uniform")


class Minimal(Configured):
    """Affine step; the new state is also the output."""

    def build(self, input_shape: Any) -> None:
        """Two matrices."""
        self.kernel = self.weight("kernel", input_shape[-1], self.units)
        self.recurrent_kernel = self.weight("recurrent_kernel", self.units, self.units)
        self.built = True

    def step(self, inputs: Any, state: Any) -> Any:
        """The affine map shared by the variants below."""
        return self.ops.matmul(inputs, self.kernel) + self.ops.matmul(state, self.recurrent_kernel)

    def call(self, inputs: Any, states: Any) -> Any:
        """See class."""
        h = self.step(inputs, states[0])
        return h, [h]


class BareState(Minimal):
    """Returns its new state bare, not in a list."""

    def call(self, inputs: Any, states: Any) -> Any:
        """See class."""
        h = self.ops.tanh(self.step(inputs, states[0]))
        return h, h


class BareIn(Minimal):
    """Asks for the convention of tf.nn cells: a single state arrives bare."""

    _is_tf_rnn_cell = True

    def call(self, inputs: Any, states: Any) -> Any:
        """See class."""
        h = self.ops.tanh(self.step(inputs, states))
        return h, h


class PlusOne(Minimal):
    """Output and state differ: the state is one more than the output."""

    def call(self, inputs: Any, states: Any) -> Any:
        """See class."""
        output = self.ops.tanh(self.step(inputs, states[0]))
        return output, [output + 1.0]


class OwnStart(Minimal):
    """Starts from 0.5, not from zero."""

    def get_initial_state(self, inputs: Any = None, batch_size: Any = None, dtype: Any = None) -> Any:
        """Not zero."""
        return self.ops.full([batch_size, self.units], 0.5, dtype)


class TrainingProbe(Minimal):
    """Doubles the state's share in training."""

    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        """See class."""
        h = self.ops.tanh(self.step(inputs, states[0] * (2.0 if training else 1.0)))
        return h, [h]


class CatchAll(Minimal):
    """Its ``**kwargs`` must not count as naming ``training``."""

    def call(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
        """See class."""
        h = self.ops.tanh(self.step(inputs, states[0])) + (1.0 if "training" in kwargs else 0.0)
        return h, [h]


class LateSizes(Minimal):
    """Knows its sizes only once built."""

    def prepare(self) -> None:
        """Leave the sizes open."""
        self.state_size = self.output_size = None

    def build(self, input_shape: Any) -> None:
        """Fill the sizes in."""
        super().build(input_shape)
        self.state_size = self.output_size = self.units


class WithConstants(Minimal):
    """Adds a projection of its first constant and the second, if there is one, as it is."""

    arguments = ("units", "constant_size")

    def build(self, input_shape: Any) -> None:
        """One more matrix."""
        self.constant_kernel = self.weight("constant_kernel", self.constant_size, self.units)
        super().build(input_shape)

    def call(self, inputs: Any, states: Any, constants: Any) -> Any:  # type: ignore[override]
        """See class."""
        h = self.step(inputs, states[0]) + self.ops.matmul(constants[0], self.constant_kernel)
        h = self.ops.tanh(h if len(constants) == 1 else h + constants[1])
        return h, [h]


class TwoStates(Configured):
    """Two states of different sizes; the output has a third size and comes from the old state."""

    arguments = ("units", "out")

    def prepare(self) -> None:
        """Sizes."""
        self.state_size = (self.units, self.units + 1)
        self.output_size = self.out

    def build(self, input_shape: Any) -> None:
        """Three matrices."""
        self.first = self.weight("first", input_shape[-1], self.units)
        self.second = self.weight("second", input_shape[-1], self.units + 1)
        self.read = self.weight("read", self.units, self.out)
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        """See class."""
        first = self.ops.tanh(self.ops.matmul(inputs, self.first) + 0.5 * states[0])
        second = self.ops.tanh(self.ops.matmul(inputs, self.second) - 0.5 * states[1])
        return self.ops.matmul(states[0] + first, self.read), (first, second)


class HighDim(Configured):
    """Inputs (B, p, q), one state and output (B, p, units)."""

    arguments = ("rows", "units")

    def prepare(self) -> None:
        """One high-dimensional state."""
        self.state_size = self.output_size = self.ops.shape([self.rows, self.units])

    def build(self, input_shape: Any) -> None:
        """One matrix."""
        self.kernel = self.weight("kernel", input_shape[-1], self.units)
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        """See class."""
        projected = self.ops.einsum("bpq,qu->bpu", inputs, self.kernel)
        h = self.ops.tanh(projected + 0.5 * states[0])
        return h, [h]


class Nested(Configured):
    """Input pair (B, a) and (B, b, c); the same shapes of state and output.

    ``form`` says how the output pair is packed: "tuple", "list" or "named".
    """

    arguments = ("units", "rows", "columns", "form")

    def prepare(self) -> None:
        """A vector and a matrix state."""
        matrix = self.ops.shape([self.rows, self.columns])
        self.state_size = NestedState(self.units, matrix)
        self.output_size = (self.units, matrix)

    def build(self, input_shape: Any) -> None:
        """One weight for each part."""
        vector_shape, _ = input_shape
        self.kernel = self.weight("kernel", vector_shape[-1], self.units)
        self.gain = self.weight("gain", self.rows, self.columns)
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        """See class."""
        vector, matrix = inputs
        old_vector, old_matrix = states
        new_vector = self.ops.tanh(self.ops.matmul(vector, self.kernel) + 0.5 * old_vector)
        new_matrix = self.ops.tanh(matrix * self.gain + 0.5 * old_matrix)
        pair = (new_vector, new_matrix)
        output = {"tuple": pair, "list": list(pair), "named": NestedInput(*pair)}[self.form]
        return output, NestedState(*pair)


class DictInput(Configured):
    """Inputs by name."""

    def build(self, input_shape: Any) -> None:
        """A matrix for each input."""
        self.left = self.weight("left", input_shape["left"][-1], self.units)
        self.right = self.weight("right", input_shape["right"][-1], self.units)
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        """See class."""
        mixed = self.ops.matmul(inputs["left"], self.left) - self.ops.matmul(inputs["right"], self.right)
        h = self.ops.tanh(mixed + 0.5 * states[0])
        return h, [h]


class Stateless(Configured):
    """No state at all, in a nested way."""

    def prepare(self) -> None:
        """Nothing to carry."""
        self.state_size = ((), [], ())
        self.output_size = self.units

    def build(self, input_shape: Any) -> None:
        """One matrix."""
        self.kernel = self.weight("kernel", input_shape[-1], self.units)
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        """See class."""
        return self.ops.tanh(self.ops.matmul(inputs, self.kernel)), states


class WrongCount(Minimal):
    """Declares one state and returns two."""

    def call(self, inputs: Any, states: Any) -> Any:
        """See class."""
        h = self.step(inputs, states[0])
        return h, [h, h]


class Plain:
    """The smallest cell there is; no base class, no ``get_initial_state``."""

    ops: Ops

    def __init__(self, units: int) -> None:
        """Inputs need ``units`` features."""
        self.state_size = units

    def call(self, inputs: Any, states: Any) -> Any:
        """Leaky sum."""
        h = self.ops.tanh(inputs + 0.5 * states[0])
        return h, [h]


class PlainCallable(Plain):
    """Callable: the layer must go through ``__call__``."""

    def __call__(self, inputs: Any, states: Any) -> Any:
        """One more than ``call``."""
        output, new_states = self.call(inputs, states)
        return output + 1.0, new_states


class NoCall:
    """Not a cell: ``call`` is missing."""

    state_size = 2


class NoStateSize:
    """Not a cell: ``state_size`` is missing."""

    def call(self, inputs: Any, states: Any) -> Any:
        """Never reached."""
        raise AssertionError


LAYER_CELLS = (
    Minimal, BareState, BareIn, PlusOne, OwnStart, TrainingProbe, CatchAll, LateSizes, WithConstants,
    TwoStates, HighDim, Nested, DictInput, Stateless, WrongCount,
)  # fmt: skip
PLAIN_CELLS = (Plain, PlainCallable, NoCall, NoStateSize)


def bind(base: type, ops: Ops) -> dict[str, Any]:
    """The cells by name, computing with ``ops``, Layer cells derived from ``base``."""
    bound: dict[str, Any] = {}
    for cell in LAYER_CELLS:
        bound[cell.__name__] = type(cell.__name__, (cell, base), {"ops": ops})
    for plain in PLAIN_CELLS:
        bound[plain.__name__] = type(plain.__name__, (plain,), {"ops": ops})
    return bound
