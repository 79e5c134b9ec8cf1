"""Files with PyTorch's state dicts, sound, damaged and hostile."""

from __future__ import annotations

import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_cases import SAVED, goldens

import rnnpack
from rnnpack.formats import FormatError, detect, load, save
from rnnpack.formats.pytorch import archive, files
from rnnpack.formats.safetensors import read_safetensors, write_safetensors

CASES = goldens()


def rewritten(change: Callable[[dict[str, bytes]], Any], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The saved file with other members."""
    with zipfile.ZipFile(SAVED) as saved:
        members = {name: saved.read(name) for name in saved.namelist()}
    change(members)
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", compression) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return result.getvalue()


def with_pickle(content: bytes) -> bytes:
    return rewritten(lambda members: members.update({"torch_saved/data.pkl": content}))


class Malicious:
    """Unpickled, creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_never_run(tmp_path: Path, protocol: int) -> None:
    sentinel = tmp_path / "sentinel"
    path = tmp_path / "model.pt"
    for attack in (Malicious(sentinel), {"lstm.weight_ih_l0": Malicious(sentinel)}):
        path.write_bytes(with_pickle(pickle.dumps(attack, protocol=protocol)))
        with pytest.raises(FormatError, match=r"expected dicts of tensors and numbers, got '"):
            load(path)
        # As a legacy file, and bare.
        path.write_bytes(archive._LEGACY + pickle.dumps(attack, protocol=protocol))
        with pytest.raises(FormatError, match=r"before 1\.6"):
            load(path)
        path.write_bytes(pickle.dumps(attack, protocol=protocol))
        with pytest.raises(FormatError):
            load(path, format="pytorch")
    assert not sentinel.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a zip"),
        (SAVED.read_bytes()[:-30], "not a zip"),
        (rewritten(lambda members: members.update({"other/x": b""})), "an archive of one folder, got 2"),
        (rewritten(lambda members: members.update({"torch_saved/code/x.py": b""})), "TorchScript: save"),
        (rewritten(lambda members: members.update({"torch_saved/constants.pkl": b""})), "TorchScript: save"),
        (rewritten(lambda members: members.pop("torch_saved/data.pkl")), "no 'torch_saved/data.pkl'"),
        (
            rewritten(
                lambda members: members.update({"torch_saved/data/0": bytes(10**6)}), zipfile.ZIP_DEFLATED
            ),
            "its members declare 100.* bytes, the file has",
        ),
        (with_pickle(bytes(2**21 + 1)), "expected at most 2097152"),
        (with_pickle(b"\x80\x02"), "damaged"),
        (with_pickle(b"\xff"), "damaged"),
        (with_pickle(b"K"), "damaged"),
        (with_pickle(b"I1" + b"0" * 5000 + b"\n."), "damaged"),
        (with_pickle(b"\x80\x02ctorch.storage\nUntypedStorage\n."), "got 'torch.storage UntypedStorage'"),
        (with_pickle(b"\x80\x02\x8c\x02os\x8c\x05mkdir\x93."), "got 'SHORT_BINUNICODE'"),
        (with_pickle(b"\x80\x02cos\nmkdir\n."), "got 'os mkdir'"),
        (with_pickle(b"\x80\x02" + b"N" * 600_000 + b"."), "at most 500000 steps"),
        # A tuple of two tuples of two tuples of ...: 2^50 items to visit where it is a key.
        (
            with_pickle(b"\x80\x02})q\x00" + b"h\x00h\x00\x86q\x00" * 50 + b"Ns."),
            "at most .* items in tuples",
        ),
        (with_pickle(b"\x80\x02(1."), "got 'POP_MARK'"),
        (with_pickle(b"\x80\x02Nt."), "damaged .there is no mark"),
        (with_pickle(b"\x80\x02\x86."), "damaged .the stack is empty"),
        (with_pickle(b"\x80\x02h\x00."), "damaged"),
        (with_pickle(b"\x80\x02q\x00."), "damaged"),
    ],
)
def test_archives_that_are_not_what_torch_writes(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        files.load(path)


def test_what_is_recognized(tmp_path: Path) -> None:
    assert detect(SAVED) == "pytorch"
    path = tmp_path / "file"
    for content in (rewritten(dict.clear), b"PK\x03\x04 and no archive", archive._LEGACY[:-1], b"\x00" * 20):
        path.write_bytes(content)
        assert not files.detect(path, content)


def test_without_torch_there_is_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"safetensors\.torch\.save_file"):
        load(SAVED)
    layer = rnnpack.GRU(2)
    layer.build((None, None, 3))
    with pytest.raises(ImportError, match="need torch"):
        save(layer, tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


class StandInTorch:
    """What the reader and writer of archives use of torch."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def load(self, file: Any, map_location: str, weights_only: bool) -> Any:
        assert (map_location, weights_only) == ("cpu", True)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def from_numpy(self, array: Any) -> Any:
        return array

    def save(self, arrays: dict[str, Any], file: Any) -> None:
        file.write(",".join(arrays).encode())


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (RuntimeError("Trying to resize\nmore"), "damaged: RuntimeError: Trying to resize$"),
        (pickle.UnpicklingError("Re-run with weights_only=False"), "damaged: its pickle is none of tensors"),
        ([1, 2], "expected a state dict, got list"),
        ({"a": {"b": np.broadcast_to(0.0, 10**9)}}, "its tensors declare 8000000000 bytes, the file has"),
    ],
)
def test_what_torch_makes_of_a_file(
    monkeypatch: pytest.MonkeyPatch, result: Any, message: str, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch", StandInTorch(result))
    with pytest.raises(FormatError, match=message):
        load(SAVED)
    monkeypatch.setitem(sys.modules, "torch", StandInTorch(MemoryError()))
    with pytest.raises(MemoryError):
        load(SAVED)


def test_archives_hold_state_dicts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = CASES["gru-float32"]["weights"]
    monkeypatch.setitem(sys.modules, "torch", StandInTorch(weights))
    layer = files.load(SAVED, batch_first=True)
    assert not layer.time_major
    save(layer, tmp_path / "model.pth")
    assert (tmp_path / "model.pth").read_text() == ",".join(weights)


@pytest.mark.parametrize("name", CASES)
def test_safetensors_keep_everything(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    options = {key: case["options"][key] for key in ("batch_first", "nonlinearity") if key in case["options"]}
    model = rnnpack.formats.pytorch.from_torch(case["weights"], **options)
    path = tmp_path / "model.safetensors"
    save(model, path, format="pytorch")
    assert read_safetensors(path)[0].keys() == case["weights"].keys()
    assert detect(path) == "pytorch"
    again = load(path)
    for before, after in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(again(case["x"])[0], model(case["x"])[0])


def test_safetensors_of_others_need_to_be_told(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights = {
        f"{part}.{name}": array for part in "ab" for name, array in CASES["rnn-float32"]["weights"].items()
    }
    write_safetensors(path, weights)
    with pytest.raises(FormatError, match=r"model.safetensors: several recurrent modules: pass `prefix`"):
        load(path)
    layer = files.load(path, prefix="b", batch_first=True, nonlinearity="relu")
    assert (layer.time_major, layer.activation) == (False, rnnpack.activations.relu)
    assert files.load(path, prefix="a").time_major


def test_files_that_cannot_be_saved_are_not_written(tmp_path: Path) -> None:
    for suffix in ("pt", "safetensors"):
        with pytest.raises(FormatError, match="has no weights yet"):
            save(rnnpack.LSTM(2), tmp_path / f"model.{suffix}", format="pytorch")
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.load(tmp_path / "none.pt")


def test_torch_reads_what_is_written_and_the_other_way_round(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.LSTM(3, 4, 2)
    torch.save(module.state_dict(), tmp_path / "theirs.pt")
    layer = load(tmp_path / "theirs.pt")
    save(layer, tmp_path / "ours.pt")
    module.load_state_dict(torch.load(tmp_path / "ours.pt", weights_only=True))
    np.testing.assert_array_equal(module.weight_hh_l1.detach().numpy(), layer.get_weights()[4].T)
    torch.save(module, tmp_path / "whole.pt")
    with pytest.raises(
        FormatError, match=r"got 'torch.nn.modules.rnn LSTM' \(of a whole module\?\): save its"
    ):
        load(tmp_path / "whole.pt")
    checkpoint = {
        "model": module.state_dict(),
        "optimizer": torch.optim.Adam(module.parameters()).state_dict(),
    }
    torch.save({**checkpoint, "epoch": 3}, tmp_path / "checkpoint.pt")
    assert len(load(tmp_path / "checkpoint.pt").get_weights()) == 6
    torch.save(module.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(FormatError, match=r"before 1\.6"):
        load(tmp_path / "old.pt")


def test_tensors_larger_than_their_storage(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with zipfile.ZipFile(SAVED) as saved:
        pickled = saved.read("torch_saved/data.pkl")
    shape = pickled.index(b"K\x08K\x02\x86")  # (8, 2)
    huge = b"\x8a\x06" + (2**45).to_bytes(6, "little")
    path = tmp_path / "model.pt"
    path.write_bytes(with_pickle(pickled[:shape] + huge + pickled[shape + 2 :]))
    with pytest.raises(FormatError, match="damaged"):
        load(path)


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "model.pt"))
    with pytest.raises(FormatError, match="TorchScript"):
        load(tmp_path / "model.pt")
