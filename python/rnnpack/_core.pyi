"""Native recurrent kernels: packed cells and the call that runs a whole sequence through them."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

class PackedCell:
    """Immutable weights of one built-in cell, packed once for the kernels of one instruction set."""

    def __init__(
        self,
        kind: str,
        kernel: NDArray[Any],
        recurrent_kernel: NDArray[Any],
        bias: NDArray[Any] | None,
        activation: str,
        recurrent_activation: str,
        isa: str = "",
    ) -> None: ...
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

def available_isas() -> list[str]: ...
def run(
    cells: Sequence[PackedCell],
    inputs: NDArray[Any],
    states: Sequence[NDArray[Any]] | None,
    mask: NDArray[Any] | None,
    time_major: bool,
    go_backwards: bool,
    return_sequences: bool,
    zero_output_for_mask: bool,
) -> tuple[NDArray[Any], list[NDArray[Any]]]: ...
