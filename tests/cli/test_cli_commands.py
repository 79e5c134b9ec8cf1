"""info, convert, bench and demo, help texts, and exit codes."""

from __future__ import annotations

import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import cli_files
import numpy as np
import pytest

import rnnpack
from rnnpack.cli import main
from rnnpack.cli.terminal import styled, table
from rnnpack.formats import load, save


def test_info(tmp_path: Path, capsys: Any) -> None:
    assert main(["info", cli_files.model_file(tmp_path)]) == 0
    out = capsys.readouterr().out
    for text in ("sequence (LSTM)", "native: lstm/", "native: gru/", "(None, None, 4)", "Total params: 176"):
        assert text in out
    assert "Inputs: x (None, None, 3) float32" in out
    assert "Outputs: sequence (None, None, 4) float32, last (None, 2) float32" in out


def test_info_as_json(tmp_path: Path, capsys: Any) -> None:
    assert main(["info", cli_files.model_file(tmp_path), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["format"] == "native" and info["name"] == "two"
    assert info["inputs"] == [{"name": "x", "shape": [None, None, 3], "dtype": "float32"}]
    assert [one["name"] for one in info["outputs"]] == ["sequence", "last"]
    layers = {layer["name"]: layer for layer in info["layers"]}
    assert layers["last"]["class"] == "GRU" and layers["last"]["output_shapes"] == [[None, 2]]
    assert layers["last"]["runs"].startswith("native: gru/")
    assert info["parameters"] == 176 == sum(layer["parameters"] for layer in info["layers"])
    assert layers["sequence"]["weights"][0]["shape"] == [3, 16]


def test_info_of_nested_models_and_plain_layers(tmp_path: Path, capsys: Any) -> None:
    inner = rnnpack.Sequential([rnnpack.Input((None, 2)), rnnpack.GRU(3, name="g")], name="inner")
    x = rnnpack.Input((None, 2))
    save(rnnpack.Model(x, rnnpack.layers.Dense(1, name="d")(inner(x))), tmp_path / "m.safetensors")
    assert main(["info", str(tmp_path / "m.safetensors"), "--json"]) == 0
    runs = {layer["name"]: layer["runs"] for layer in json.loads(capsys.readouterr().out)["layers"]}
    assert runs["d"] is None and list(runs["inner"]) == ["g"]
    layer = rnnpack.LSTM(2, name="alone")
    layer.build((None, None, 5))
    save(layer, tmp_path / "l.safetensors")
    assert main(["info", str(tmp_path / "l.safetensors")]) == 0
    assert "alone (LSTM)" in capsys.readouterr().out


def graph_file(folder: Path) -> str:
    """An ONNX graph of one GRU."""
    onnx = pytest.importorskip("onnx")
    tensor, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    rng = np.random.default_rng(0)
    weights = {"W": rng.normal(size=(1, 6, 3)), "R": rng.normal(size=(1, 6, 2))}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("GRU", ["x", "W", "R"], ["", "y"], name="gru", hidden_size=2)],
        "graph",
        [tensor("x", float32, ["time", "batch", 3])],
        [tensor("y", float32, [1, "batch", 2])],
        [onnx.numpy_helper.from_array(value.astype("f4"), name) for name, value in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    onnx.save(model, folder / "gru.onnx")
    return str(folder / "gru.onnx")


def test_graphs_of_onnx(tmp_path: Path, capsys: Any) -> None:
    model = graph_file(tmp_path)
    assert main(["info", model]) == 0
    assert "GRU 1" in capsys.readouterr().out
    assert main(["info", model, "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["format"] == "onnx" and info["parameters"] == 30
    assert info["inputs"] == [{"name": "x", "shape": ["time", "batch", 3], "dtype": "float32"}]
    assert info["layers"] == [{"name": "gru", "runs": str(load(model).explain()["gru"])}]
    assert main(["bench", model, "--batch-sizes", "2", "--seconds", "0.001", "--timesteps", "4"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:2] == ["2", "4"]
    assert main(["run", model, cli_files.rows_file(tmp_path / "x.npy"), "-o", str(tmp_path / "y.npy")]) == 0
    assert np.load(tmp_path / "y.npy").shape == (100, 1, 2)


def test_state_dicts_of_pytorch_have_rows_first(tmp_path: Path) -> None:
    layer = rnnpack.LSTM(2, return_sequences=True, return_state=True, time_major=True)
    layer.build((None, None, 3))
    save(layer, tmp_path / "weights.safetensors", format="pytorch")
    rows = cli_files.rows_file(tmp_path / "x.npy")
    assert main(["run", str(tmp_path / "weights.safetensors"), rows, "-o", str(tmp_path / "y.npz")]) == 0
    sequence = layer(np.swapaxes(np.load(rows), 0, 1))[0]
    with np.load(tmp_path / "y.npz") as outputs:
        got = outputs[outputs.files[0]]
    np.testing.assert_allclose(got, np.swapaxes(sequence, 0, 1), atol=8 * np.finfo("f4").eps)


def test_convert(tmp_path: Path, capsys: Any) -> None:
    model, target = cli_files.model_file(tmp_path), str(tmp_path / "copy.safetensors")
    assert main(["convert", model, target]) == 0
    assert capsys.readouterr().err == f"wrote {target}: native, 176 parameters\n"
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f4")
    for one, other in zip(load(target)(x), load(model)(x), strict=True):
        np.testing.assert_array_equal(one, other)
    assert main(["convert", model, target]) == 1
    assert "exists: --force replaces it" in capsys.readouterr().err
    assert main(["convert", model, target, "--force", "--from", "native", "--to", "native"]) == 0
    assert main(["convert", model, str(tmp_path / "copy.unknown")]) == 1


def test_bench(tmp_path: Path, capsys: Any) -> None:
    model = cli_files.model_file(tmp_path)
    sizes = ["--batch-sizes", "1,3", "--timesteps", "2,5", "--seconds", "0.001"]
    assert main(["bench", model, *sizes]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["batch", "timesteps", "calls"]
    assert [line.split()[:2] for line in lines[2:6]] == [["1", "2"], ["3", "2"], ["1", "5"], ["3", "5"]]
    assert lines[6].startswith("sequence: native: lstm/")
    assert main(["bench", model, *sizes, "--json", "--precision", "int8"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["precision"] == "int8" and len(result["results"]) == 4
    for one in result["results"]:
        assert 0 < one["lower_ms"] <= one["median_ms"] <= one["upper_ms"] and one["calls"] >= 5
        assert one["rows_per_second"] == pytest.approx(one["batch_size"] / one["median_ms"] * 1e3)


def test_bench_of_models_with_words_and_fixed_sizes(tmp_path: Path, capsys: Any) -> None:
    layers: list[Any] = [rnnpack.Input((4,)), rnnpack.layers.Embedding(3, 2), rnnpack.GRU(2)]
    save(rnnpack.Sequential(layers), tmp_path / "words.safetensors")
    flat = rnnpack.Sequential([rnnpack.Input(()), rnnpack.layers.Activation("relu")])
    save(flat, tmp_path / "flat.safetensors")
    x = rnnpack.Input((3, None))
    save(rnnpack.Model(x, rnnpack.layers.Activation("relu")(x)), tmp_path / "open.safetensors")
    for name, timesteps in (("words", "4"), ("flat", "-")):
        words = ["bench", str(tmp_path / f"{name}.safetensors"), "--batch-sizes", "2", "--seconds", "0.001"]
        assert main([*words, "--timesteps", "8,9"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[:2] for line in lines if line.lstrip().startswith("2 ")] == [["2", timesteps]]
    assert main(["bench", str(tmp_path / "open.safetensors")]) == 1
    assert "leaves a size open" in capsys.readouterr().err


def test_demo(capsys: Any) -> None:
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "explain:  native: lstm/" in out and "timesteps/s" in out
    error = float(out.split("error:")[1].split("%")[0])
    assert error < 5  # the readout does predict


def test_demo_on_a_terminal_without_unicode(monkeypatch: Any) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert main(["demo"]) == 0
    stdout.flush()
    text = stdout.buffer.getvalue()  # type: ignore[attr-defined]
    assert b"ooo" in text and b"explain" in text


COMMANDS = {
    "info": ["--json", "how it runs"],
    "run": ["--resume", "--chunk-rows", "OUTPUT.partial.json", "larger than memory"],
    "convert": ["--from", "picks its format"],
    "bench": ["--batch-sizes", "warm-up"],
    "demo": ["sine wave"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command: str, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for text in [f"rnnpack {command}", "example", "exit codes:", "130", *COMMANDS[command]]:
        assert text in out
    assert all(len(line) <= 110 for line in out.splitlines())


def test_overview_names_every_command(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert f"rnnpack {command}" in out


@pytest.mark.parametrize(
    "words", [[], ["nothing"], ["info"], ["bench", "m", "--seconds", "0"], ["bench", "m", "--seconds", "x"]]
)
def test_wrong_words(words: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: rnnpack" in capsys.readouterr().err


def test_version(capsys: Any, monkeypatch: Any) -> None:
    from importlib import metadata

    monkeypatch.setattr(metadata, "version", lambda name: "1.2.3")
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == "rnnpack 1.2.3\n"

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == "rnnpack unknown\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\nlines"), "two lines"),
        (ValueError(), "ValueError: "),
        (KeyError("x"), "KeyError: 'x'"),
        (ZeroDivisionError("division"), "ZeroDivisionError: division"),
        (MemoryError(), "MemoryError: "),
        (FileNotFoundError(2, "No such file", "a.npy"), "a.npy: No such file"),
    ],
)
def test_errors_are_one_line(error: Exception, line: str, monkeypatch: Any, capsys: Any) -> None:
    def fail(options: Any) -> None:
        raise error

    monkeypatch.setattr("rnnpack.cli.demo.command", fail)
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == f"rnnpack: error: {line}\n"
    monkeypatch.setenv("RNNPACK_DEBUG", "1")
    assert main(["demo"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_colours_only_where_they_are_welcome(monkeypatch: Any) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert styled("x", "bold") == "x"
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert styled("x", "bold") == "\x1b[1mx\x1b[0m"
    assert table(["a", "bc"], [["10", "x"]]) == ["\x1b[1m a  bc\x1b[0m", "10   x"]
    monkeypatch.setenv("NO_COLOR", "1")
    assert styled("x", "bold") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert styled("x", "bold") == "x"


def process(*words: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rnnpack", *words], text=True, timeout=60, check=False, **keywords
    )


def test_as_a_process(tmp_path: Path) -> None:
    model, rows = cli_files.last_model_file(tmp_path), cli_files.rows_file(tmp_path / "x.npy")
    done = process("run", model, rows, "-o", str(tmp_path / "y.npy"), capture_output=True)
    assert done.returncode == 0 and done.stdout == "" and "100 rows" in done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), load(model)(np.load(rows)))
    done = process("info", str(tmp_path / "none.keras"), capture_output=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"rnnpack: error: {tmp_path}/none.keras: No such file or directory\n"
    assert process("info", capture_output=True).returncode == 2


def test_python_m(monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["rnnpack", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("rnnpack", run_name="__main__")
    assert caught.value.code == 0


def test_whoever_reads_may_go_away() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = process("demo", stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert done.returncode == 1 and done.stderr == ""
