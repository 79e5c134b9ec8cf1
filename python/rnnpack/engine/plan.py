"""From a cell to packed native weights, or to the reason why not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import count, repeat
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core
from rnnpack.activations import NATIVE_NAMES
from rnnpack.cells.gru import GRUCell
from rnnpack.cells.lstm import LSTMCell
from rnnpack.cells.peephole_lstm import PeepholeLSTMCell
from rnnpack.cells.projected_lstm import ProjectedLSTMCell
from rnnpack.cells.simple_rnn import SimpleRNNCell
from rnnpack.cells.stacked import StackedRNNCells
from rnnpack.engine.precision import FULL, Precision
from rnnpack.explain import Explanation
from rnnpack.layers.base import Layer
from rnnpack.variable import Variable

# What an instance may carry in place of its class's methods.
_METHODS = frozenset({"call", "get_initial_state"})
# Subclasses before what they derive from.
_BUILT_IN: tuple[type[Layer], ...] = (PeepholeLSTMCell, ProjectedLSTMCell, LSTMCell, GRUCell, SimpleRNNCell)


class _Weights(NamedTuple):
    """Arguments of the packed cells of every device."""

    kind: str
    kernel: NDArray[Any]
    recurrent_kernel: NDArray[Any]
    bias: NDArray[Any] | None
    activation: str
    recurrent_activation: str
    peepholes: NDArray[Any] | None
    projection_kernel: NDArray[Any] | None


class _Processor(NamedTuple):
    """What weights are packed for: the processor's kernels."""

    isa: str
    precision: str
    ranges: tuple[float, float]

    @property
    def key(self) -> tuple[Any, ...]:
        """Of the cell's packed weights; another instruction set takes the place of the last one."""
        return self[1:]

    def pack(self, weights: _Weights) -> _core.PackedCell:
        """Packs them."""
        own: tuple[Any, Any] = weights[6:]
        return _core.PackedCell(*weights[:6], self.isa, self.precision, *self.ranges, *own)


class _Gpu(NamedTuple):
    """What weights are packed for: the memory of a GPU."""

    device: int
    number_format: str

    @property
    def key(self) -> tuple[Any, ...]:
        """Of the cell's packed weights."""
        return self

    def pack(self, weights: _Weights) -> _core.CudaCell:
        """Packs and uploads them; float16 ones go as float32, which the kernels round back."""
        sent = _Weights._make(widened(one) if isinstance(one, np.ndarray) else one for one in weights)
        return _core.CudaCell(*sent[:6], *self, *sent[6:])


def members_of(cell: Any) -> list[Any]:
    """The cells that run one after the other in each step."""
    return list(cell.cells) if type(cell) is StackedRNNCells else [cell]


def explain(cell: Any, dtype: np.dtype[Any], precision: Precision = FULL) -> Explanation:
    """Says how a layer with this cell computes.

    Args:
        cell: of the layer, built or not.
        dtype: the layer's compute dtype.
        precision: the layer's precision.

    Raises:
        ValueError: RNNPACK_ISA names an instruction set this machine or build does not have.
    """
    reason = reason_against(cell, dtype)
    if reason is not None:
        return Explanation(False, "python", None, dtype.name, reason)
    isa = _core.selected_isa(_isa(), precision.name)
    return Explanation(True, kernel_name(cell), isa, dtype.name, None, precision.name)


def kernel_name(cell: Any) -> str:
    """The kernels of a native cell, as `explain()` shows them."""
    return "+".join(_kind(member) for member in members_of(cell))


def native_cells(cell: Any, dtype: np.dtype[Any], precision: Precision) -> list[_core.PackedCell] | None:
    """Packed weights of a built cell, or of each member of a stack; None if it must run in Python.

    Packing happens once and again after a weight has changed; the result is kept on the cell, so that
    layers which share a cell share it.

    Args:
        cell: of the layer.
        dtype: the layer's compute dtype.
        precision: the layer's precision.

    Raises:
        ValueError: reduced precision was asked for, and the cell must run in Python, or has too many inputs
            or units for it.
    """
    isa = _isa()
    targets = (_Processor(isa, precision.name, precision.ranges_of(position)) for position in count())
    packed = _packed(cell, dtype, targets, "cpu")
    if packed is None:
        _check_precision(cell, dtype, precision)
    return packed


