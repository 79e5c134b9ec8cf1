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
    """

    native: bool
    kernel: str
    isa: str | None
    dtype: str
    reason: str | None

    def __str__(self) -> str:
        """`native: lstm/avx512/float32` or `python: the reason`."""
        return f"native: {self.kernel}/{self.isa}/{self.dtype}" if self.native else f"python: {self.reason}"
