"""Keras: models and weights of every version since 1, out of files and out of a running Keras."""

from __future__ import annotations

from pathlib import Path

from rnnpack.formats.keras.exporting.saving import save
from rnnpack.formats.keras.live import from_keras
from rnnpack.formats.keras.loading import load, load_weights

__all__ = ["SUFFIXES", "detect", "from_keras", "load", "load_weights", "save"]

SUFFIXES = (".keras", ".h5", ".hdf5")


def detect(path: Path, head: bytes) -> bool:
    """Whether a file starts as one of Keras: HDF5, or a zip with a config.json."""
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return True
    return head.startswith(b"PK\x03\x04") and any(
        name in head for name in (b"metadata.json", b"config.json", b"model.weights.h5")
    )