def cuda_cells(
    cell: Any, dtype: np.dtype[Any], precision: Precision, device: int
) -> list[_core.CudaCell] | None:
    """The same in the memory of a GPU; None if the cell cannot run there, see `reason_against`.

    Args:
        cell: of the layer.
        dtype: the layer's compute dtype.
        precision: the layer's precision.
        device: number of the GPU, which is known to be there.

    Raises:
        MemoryError: the GPU has not enough memory.
        RuntimeError: it failed.
    """
    number_format = dtype.name if precision.name == "full" else precision.name
    return _packed(cell, dtype, repeat(_Gpu(device, number_format)), "cuda")


def _packed(
    cell: Any, dtype: np.dtype[Any], targets: Iterable[_Processor | _Gpu], device: str
) -> list[Any] | None:
    """The packed weights of each member, up to date; None if there is a reason against."""
    stacked = type(cell) is StackedRNNCells
    if stacked and _is_altered(cell):
        return None
    packed = []
    for member, target in zip(cell.cells if stacked else (cell,), targets, strict=False):
        cached = (getattr(member, "_native_cache", None) or {}).get(target.key)
        if cached is None or cached[0] != _stamp(member, dtype, target):
            if reason_against(cell, dtype, device) is not None:
                return None
            cached = _pack(member, dtype, target)
        packed.append(cached[1])
    return packed


def forget(cell: Any) -> None:
    """Gives packed weights up; they are made again when they are needed."""
    cell._native_cache = None


def _check_precision(cell: Any, dtype: np.dtype[Any], precision: Precision) -> None:
    """Raises ValueError where the Python loop would not compute what was asked for."""
    if precision.reduced:
        raise ValueError(
            f"The precision {precision.name} was asked for, which needs the native path: "
            f'{reason_against(cell, dtype)}; set_precision("full") computes in {dtype.name}'
        )


def grouped(cell: Any, states: list[Any]) -> list[Any]:
    """The flat states of a native call as the layer returns them: those of a stacked LSTM are a list."""
    if type(cell) is not StackedRNNCells:
        return states
    flat = iter(states)
    return [[next(flat), next(flat)] if isinstance(member, LSTMCell) else next(flat) for member in cell.cells]


def drops(cell: Any) -> bool:
    """Whether a native cell, or one in a stack of them, drops inputs or states in training mode."""
    return any(member.dropout or member.recurrent_dropout for member in members_of(cell))


def dropout_masks(cell: Any, batch: int, dtype: np.dtype[Any]) -> list[tuple[Any, Any]] | None:
    """New dropout masks for one call of a built native cell, or of each member of a stack.

    They are drawn as the Python loop draws them, so a seed gives both paths the same masks.

    Args:
        cell: of the layer.
        batch: rows of the inputs.
        dtype: the layer's compute dtype.

    Returns:
        A pair (masks for the inputs, masks for the states) for each member; each None or an array `(count,
        batch, size)` with count 1 or the cell's gates. None if nothing is dropped.
    """
    if not drops(cell):
        return None
    pairs: list[tuple[Any, Any]] = []
    for member in members_of(cell):
        member.reset_dropout_mask()
        member.reset_recurrent_dropout_mask()
        like = (np.empty((batch, len(matrix)), dtype) for matrix in (member.kernel, member.recurrent_kernel))
        inputs, states = member._input_masks(next(like), True), member._state_masks(next(like), True)
        pairs.append((inputs and np.stack(inputs), states and np.stack(states)))
    return pairs


def reason_against(cell: Any, dtype: np.dtype[Any], device: str = "cpu") -> str | None:
    """Why a layer with this cell cannot run natively on the CPU, or with "cuda" on a GPU; None if it can."""
    if dtype not in (np.float32, np.float64) and (device == "cpu" or dtype != np.float16):
        names = "float32 and float64" if device == "cpu" else "float16, float32 and float64"
        return f"native kernels compute in {names}, not in {dtype.name}"
    if type(cell) is StackedRNNCells:
        if _is_altered(cell):
            return "the stack has an activity regularizer or a replaced method"
        found = (_member_reason(member, dtype) for member in cell.cells)
        return next((reason for reason in found if reason is not None), None)
    return _member_reason(cell, dtype)


