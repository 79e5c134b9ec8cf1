"""Which way a layer runs, in words a user can read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """How a recurrent layer computes.

    Attributes:
        native: whether the whole sequence runs in one native call.
        kernel: the native kernels joined by "+", or "python".
        isa: instruction set of the kernels; None on the Python path.
        dtype: what is computed in.
        reason: why the Python loop is used; None on the native path.
        precision: what weights and the rows they are multiplied with are rounded to; "full": nothing.
    """

    native: bool
    kernel: str
    isa: str | None
    dtype: str
    reason: str | None
    precision: str = "full"

    def __str__(self) -> str:
        """`native: lstm/avx512/float32`, `native: lstm/avx512_bf16/bfloat16` or `python: the reason`."""
        if not self.native:
            return f"python: {self.reason}"
        numbers = self.dtype if self.precision == "full" else self.precision
        return f"native: {self.kernel}/{self.isa}/{numbers}"
