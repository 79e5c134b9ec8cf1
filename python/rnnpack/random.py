"""The random numbers of the package: initializers without a seed and dropout draw from one generator."""

from __future__ import annotations

import numpy as np

# Made on first use: importing numpy.random costs more than the rest of this package.
_generator: np.random.Generator | None = None


def set_seed(seed: int | None) -> None:
    """Restart the process-wide generator; the same seed gives the same weights and dropout masks.

    Args:
        seed: non-negative int, or None for entropy of the operating system.

    Raises:
        ValueError: negative seed.
    """
    global _generator
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """Return the process-wide generator; draws are thread safe, as NumPy locks the bit generator."""
    if _generator is None:
        set_seed(None)
    assert _generator is not None
    return _generator
