"""Native recurrent kernels: packed cells and the call that runs a whole sequence through them."""

from collections.abc import Callable, Sequence
from typing import Any, final

from numpy.typing import NDArray

@final
class PackedCell:
    """Immutable weights of one built-in cell, packed once for the kernels of one instruction set.

    Args:
        kind: "simple_rnn", "lstm", "gru" (reset_after), "gru_reset_before", "peephole_lstm" or
            "projected_lstm".
        kernel: `(input_size, gates * units)`, in Keras' layout; float32 or float64, as the other arrays.
        recurrent_kernel: `(output_size, gates * units)`; for all but "projected_lstm" that is the units.
        bias: `(gates * units,)`, for "gru" `(2, gates * units)`, or None.
        activation: name of an element-wise activation.
        recurrent_activation: the same; "simple_rnn" does not use it.
        isa: name of an instruction set, empty for the best of this machine.
        precision: "full", "bfloat16" or "int8": what weights and operands are rounded to; float32 only.
        input_range: for "int8", the largest magnitude of inputs; 0 for a scale of each row and step.
        state_range: the same for states; not used where the activation keeps them within -1 and 1.
        peepholes: for "peephole_lstm" `(3, units)`, of input, forget and output gate; else None.
        projection_kernel: for "projected_lstm" `(units, output_size)`; else None.

    Raises:
        ValueError: a name is unknown, a shape does not fit, or a range is negative or not finite.
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
        precision: str = "full",
        input_range: float = 0.0,
        state_range: float = 0.0,
        peepholes: NDArray[Any] | None = None,
        projection_kernel: NDArray[Any] | None = None,
    ) -> PackedCell: ...
    @property
    def kind(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def units(self) -> int: ...
    @property
    def output_size(self) -> int: ...
    @property
    def state_count(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

@final
class PlainCall:
    """The plain calls of one layer; what does not depend on the arguments has been checked before.

    Args:
        stacks: for each direction, one or two, its cells as for `run`, and whether the layer has them as a
            stack, whose states are a list with an entry for each cell.
        time_major: as for `run`.
        go_backwards: as for `run`; of the first direction.
        return_sequences: as for `run`.
        return_state: return `[outputs, *states]` instead of the outputs.
        zero_output_for_mask: as for `run`.
        stateful: begin with the states that the layers have recorded, and record the last ones.
        drops: there is dropout in training mode; only calls with `training=False` are plain then.
        merge_mode: that of `Bidirectional`; without meaning for one direction.
        sizes: what the first two axes of the inputs must have, None for any.
        carrying: called with sequences and their mask, returns the sequences that carry it.
        watched: lists that must keep their items.
        epoch: `epoch()` from before the checks.

    Raises:
        TypeError, ValueError: cells of different dtypes or sizes, or not one or two stacks.
    """

    def __new__(
        cls,
        stacks: Sequence[tuple[Sequence[PackedCell], bool]],
        time_major: bool,
        go_backwards: bool,
        return_sequences: bool,
        return_state: bool,
        zero_output_for_mask: bool,
        stateful: bool,
        drops: bool,
        merge_mode: str | None,
        sizes: tuple[int | None, int | None],
        carrying: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
        watched: Sequence[list[Any]],
        epoch: int,
    ) -> PlainCall: ...
    def __call__(self, inputs: Any, initial_state: Any, keywords: dict[str, Any], /, *layers: Any) -> Any:
        """Run the call; None where an argument is not plain, or anything may have changed since the checks.

        Args:
            inputs: as the layer's call got it.
            initial_state: as the layer's call got it.
            keywords: the other arguments of the layer's call.
            *layers: the layer of each direction, which records its states.

        Raises:
            FloatingPointError: NumPy was told to raise it, and so it did when outputs were merged.
            MemoryError: outputs or workspace cannot be allocated.
            KeyboardInterrupt: Ctrl-C during the call.
        """

    def current(self) -> bool:
        """Whether nothing has changed since the checks."""

@final
class Stream:
    """States of a stack of cells that takes one timestep a call.

    Args:
        cells: as for `run`.
        batch: number of rows.
        watched: lists that must keep their items.
        epoch: `epoch()` from before the cells were looked up.

    Raises:
        MemoryError: the workspace cannot be allocated.
    """

    def __new__(
        cls, cells: Sequence[PackedCell], batch: int, watched: Sequence[list[Any]], epoch: int
    ) -> Stream: ...
    def __call__(self, inputs: Any, out: NDArray[Any] | None, /) -> NDArray[Any] | None:
        """Take one timestep.

        Args:
            inputs: `(batch, features)`.
            out: `(batch, output_size)` for the outputs, or None for a new array.

        Returns:
            The outputs; None where the inputs are not a plain array of the cells' dtype, or weights may
            have changed.

        Raises:
            ValueError: a shape does not fit, or `out` cannot be written to.
            RuntimeError: another thread is using the stream.
        """

    def states(self) -> list[NDArray[Any]]:
        """Copies of the states, flat: h `(batch, output_size)` (and c `(batch, units)`) of each cell."""

    def set_states(self, states: Sequence[NDArray[Any]] | None) -> None:
        """Replace the states, None for zeros; ValueError or TypeError where they do not fit."""

    def zero_rows(self, rows: Sequence[int]) -> None:
        """Set the states of these rows to zero; IndexError, before any change, for others than there are."""

    def renew(self, watched: Sequence[list[Any]], epoch: int) -> None:
        """Go on with the same cells, found up to date at this epoch; `watched` as at first."""

def available_isas(precision: str = "full") -> list[str]:
    """Instruction sets with kernels of a precision that this machine runs, the best first."""

def selected_isa(isa: str, precision: str = "full") -> str:
    """The instruction set whose kernels are used when `isa` (empty: the best) is the most that may be.

    Raises:
        ValueError: a name that this machine and build do not have.
    """

def epoch() -> int:
    """A number that grows with every `touch()`."""

def touch() -> None:
    """Note that something has changed on which prepared calls may depend."""

def thread_limit() -> int:
    """How many threads a call may use."""

def set_thread_limit(threads: int) -> None:
    """Set how many threads a call may use, at least 1."""

def run(
    cells: Sequence[PackedCell],
    inputs: NDArray[Any],
    states: Sequence[NDArray[Any]] | None,
    mask: NDArray[Any] | None,
    time_major: bool,
    go_backwards: bool,
    return_sequences: bool,
    zero_output_for_mask: bool,
    row_splits: NDArray[Any] | None = None,
    dropout: Sequence[tuple[NDArray[Any] | None, NDArray[Any] | None]] | None = None,
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Run a whole sequence through a stack of cells.

    Args:
        cells: the output of one is the input of the next; all of one dtype.
        inputs: `(batch, time, features)`, or `(time, batch, features)` if `time_major`; of the cells' dtype,
            any strides. With `row_splits` `(sum of lengths, features)`.
        states: first states, flat, h `(batch, output_size)` (and c `(batch, units)`) of each cell; None for
            zeros.
        mask: bools with the inputs' two first axes, False where a step is masked; or None.
        time_major: layout of inputs, mask and sequence outputs.
        go_backwards: process the last timestep first; outputs are in processing order.
        return_sequences: return all outputs, else the last unmasked one of each row.
        zero_output_for_mask: sequence outputs at masked steps are zero instead of the previous output.
        row_splits: int64 `(batch + 1,)`: row r is timesteps `[row_splits[r], row_splits[r + 1])` of the
            inputs, and of sequence outputs; then there is no mask.
        dropout: for each cell a pair of factors for inputs and states, each None or `(count, batch, size)`
            with count 1 or the number of the cell's gates; or None.

    Returns:
        The outputs and the flat final states, all new arrays.

    Raises:
        TypeError: an array has another dtype, or is none.
        ValueError: a shape or count does not fit, or there is no timestep.
        MemoryError: outputs or workspace cannot be allocated.
        KeyboardInterrupt: Ctrl-C during the call.
    """

