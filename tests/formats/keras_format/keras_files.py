"""The recorded models of `fixtures/`, unpacked, and small helpers of the tests beside it."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIXTURES = Path(__file__).parent / "fixtures"
MODELS = (
    "lstm_corners", "gru_corners", "bidirectional", "masked_words", "cells",
    "nested", "attention", "convolutions", "operations", "sequential",
)  # fmt: skip
CASES = [(2, name) for name in (*MODELS, "cudnn")] + [(3, name) for name in MODELS]

# The two sides sum in different orders: each of some ten sums of up to 20 products of size about one rounds
# to eps / 2, tanh and sigmoid add a few units in the last place, and a dozen steps carry errors along.
TOLERANCE = 64 * float(np.finfo(np.float32).eps)


def member(major: int, name: str) -> bytes:
    """One recorded file."""
    with zipfile.ZipFile(FIXTURES / f"keras{major}.zip") as archive:
        return archive.read(name)


def unpacked(major: int, name: str, folder: Path) -> Path:
    """One recorded file, in a folder."""
    path = folder / name
    path.write_bytes(member(major, name))
    return path


@functools.cache
def recorded(major: int, name: str) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Inputs and flat outputs."""
    data = np.load(io.BytesIO(member(major, f"{name}.npz")))
    return tuple([data[key] for key in sorted(data.files, key=lambda key: int(key[1:])) if key[0] == kind]
                 for kind in "xy")  # fmt: skip


def run(model: Any, name: str, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """The flat outputs of a recorded model, in whichever library it is."""
    given: Any = {"x": inputs[0]} if name == "cells" else inputs if len(inputs) > 1 else inputs[0]
    return flat(model.predict(given, batch_size=3, verbose=0))


def flat(outputs: Any) -> list[NDArray[Any]]:
    """A nest of arrays as a list."""
    if isinstance(outputs, (list, tuple)):
        return [array for one in outputs for array in flat(one)]
    return [np.asarray(outputs)]


def assert_close(found: list[NDArray[Any]], expected: list[NDArray[Any]]) -> None:
    """Within TOLERANCE of the largest number of each output."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE * max(1.0, np.abs(other).max()))
