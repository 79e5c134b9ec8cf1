"""Models from files, for rows on the first axis."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rnnpack.formats import detect, load, pytorch


def loaded(path: str | os.PathLike[str], format: str | None = None) -> Any:
    """A model, a layer or an ONNX graph from a file.

    State dicts of PyTorch do not say on which axis their module has the rows; here it is always the first.

    Args:
        path: the file.
        format: as for `rnnpack.load`.

    Raises:
        FormatError: not a model file that can be read.
        OSError: the file cannot be read.
    """
    if (format or detect(path)) == "pytorch":
        return pytorch.load(Path(path), batch_first=True)
    return load(path, format)
