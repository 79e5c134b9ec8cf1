"""The ONNX reader: a file is loaded, and run on inputs of its own shapes where these are small."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import numpy as np

from rnnpack.formats.onnx import limits, loads

FORMAT = "onnx"
FILES = Path(__file__).parents[1] / "formats" / "onnx_format" / "files"
MOST_ELEMENTS = 1 << 12


def seeds() -> list[bytes]:
    """The recorded exports."""
    return [path.read_bytes() for path in sorted(FILES.glob("*.onnx"))]


def one(data: bytes) -> None:
    """Loads and runs; what a node says about inputs it cannot work on is a ValueError."""
    model = loads(data)
    shapes = [[size if isinstance(size, int) else 2 for size in spec.shape or ()] for spec in model.inputs]
    if all(math.prod(shape) <= MOST_ELEMENTS for shape in shapes):
        feeds = [np.ones(shape, spec.dtype) for shape, spec in zip(shapes, model.inputs, strict=True)]
        with suppress(ValueError), limits.at_most(MOST_ELEMENTS):
            model(feeds)