def run_bidirectional(
    forward_cells: Sequence[PackedCell],
    backward_cells: Sequence[PackedCell],
    inputs: NDArray[Any],
    forward_states: Sequence[NDArray[Any]] | None,
    backward_states: Sequence[NDArray[Any]] | None,
    mask: NDArray[Any] | None,
    time_major: bool,
    go_backwards: bool,
    return_sequences: bool,
    zero_output_for_mask: bool,
    concatenate: bool,
    row_splits: NDArray[Any] | None = None,
    forward_dropout: Sequence[tuple[NDArray[Any] | None, NDArray[Any] | None]] | None = None,
    backward_dropout: Sequence[tuple[NDArray[Any] | None, NDArray[Any] | None]] | None = None,
) -> tuple[list[NDArray[Any]], list[NDArray[Any]], list[NDArray[Any]]]:
    """Run two stacks over the same inputs in opposite directions.

    Arguments and errors as for `run`; `go_backwards` is that of the first stack. Sequences of the second
    one are turned round, so that both are in the order in which the first processes time.

    Args:
        forward_cells: the first stack.
        backward_cells: the second stack.
        inputs: of both.
        forward_states: first states of the first stack.
        backward_states: first states of the second stack.
        mask: of both.
        time_major: as for `run`.
        go_backwards: as for `run`.
        return_sequences: as for `run`.
        zero_output_for_mask: as for `run`.
        concatenate: write the outputs side by side into one array.
        row_splits: as for `run`.
        forward_dropout: of the first stack.
        backward_dropout: of the second stack.

    Returns:
        A list of one or two outputs, and the flat final states of each stack.
    """

