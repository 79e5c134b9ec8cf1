"""`rnnpack.load` and `save`: the format is found from what a file holds, or from its ending."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import rnnpack
from rnnpack import formats
from rnnpack.formats import loading

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 2, 3)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A second format that takes the place of all others."""
    module: Any = ModuleType("rnnpack.formats.other")
    module.SUFFIXES = (".other", ".a.other")
    module.detect = lambda path, head: head.startswith(b"OTHER")
    module.load = lambda path, custom_objects: ("loaded", path.name, custom_objects)
    module.save = lambda model, path: path.write_bytes(b"OTHER")
    module.load_weights = lambda model, path: model.append(path.name)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(loading, "FORMATS", ("native", "other"))
    return module


@pytest.fixture
def layer() -> Any:
    made = rnnpack.LSTM(2)
    made(X)
    return made


class TestLoading:
    def test_what_a_file_holds_counts(self, other: ModuleType, layer: Any, tmp_path: Path) -> None:
        rnnpack.save(layer, tmp_path / "a.safetensors")
        (tmp_path / "a.safetensors").rename(tmp_path / "a.other")
        assert np.array_equal(rnnpack.load(tmp_path / "a.other")(X), layer(X))
        rnnpack.save(layer, str(tmp_path / "b.other"))
        assert formats.detect(str(tmp_path / "b.other")) == "other"
        assert rnnpack.load(str(tmp_path / "b.other"), custom_objects={}) == ("loaded", "b.other", {})

    def test_a_format_may_be_named(self, other: ModuleType, layer: Any, tmp_path: Path) -> None:
        rnnpack.save(layer, tmp_path / "a", format="native")
        assert formats.detect(tmp_path / "a") == "native"
        assert rnnpack.load(tmp_path / "a", format="other") == ("loaded", "a", None)
        for call in (rnnpack.load, lambda path, format: rnnpack.save(layer, path, format)):
            with pytest.raises(rnnpack.FormatError, match="`format` must be one of native, other, got 'tar'"):
                call(tmp_path / "a", format="tar")

    def test_neither_ending_nor_contents(self, other: ModuleType, layer: Any, tmp_path: Path) -> None:
        with pytest.raises(rnnpack.FormatError, match=r"a\.txt: the ending is of no format: expected one of"):
            rnnpack.save(layer, tmp_path / "a.txt")
        assert not list(tmp_path.iterdir())
        (tmp_path / "a.txt").write_bytes(b"text")
        with pytest.raises(rnnpack.FormatError, match=r"a\.txt: not a model file: .* got b'text'"):
            rnnpack.load(tmp_path / "a.txt")
        with pytest.raises(FileNotFoundError):
            rnnpack.load(tmp_path / "missing")

    def test_weights_alone(self, other: ModuleType, layer: Any, tmp_path: Path, monkeypatch: Any) -> None:
        rnnpack.save_weights(layer, tmp_path / "a")
        again = rnnpack.LSTM(2)
        again(X)
        rnnpack.load_weights(again, tmp_path / "a")
        assert np.array_equal(again(X), layer(X))
        (tmp_path / "b").write_bytes(b"OTHER")
        with pytest.raises(rnnpack.FormatError, match="from rnnpack and Keras files, not other"):
            rnnpack.load_weights(again, tmp_path / "b")


def test_importing_rnnpack_imports_no_format() -> None:
    code = (
        "import sys, rnnpack\n"
        "heavy = {'zipfile', 'h5py', 'torch', 'onnx', 'safetensors', 'rnnpack.formats.native'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
