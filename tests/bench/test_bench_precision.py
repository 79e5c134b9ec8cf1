"""The benchmark in reduced precision: options, what is measured, the oracle's verdict, tables."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

BENCH = Path(__file__).parents[2] / "bench"
sys.path.append(str(BENCH))

import measure  # noqa: E402
import options  # noqa: E402
import oracle  # noqa: E402
import problems  # noqa: E402
from contestants import process  # noqa: E402
from measure import Group, Request  # noqa: E402
from scenarios import grid, masked, threads  # noqa: E402
from shapes import Shape  # noqa: E402

Array = NDArray[Any]
Rounding = Callable[[Array], Array]


def to_bits(bits: int) -> Rounding:
    """Rounds to so many significant bits."""

    def rounded(array: Array) -> Array:
        fraction, exponent = np.frexp(array)
        return np.asarray(np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits))

    return rounded


def to_steps(count: int) -> Rounding:
    """Rounds each column to so many steps up and down to its largest magnitude; columns of zeros stay."""

    def rounded(array: Array) -> Array:
        step = np.maximum(np.abs(array).max(axis=0), 1e-30) / count
        return np.asarray(np.rint(array / step) * step)

    return rounded


def gru(problem: problems.Problem, weights: Rounding, rows: Rounding) -> list[Array]:
    """The GRU of a problem whose products are taken of rounded numbers, as float32."""
    h = np.zeros_like(problem.states[0], np.float64)
    kernel, recurrent = weights(problem.kernel), weights(problem.recurrent)
    outputs = []
    for step in range(problem.inputs.shape[1]):
        from_x = rows(problem.inputs[:, step].T).T @ kernel + problem.bias[0]
        from_h = rows(h.T).T @ recurrent + problem.bias[1]
        (z, r, n), (hz, hr, hn) = np.split(from_x, 3, axis=1), np.split(from_h, 3, axis=1)
        z, r = 1 / (1 + np.exp(-z - hz)), 1 / (1 + np.exp(-r - hr))
        h = z * h + (1 - z) * np.tanh(n + r * hn)
        outputs.append(h)
    return [np.stack(outputs, axis=1).astype(np.float32), h.astype(np.float32)]


CLEAN = {"bfloat16": (to_bits(8), to_bits(8)), "int8": (to_steps(127), to_steps(127))}
COARSE = {"bfloat16": (to_bits(4), to_bits(4)), "int8": (to_steps(7), to_steps(7))}


@pytest.mark.parametrize("precision", CLEAN)
@pytest.mark.parametrize("shape", [Shape(7, 20, 16, 32), Shape(1, 300, 32, 32)])
def test_the_oracle_accepts_a_precision_and_not_half_of_its_bits(precision: str, shape: Shape) -> None:
    problem = problems.make("gru", shape, "float32")
    clean, coarse = gru(problem, *CLEAN[precision]), gru(problem, *COARSE[precision])
    assert oracle.excess(problem, "sequence", clean, precision) < 0.5
    assert oracle.excess(problem, "sequence", clean) > 10
    assert oracle.excess(problem, "sequence", coarse, precision) > 1


@pytest.mark.parametrize("precision", CLEAN)
def test_the_oracle_still_sees_exchanged_rows_and_missing_states(precision: str) -> None:
    problem = problems.make("gru", Shape(16, 3, 8, 8), "float32")
    output, h = gru(problem, *CLEAN[precision])
    assert oracle.excess(problem, "sequence", [output, h], precision) < 0.5
    assert oracle.excess(problem, "sequence", [np.roll(output, 8, axis=0), h], precision) > 1
    assert oracle.excess(problem, "states", [output, h], precision) > 1  # these started from zero
    assert oracle.excess(problem, "sequence", [output], precision) == math.inf


def test_each_precision_is_a_run_with_a_file_of_its_own() -> None:
    chosen = options.parse(["grid", "--precision", "int8", "full", "bfloat16", "int8"])
    runs = chosen.each("grid")
    assert [run.precision for run in runs] == ["int8", "full", "bfloat16"]
    assert [run.stem("grid") for run in runs] == ["grid-int8", "grid", "grid-bfloat16"]
    assert [run.numbers for run in runs] == ["int8", "float32", "bfloat16"]
    two = options.parse(["masked", "--precision", "int8", "--threads", "2"])
    assert two.stem("masked") == "masked-2-threads-int8"
    assert options.parse(["threads", "--precision", "int8"]).stem("threads") == "threads-int8"
    assert options.parse(["accuracy"]).stem("accuracy") == "accuracy"
    assert [run.precision for run in options.parse(["all"]).each("accuracy")] == ["full"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["overhead", "--precision", "int8"], "--precision is for grid, masked, threads, not for overhead"),
        (["accuracy", "--precision", "int8"], "not for accuracy"),
        (["all", "--precision", "full", "int8"], "not for all"),
        (["grid", "--precision", "bfloat16", "--dtype", "float64"], "is for --dtype float32"),
        (["grid", "--precision", "float16"], "invalid choice"),
    ],
)
def test_senseless_precisions_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        options.parse(arguments)
    assert message in capsys.readouterr().err


def test_reduced_precision_is_measured_beside_full() -> None:
    common = ["--cells", "gru", "--peers", "torch", "--shapes", "1,2,3,4", "--precision"]
    reduced = options.parse(["grid", *common, "bfloat16"])
    assert grid.groups(reduced)[0].requests == (
        Request("rnnpack", "rnnpack", precision="bfloat16"),
        Request("torch", "torch", precision="bfloat16"),
        Request("rnnpack float32", "rnnpack"),
    )
    for scenario in (masked, threads):
        group = scenario.groups(reduced)[0]
        assert {request.precision for request in group.requests} == {"bfloat16"}
    full = options.parse(["grid", *common, "full"])
    assert [request.label for request in grid.groups(full)[0].requests] == ["rnnpack", "torch"]


CONTESTANT = """
from serve import Case, only_full