def _member_reason(cell: Any, dtype: np.dtype[Any]) -> str | None:
    name = type(cell).__name__
    if type(cell) not in _BUILT_IN:
        base = next((kind.__name__ for kind in (*_BUILT_IN, StackedRNNCells) if isinstance(cell, kind)), None)
        return f"cell {name} is not built in" if base is None else f"cell {name} is a subclass of {base}"
    if _is_altered(cell):
        return f"cell {name} has an activity regularizer or a replaced method"
    if cell.dtype_policy.compute_dtype != dtype:
        return f"cell {name} computes in {cell.compute_dtype}, the layer in {dtype.name}"
    for role in ("activation", "recurrent_activation"):
        function = getattr(cell, role, None)
        if function is not None and _native_name(function) is None:
            return f"{role} {getattr(function, '__name__', function)!r} has no native kernel"
    weights = (cell.kernel, cell.recurrent_kernel, cell.bias, *_own_weights(cell)) if cell.built else ()
    if not all(weight is None or isinstance(weight, Variable) for weight in weights):
        return f"a weight of cell {name} was replaced by something that is not a Variable"
    return None


def _is_altered(cell: Layer) -> bool:
    attributes = vars(cell)
    return not (attributes["activity_regularizer"] is None and attributes.keys().isdisjoint(_METHODS))


def _native_name(activation: Any) -> str | None:
    # Only functions: other callables need not be hashable.
    return NATIVE_NAMES.get(activation) if isinstance(activation, FunctionType) else None


def _own_weights(cell: Any) -> tuple[Any, ...]:
    """The weights of a built cell that no cell of another kind has."""
    if type(cell) is PeepholeLSTMCell:
        return (
            cell.input_gate_peephole_weights,
            cell.forget_gate_peephole_weights,
            cell.output_gate_peephole_weights,
        )
    return (cell.projection_kernel,) if type(cell) is ProjectedLSTMCell else ()


def _kind(cell: Any) -> str:
    if type(cell) is LSTMCell:
        return "lstm"
    if type(cell) is PeepholeLSTMCell:
        return "peephole_lstm"
    if type(cell) is ProjectedLSTMCell:
        return "projected_lstm"
    if type(cell) is GRUCell:
        return "gru" if cell.reset_after else "gru_reset_before"
    return "simple_rnn"


def _isa() -> str:
    """The instruction set asked for; empty means the best of this machine."""
    return os.environ.get("RNNPACK_ISA", "")


def _stamp(cell: Any, dtype: np.dtype[Any], target: _Processor | _Gpu) -> tuple[Any, ...]:
    """Everything the packed weights depend on; Variables by identity, as they compare element-wise."""
    kernel, recurrent, bias = cell.kernel, cell.recurrent_kernel, cell.bias
    return (
        id(kernel),
        getattr(kernel, "version", None),
        id(recurrent),
        getattr(recurrent, "version", None),
        id(bias),
        getattr(bias, "version", None),
        cell.activation,
        getattr(cell, "recurrent_activation", None),
        getattr(cell, "reset_after", None),
        _is_altered(cell),
        dtype,
        target,
        *((id(weight), getattr(weight, "version", None)) for weight in _own_weights(cell)),
    )


def _pack(cell: Any, dtype: np.dtype[Any], target: _Processor | _Gpu) -> tuple[Any, ...]:
    """Packs an eligible, built cell and keeps the result on it."""
    # The stamp is taken before the arrays: a concurrent assign can only make it too old, never too new.
    stamp = _stamp(cell, dtype, target)
    kernel, recurrent, bias = cell.kernel, cell.recurrent_kernel, cell.bias
    own = _own_weights(cell)
    operands = [weight.operand for weight in own]
    packed = target.pack(
        _Weights(
            _kind(cell),
            kernel.operand,
            recurrent.operand,
            None if bias is None else bias.operand,
            NATIVE_NAMES[cell.activation],
            # SimpleRNN has none; the kernel ignores it.
            NATIVE_NAMES[getattr(cell, "recurrent_activation", cell.activation)],
            peepholes=np.stack(operands) if type(cell) is PeepholeLSTMCell else None,
            projection_kernel=operands[0] if type(cell) is ProjectedLSTMCell else None,
        )
    )
    # The Variables are kept too: an id is only meaningful while its object lives. A new dict, as another
    # thread may be reading the old one.
    made = (stamp, packed, (kernel, recurrent, bias, *own))
    cell._native_cache = {**(getattr(cell, "_native_cache", None) or {}), target.key: made}
    return made


def widened(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or a float16 one as float32, as which it goes to a GPU."""
    return array.astype(np.float32) if getattr(array, "dtype", None) == np.float16 else array
