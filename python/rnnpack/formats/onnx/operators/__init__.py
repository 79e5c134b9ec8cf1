"""The operators of ONNX in NumPy, by what they do; importing this package fills the table.

Formulas and rules are those of https://onnx.ai/onnx/operators.
"""

from rnnpack.formats.onnx.operators import (
    convolution,
    elementwise,
    flow,
    generating,
    indexing,
    linear,
    normalization,
    reducing,
    shaping,
)

__all__ = [
    "convolution",
    "elementwise",
    "flow",
    "generating",
    "indexing",
    "linear",
    "normalization",
    "reducing",
    "shaping",
]
