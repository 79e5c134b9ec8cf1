"""Keras files: whole models, configuration and weights."""

from __future__ import annotations

import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from rnnpack.formats import FormatError
from rnnpack.formats.keras import load, load_weights

FORMAT = "keras"
FIXTURES = Path(__file__).parents[1] / "formats" / "keras_format" / "fixtures"
NAMES = ("sequential", "cells")


@cache
def seeds() -> list[bytes]:
    """Recorded models of both Keras versions in every form."""
    found = []
    for major in (2, 3):
        with zipfile.ZipFile(FIXTURES / f"keras{major}.zip") as archive:
            found += [archive.read(f"{name}.{end}") for name in NAMES for end in ("h5", "keras")]
            found.append(archive.read("sequential.weights.h5"))
    return found


def one(data: bytes) -> None:
    """Loads a model, or weights into the model of the first seed."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        path.write_bytes(data)
        try:
            model = load(path)
        except FormatError as error:
            if "only weights" not in str(error):
                raise
            path.with_name("model").write_bytes(seeds()[0])
            load_weights(load(path.with_name("model")), path)
            return
        model.get_config()