class Contestant:
    def __init__(self, name, threads):
        pass
    def facts(self):
        return {"version": "1"}
    def prepare(self, task, cell, arrays, precision):
        only_full(precision, "this library")
"""


@pytest.mark.parametrize("precision", CLEAN)
def test_a_peer_without_the_precision_says_so_and_ours_is_checked(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain_runner.py").write_text(CONTESTANT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.setattr(process, "KINDS", {**process.KINDS, "xla": process.Kind("plain_runner", "xla")})
    requests = (
        Request("rnnpack", "rnnpack", precision=precision),
        Request("xla", "xla", precision=precision),
        Request("rnnpack float32", "rnnpack"),
    )
    with process.Arena(tmp_path, {}, sys.executable, []) as arena:
        group = Group("lstm", Shape(3, 4, 5, 6), requests)
        ours, theirs, full = measure.run(group, arena, "float32", rounds=2)["entries"]
    assert (ours["status"], full["status"]) == ("ok", "ok")
    assert ours["path"].endswith(f"/{precision}") and full["path"].endswith("/float32")
    assert full["excess"] < 1 and ours["excess"] < 0.5
    assert theirs["status"] == "unavailable"
    assert f"this library has no recurrent layers in {precision}" in theirs["note"]


def entry(label: str, precision: str, seconds: list[float], **others: object) -> dict[str, object]:
    """An entry as JSON has it."""
    request = Request(label, label.split()[0], precision=precision)
    made = {**vars(request), "status": "ok", "note": "", "kept": 1.0, "path": "", "excess": 0.1, "calls": 1}
    return {**made, "computing": 1.0, "seconds": seconds, **others}


def test_the_table_of_a_grid_compares_in_the_same_precision_and_with_our_float32() -> None:
    reason = "NotImplementedError: ONNX Runtime's CPU provider has no recurrent layers in bfloat16"
    entries = [
        entry("rnnpack", "bfloat16", [1e-5, 1e-5], path="native: lstm/avx512_bf16/bfloat16"),
        entry("torch", "bfloat16", [3e-5, 3e-5]),
        entry("onnxruntime", "bfloat16", [], status="unavailable", note=reason),
        entry("openvino", "bfloat16", [2e-5, 2e-5], path="inference precision bf16"),
        entry("rnnpack float32", "full", [1.8e-5, 1.8e-5], path="native: lstm/avx512/float32"),
    ]
    facts = {"date": "2026-01-02 03:04 UTC", "processor": "A processor", "architecture": "x86_64", "cores": 2}
    facts |= {"caches": {"L1": 32 << 10}, "kernel": "Linux 6", "load": 0.0, "busy": {}, "commit": None}
    found = {
        "scenario": "grid",
        "command": "python bench/run.py grid --precision bfloat16",
        "dtype": "float32",
        "precision": "bfloat16",
        "threads": 1,
        "machine": facts,
        "contestants": {"rnnpack": {"rnnpack": "1"}},
        "limits": None,
        "groups": [{"cell": "lstm", "shape": [1, 1, 8, 8], "beside": False, "entries": entries}],
    }
    text = grid.text(json.loads(json.dumps(found)))
    assert "Microseconds per call, bfloat16, 1 thread" in text
    assert "| best peer / rnnpack | rnnpack float32 | rnnpack float32 / rnnpack |" in text
    assert "| LSTM | 1,1,8,8 | 10.0 ±0.0% | 30.0 | 20.0 | OpenVINO | 2.00 | 18.0 | 1.80 |" in text
    assert "| rnnpack float32 | 1.80 |" in text
    assert "share of limit" not in text
    assert "inputs as bfloat16 tensors, made before the clock starts" in text
    assert f"- onnxruntime, unavailable: {reason} (LSTM 1,1,8,8)" in text
    assert "- rnnpack: native: lstm/avx512_bf16/bfloat16" in text
    assert "- openvino: inference precision bf16" in text
