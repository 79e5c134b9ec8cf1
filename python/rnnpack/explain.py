"""Which way a layer runs, in words a user can read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """How a recurrent layer computes.

    Attributes:
        native: whether the whole sequence runs in one native call, be it on the CPU or on a GPU.
        kernel: the native kernels joined by "+", "python", or "none" where the GPU cannot be used.
        isa: instruction set of the kernels, "sm_90" or the like on a GPU; None where there are no kernels.
        dtype: what is computed in.
        reason: why the Python loop is used, or why a GPU cannot be; None on the native path.
        precision: what weights and the rows they are multiplied with are rounded to; "full": nothing.
        device: "cpu", "cuda" or "cuda:N": that of calls with NumPy arrays.
    """

    native: bool
    kernel: str
    isa: str | None
    dtype: str
    reason: str | None
    precision: str = "full"
    device: str = "cpu"

    def __str__(self) -> str:
        """`native: lstm/avx512/float32`, `python: the reason` or `cuda: lstm/sm_90/tf32`, for example."""
        on_cpu = self.device == "cpu"
        if not self.native:
            return f"python: {self.reason}" if on_cpu else f"{self.device}: cannot be used: {self.reason}"
        numbers = self.dtype if self.precision == "full" else self.precision
        return f"{'native' if on_cpu else self.device}: {self.kernel}/{self.isa}/{numbers}"