@final
class CudaCell:
    """Immutable weights of one built-in cell in a GPU's memory, packed for its kernels; freed with it.

    Args:
        kind, kernel, recurrent_kernel, bias, activation, recurrent_activation, peepholes, projection_kernel:
            as for `PackedCell`; float64 arrays for the format "float64", else float32.
        device: number of the GPU.
        number_format: "float32", "tf32", "bfloat16", "float16" or "float64": what weights and the rows they
            are multiplied with are rounded to.

    Raises:
        ValueError: a name is unknown, a shape does not fit, or a size is too large for a GPU.
        TypeError: an array has another dtype, or is none.
        RuntimeError: no plugin is loaded, or the GPU cannot be used.
        MemoryError: the GPU's memory does not suffice.
    """

    def __new__(
        cls,
        kind: str,
        kernel: NDArray[Any],
        recurrent_kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        activation: str,
        recurrent_activation: str,
        device: int,
        number_format: str,
        peepholes: NDArray[Any] | None = None,
        projection_kernel: NDArray[Any] | None = None,
    ) -> CudaCell: ...
    @property
    def kind(self) -> str: ...
    @property
    def number_format(self) -> str: ...
    @property
    def device(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def units(self) -> int: ...
    @property
    def output_size(self) -> int: ...
    @property
    def state_count(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

_Direction = tuple[
    Sequence[CudaCell],
    tuple[int, int, int, int],
    Sequence[int] | None,
    Sequence[int] | None,
    tuple[int, int, int],
    bool,
    bool,
]

@final
class CudaCall:
    """One call on arrays that live on a GPU, given by addresses and strides in values. Keeps its cells alive.

    Nothing can tell whether an address is right: who makes the object has checked that.

    Args:
        batch: rows.
        timesteps: of the longest row, at least 1.
        element: "float32", "float64", "bfloat16" or "float16": of inputs, states and outputs.
        row_splits: address of the int64 bounds `(batch + 1,)` of ragged rows; 0: rows are dense.
        mask: address, time stride and batch stride of bytes, 0 where a step is masked; or None.
        return_sequences: write the outputs of all steps, or of the last.
        zero_output_for_mask: masked steps give zeros instead of the previous output.
        directions: one or two, each with its cells; address and time, batch and feature stride of inputs;
            addresses of first states (0: zeros) or None; addresses of final states or None; address and time
            and batch stride of outputs; go_backwards; whether outputs are turned round.

    Raises:
        ValueError: numbers, sizes or strides do not go together, the cells of a direction have different
            number formats, or an address that is needed is 0.
        TypeError: cells of another dtype than `element` goes with.
        MemoryError: no memory could hold what the call needs.
    """

    def __new__(
        cls,
        *,
        batch: int,
        timesteps: int,
        element: str,
        row_splits: int = 0,
        mask: tuple[int, int, int] | None,
        return_sequences: bool,
        zero_output_for_mask: bool,
        directions: Sequence[_Direction],
    ) -> CudaCall: ...
    @property
    def workspace_bytes(self) -> int: ...
    def run(self, workspace: int, stream: int) -> None:
        """Puts the call on a stream and returns.

        Args:
            workspace: address of `workspace_bytes` of device memory, aligned to 256; needed until the stream
                has run the call, as are cells and arrays.
            stream: handle; 0 is the legacy default stream.

        Raises:
            ValueError: the workspace is 0 or not aligned.
            RuntimeError: the GPU failed.
            KeyboardInterrupt: or whatever a signal handler raises.
        """

def cuda_load(path: str) -> None:
    """Loads the plugin for good; the same path again does nothing.

    Raises:
        OSError: the file cannot be loaded.
        RuntimeError: it is no plugin, or one of another version; or another is loaded.
    """

def cuda_device_count() -> int:
    """Number of GPUs.

    Raises:
        RuntimeError: there is none, or no plugin is loaded, with the reason.
    """

def cuda_device_info(device: int) -> tuple[str, tuple[int, int], int, int]:
    """Name, compute capability, multiprocessors and bytes of memory of a GPU.

    Raises:
        RuntimeError: there is no such GPU.
    """

def cuda_run(
    cells: Sequence[CudaCell],
    inputs: NDArray[Any],
    states: Sequence[NDArray[Any]] | None,
    mask: NDArray[Any] | None,
    time_major: bool,
    go_backwards: bool,
    return_sequences: bool,
    zero_output_for_mask: bool,
    row_splits: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """As `run`, on the GPU of the cells; copies there and back.

    Raises:
        ValueError, TypeError: as for `run`; cells of different number formats or devices.
        RuntimeError: the GPU failed.
        MemoryError: its memory does not suffice.
    """

def cuda_run_bidirectional(
    forward_cells: Sequence[CudaCell],
    backward_cells: Sequence[CudaCell],
    inputs: NDArray[Any],
    forward_states: Sequence[NDArray[Any]] | None,
    backward_states: Sequence[NDArray[Any]] | None,
    mask: NDArray[Any] | None,
    time_major: bool,
    go_backwards: bool,
    return_sequences: bool,
    zero_output_for_mask: bool,
    concatenate: bool,
    row_splits: NDArray[Any] | None = None,
) -> tuple[list[NDArray[Any]], list[NDArray[Any]], list[NDArray[Any]]]:
    """As `run_bidirectional`, on the GPU of the cells; errors as for `cuda_run`."""

def cuda_merge(
    device: int, mode: str, element: str, count: int, a: int, b: int, to: int, stream: int
) -> None:
    """Puts on a stream: `to` = `a` merged with `b`, `count` contiguous values, mode "sum", "mul" or "ave".

    Raises:
        ValueError: a name is unknown, or an address is 0.
        RuntimeError: the GPU failed.
    """

def cuda_order(device: int, earlier: int, later: int) -> None:
    """What is put on the stream `later` from now on runs after what is on `earlier` now; waits for nothing.

    Raises:
        RuntimeError: the GPU failed.
    """

def cuda_allocate(device: int, nbytes: int, stream: int) -> int:
    """Address of new device memory, in the order of the stream; 0 for no bytes.

    Raises:
        MemoryError: there is not enough.
        RuntimeError: the GPU failed.
    """

def cuda_release(device: int, address: int, stream: int) -> None:
    """Gives memory of `cuda_allocate` back, in the order of the stream."""

def cuda_copy(device: int, to: int, from_: int, nbytes: int, stream: int) -> None:
    """Copies bytes between the host and a GPU, or within one, after what the stream holds; waits for it.

    Raises:
        ValueError: an address is 0.
        RuntimeError: the GPU failed.
    """

def cuda_owner_of(address: int) -> int:
    """Number of the GPU in whose memory an address lies; -1 for the host's and unknown ones.

    Raises:
        RuntimeError: no plugin is loaded.
    """

def read_dlpack(
    capsule: object,
) -> tuple[int, tuple[int, ...], tuple[int, ...] | None, tuple[int, int, int], tuple[int, int]]:
    """What a DLPack capsule shows; it is not consumed, and keeps the memory alive.

    Returns:
        Address of the first value; shape; strides in values, None if contiguous; the type's code, bits and
        lanes; the device's type and number.

    Raises:
        TypeError: no capsule.
        ValueError: a consumed one, another version, or a description that makes no sense.
    """

def make_dlpack(
    owner: object,
    address: int,
    shape: tuple[int, ...],
    code_bits: tuple[int, int],
    device: tuple[int, int],
) -> object:
    """A DLPack capsule that shows a contiguous array and keeps its owner alive.

    Raises:
        ValueError: the shape is none, or the address is 0.
    """
