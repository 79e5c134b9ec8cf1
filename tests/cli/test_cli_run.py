"""`rnnpack run`: results are the model's, for all kinds of files and sizes of chunks."""

from __future__ import annotations

import os
import sys
import tracemalloc
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cli_files
import numpy as np
import pytest

import rnnpack
from rnnpack.cli import main
from rnnpack.datafiles import Chunk, create_rows, open_rows
from rnnpack.datafiles.columns import columns_of
from rnnpack.engine import nest
from rnnpack.formats import load

KINDS = [".npy", ".npz", ".parquet", ".csv"]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Puts the number of threads back."""
    before = rnnpack.get_num_threads()
    yield
    rnnpack.set_num_threads(before)


def read(path: str | Path) -> Chunk:
    with open_rows(path) as source:
        return next(source.chunks(10_000))


def run(*words: str) -> int:
    return main(["run", *words, "--quiet"])


@pytest.mark.parametrize("chunk_rows", [None, 1, 50, 1000])
@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_every_kind_of_file(source: str, target: str, chunk_rows: int | None, tmp_path: Path) -> None:
    if ".parquet" in (source, target):
        pytest.importorskip("pyarrow")
    model, rows = cli_files.last_model_file(tmp_path), cli_files.rows_file(tmp_path / f"x{source}")
    sizes = [] if chunk_rows is None else ["--chunk-rows", str(chunk_rows)]
    assert run(model, rows, "-o", str(tmp_path / f"y{target}"), *sizes) == 0
    (x,), (y,) = read(rows).values(), read(tmp_path / f"y{target}").values()
    wanted = load(model)(np.asarray(x, "f4"))
    np.testing.assert_array_equal(np.asarray(y, "f4"), wanted)
    assert sorted(os.listdir(tmp_path)) == sorted(["last.safetensors", f"x{source}", f"y{target}"])


@pytest.mark.parametrize("kind", [".npz", ".parquet"])
def test_rows_of_different_lengths_and_several_outputs(kind: str, tmp_path: Path) -> None:
    if kind == ".parquet":
        pytest.importorskip("pyarrow")
    lengths = np.random.default_rng(0).integers(1, 9, 70)
    values = np.random.default_rng(1).normal(size=(lengths.sum(), 3)).astype("f4")
    chunk: Chunk = {"rows": (values, lengths), "other": np.zeros(70)}
    with create_rows(tmp_path / f"x{kind}", columns_of(chunk)) as sink:
        sink.append(chunk)
    model = cli_files.model_file(tmp_path)
    words = ["--columns", "rows", "--output-columns", "a,b", "--batch-size", "8", "--chunk-rows", "20"]
    assert run(model, str(tmp_path / f"x{kind}"), "-o", str(tmp_path / f"y{kind}"), *words) == 0
    got = read(tmp_path / f"y{kind}")
    wanted = [nest.flatten(load(model)(row[None])) for row in np.split(values, np.cumsum(lengths)[:-1])]
    np.testing.assert_array_equal(got["a"][0], np.concatenate([one[0][0] for one in wanted]))
    np.testing.assert_array_equal(got["a"][1], lengths)
    np.testing.assert_array_equal(got["b"], np.concatenate([one[1] for one in wanted]))


def test_columns_of_a_table_become_timesteps(tmp_path: Path) -> None:
    rnnpack.set_seed(1)
    model = rnnpack.Sequential([rnnpack.Input((None, 1)), rnnpack.GRU(2)])
    rnnpack.formats.save(model, tmp_path / "m.safetensors")
    (tmp_path / "x.csv").write_text("id,t0,t1,t2\n7,0.5,1,1.5\n8,2,3,4\n")
    words = ["--columns", "t0,t1,t2", "--output-columns", "y"]
    assert (
        run(str(tmp_path / "m.safetensors"), str(tmp_path / "x.csv"), "-o", str(tmp_path / "y.csv"), *words)
        == 0
    )
    wanted = model(np.array([[0.5, 1, 1.5], [2, 3, 4]], "f4")[..., None])
    assert (tmp_path / "y.csv").read_text() == "y[0],y[1]\n" + "".join(
        f"{float_text(a)},{float_text(b)}\n" for a, b in wanted
    )


def float_text(number: Any) -> str:
    return str(np.array(number, "f4").astype(str))


def test_precision_and_threads(tmp_path: Path) -> None:
    model, rows = cli_files.last_model_file(tmp_path), cli_files.rows_file(tmp_path / "x.npy")
    assert run(model, rows, "-o", str(tmp_path / "y.npy"), "--precision", "bfloat16", "--threads", "1") == 0
    assert rnnpack.get_num_threads() == 1
    reduced = load(model)
    reduced.set_precision("bfloat16")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), reduced(np.load(rows)))


def test_the_last_line_says_how_fast_it_was(tmp_path: Path, capsys: Any) -> None:
    model, rows = cli_files.last_model_file(tmp_path), cli_files.rows_file(tmp_path / "x.npy")
    assert main(["run", model, rows, "-o", str(tmp_path / "y.npy")]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"wrote {tmp_path}/y.npy: 100 rows in ") and "MB/s of input" in err
    assert main(["run", model, rows, "-o", str(tmp_path / "z.npy"), "-q"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("target", [".npy", ".npz", ".csv"])
def test_memory_depends_on_chunks_not_on_files(target: str, tmp_path: Path, monkeypatch: Any) -> None:
    model, rows = cli_files.last_model_file(tmp_path), cli_files.rows_file(tmp_path / "x.npy", 20_000, 20)
    assert run(model, rows, "-o", str(tmp_path / "y.npy")) == 0  # imports and caches
    monkeypatch.setattr("rnnpack.cli.job._CHUNK_BYTES", 1 << 18)
    tracemalloc.start()
    try:
        assert run(model, rows, "-o", str(tmp_path / f"z{target}")) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6 < os.path.getsize(rows) / 2


def refused(capsys: Any, *words: str) -> str:
    """The one line on stderr of a run that fails."""
    assert main(["run", *words]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("rnnpack: error: ") and err.count("\n") == 1
    return str(err)


def test_an_output_is_not_overwritten(tmp_path: Path, capsys: Any) -> None:
    model, rows = cli_files.last_model_file(tmp_path), cli_files.rows_file(tmp_path / "x.npy")
    (tmp_path / "y.npy").write_text("precious")
    assert "y.npy exists: --force replaces it" in refused(capsys, model, rows, "-o", str(tmp_path / "y.npy"))
    assert (tmp_path / "y.npy").read_text() == "precious"
    assert run(model, rows, "-o", str(tmp_path / "y.npy"), "--force") == 0
    assert len(np.load(tmp_path / "y.npy")) == 100
    assert "is the input" in refused(capsys, model, rows, "-o", rows, "--force")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.keras", "x.npy"], "nothing.keras: No such file"),
        (["last.safetensors", "nothing.npy"], "nothing.npy: No such file"),
        (["last.safetensors", "bad.npy"], "bad.npy: not an array"),
        (["last.safetensors", "empty.npy"], "empty.npy: has no rows"),
        (["last.safetensors", "flat.npy"], "column 'values' has rows of shape (4,)"),
        (["last.safetensors", "x.npy", "--columns", "z"], "there is no column 'z'"),
        (["model.safetensors", "x.npy"], "a .npy file holds one column"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    words: list[str], message: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    cli_files.last_model_file(tmp_path)
    cli_files.model_file(tmp_path)
    cli_files.rows_file(tmp_path / "x.npy")
    (tmp_path / "bad.npy").write_bytes(b"bad")
    np.save("empty.npy", np.zeros((0, 6, 3), "f4"))
    np.save("flat.npy", np.zeros((5, 4), "f4"))
    before = sorted(os.listdir())
    assert message in refused(capsys, *words, "-o", "y.npy")
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.txt", "-o", "y.npy"], "x.txt: expected a file that ends in .npy"),
        (["x.npy", "-o", "y.txt"], "y.txt: expected a file that ends in .npy"),
        (["x.npy"], "-o"),
        (["x.npy", "-o", "y.npy", "--batch-size", "0"], "at least 1"),
        (["x.npy", "-o", "y.npy", "--columns", "a,,b"], "different names"),
        (["x.npy", "-o", "y.npy", "--workers", "2"], "--workers is for --engine ray"),
        (["x.npy", "-o", "y.npy", "--resume", "--force"], "choose one"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "model", *words])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_ray_computes_or_is_asked_for(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    asked: list[Any] = []

    def ordered_map(computation: Any, chunks: Any, workers: int, threads: int) -> Any:
        asked.append((workers, threads))
        yield from [computation.compute(chunk) for chunk in chunks]  # reads ahead, as workers do

    fake = types.ModuleType("rnnpack.ray")
    fake.ordered_map = ordered_map  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rnnpack.ray", fake)
    model, rows = cli_files.last_model_file(tmp_path), cli_files.rows_file(tmp_path / "x.npy")
    words = [model, rows, "-o", str(tmp_path / "y.npy"), "--engine", "ray", "--chunk-rows", "32"]
    monkeypatch.setattr("rnnpack.cli.run.find_spec", lambda name: None)
    assert "pip install rnnpack[ray]" in refused(capsys, *words)
    monkeypatch.setattr("rnnpack.cli.run.find_spec", lambda name: name)
    assert run(*words) == 0
    assert run(*words, "--force", "--workers", "3", "--threads", "1") == 0
    assert asked == [(2, 1), (3, 1)]
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), load(model)(np.load(rows)))
