"""Native recurrent kernels: packed cells and the call that runs a whole sequence through them."""

from collections.abc import Sequence
from typing import Any, final

from numpy.typing import NDArray

@final
class PackedCell:
    """Immutable weights of one built-in cell, packed once for the kernels of one instruction set.

    Args:
        kind: "simple_rnn", "lstm", "gru" (reset_after) or "gru_reset_before".
        kernel: `(input_size, gates * units)`, in Keras' layout; float32 or float64, as the other arrays.
        recurrent_kernel: `(units, gates * units)`.
        bias: `(gates * units,)`, for "gru" `(2, gates * units)`, or None.
        activation: name of an element-wise activation.
        recurrent_activation: the same; "simple_rnn" does not use it.
        isa: name of an instruction set, empty for the best of this machine.

    Raises:
        ValueError: a name is unknown or a shape does not fit.
        TypeError: an array has another dtype, or is none.
    """

    def __new__(
        cls,
        kind: str,
        kernel: NDArray[Any],
        recurrent_kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        activation: str,
        recurrent_activation: str,
        isa: str = "",
    ) -> PackedCell: ...
    @property
    def kind(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def units(self) -> int: ...
    @property
    def state_count(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

def available_isas() -> list[str]:
    """Instruction sets that this build holds and this machine runs, the best first."""

def run(
    cells: Sequence[PackedCell],
    inputs: NDArray[Any],
    states: Sequence[NDArray[Any]] | None,
    mask: NDArray[Any] | None,
    time_major: bool,
    go_backwards: bool,
    return_sequences: bool,
    zero_output_for_mask: bool,
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Run a whole sequence through a stack of cells.

    Args:
        cells: the output of one is the input of the next; all of one dtype.
        inputs: `(batch, time, features)`, or `(time, batch, features)` if `time_major`; of the cells' dtype,
            any strides.
        states: first states, flat, h (and c) of each cell, each `(batch, units)`; None for zeros.
        mask: bools with the inputs' two first axes, False where a step is masked; or None.
        time_major: layout of inputs, mask and sequence outputs.
        go_backwards: process the last timestep first; outputs are in processing order.
        return_sequences: return all outputs, else the last unmasked one of each row.
        zero_output_for_mask: sequence outputs at masked steps are zero instead of the previous output.

    Returns:
        The outputs and the flat final states, all new arrays.

    Raises:
        TypeError: an array has another dtype, or is none.
        ValueError: a shape or count does not fit, or there is no timestep.
        MemoryError: outputs or workspace cannot be allocated.
        KeyboardInterrupt: Ctrl-C during the call.
    """
