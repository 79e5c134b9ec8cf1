"""The benchmark's own rules: limits, ratios, the oracle's verdict, contestants that fail, tables."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.append(str(BENCH))

import limits  # noqa: E402
import measure  # noqa: E402
import options  # noqa: E402
import oracle  # noqa: E402
import problems  # noqa: E402
import report  # noqa: E402
from contestants import process  # noqa: E402
from limits import Level, Limits  # noqa: E402
from measure import Group, Request  # noqa: E402
from scenarios import grid, masked, overhead, threads  # noqa: E402
from shapes import Shape  # noqa: E402

LIMITS = Limits(
    {"float32": 100.0, "float64": 50.0},
    (Level("L1", 32 << 10, 200.0), Level("L2", 1 << 20, 100.0), Level("memory", None, 20.0)),
)


def test_one_row_is_limited_by_reading_the_recurrent_weights_every_step() -> None:
    shape = Shape(1, 100, 256, 256)
    read = 100 * (256 * 1024 * 4) / 100e9  # 1 MiB, from L2
    project = 100 * 2 * 256 * 1024 / 100e9
    assert limits.seconds(LIMITS, "lstm", shape, "float32") == pytest.approx(read + project)


def test_one_step_reads_both_matrices_from_where_both_fit() -> None:
    shape = Shape(1, 1, 256, 256)  # 1 MiB each: one alone would fit the L2
    assert limits.seconds(LIMITS, "lstm", shape, "float32") == pytest.approx(2 * (1 << 20) / 20e9)


def test_a_batch_is_limited_by_its_multiply_adds() -> None:
    shape = Shape(32, 10, 64, 64)
    flops = 2 * 32 * 10 * (64 + 64) * 3 * 64
    assert limits.seconds(LIMITS, "gru", shape, "float32") == pytest.approx(flops / 100e9)
    assert limits.seconds(LIMITS, "gru", shape, "float64") == pytest.approx(flops / 50e9)


def test_the_better_of_two_measurements_of_the_limits() -> None:
    slower = Limits({"float32": 90.0, "float64": 60.0}, (Level("L1", 32 << 10, 210.0), *LIMITS.levels[1:]))
    better = LIMITS.better_of(slower)
    assert better.gflops == {"float32": 100.0, "float64": 60.0}
    assert better.levels[0].gigabytes_per_second == 210.0
    assert Limits.from_dict(json.loads(json.dumps(better.to_dict()))) == better


def test_a_ratio_is_the_median_over_the_rounds() -> None:
    ours, theirs = [1.0, 2.0, 10.0], [2.0, 5.0, 10.0]  # the machine slowed down, the ratio of medians is 2.5
    assert measure.ratio(theirs, ours) == 2.0
    assert math.isnan(measure.ratio([], ours))


def test_there_are_never_fewer_than_9_rounds() -> None:
    assert [measure.rounds_for(seconds) for seconds in (0.0, 0.1, 0.5, 60.0)] == [21, 21, 12, 9]


def test_spread_is_half_the_distance_of_the_quartiles() -> None:
    assert measure.spread([8.0, 9.0, 10.0, 11.0, 12.0]) == pytest.approx(0.1)


def test_the_geometric_mean_leaves_out_what_was_not_measured() -> None:
    assert measure.geometric_mean([2.0, math.nan, 8.0]) == pytest.approx(4.0)
    assert math.isnan(measure.geometric_mean([math.nan]))


def numpy_lstm(problem: problems.Problem) -> list[np.ndarray]:
    """The LSTM of a problem in the precision of its arrays, as plain NumPy."""
    h = c = np.zeros_like(problem.states[0])
    outputs = []
    for step in range(problem.inputs.shape[1]):
        z = problem.inputs[:, step] @ problem.kernel + h @ problem.recurrent + problem.bias
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        outputs.append(h)
    return [np.stack(outputs, axis=1), h, c]


def bfloat16(array: np.ndarray) -> np.ndarray:
    """The array with the 8 significant bits of bfloat16."""
    return (array.view(np.uint32) & 0xFFFF0000).view(np.float32)


@pytest.mark.parametrize("shape", [Shape(7, 20, 16, 32), Shape(1, 500, 32, 32)])
def test_the_oracle_accepts_float32_and_nothing_less(shape: Shape) -> None:
    problem = problems.make("lstm", shape, "float32")
    assert oracle.excess(problem, "sequence", numpy_lstm(problem)) < 1
    coarse = dataclasses.replace(
        problem, kernel=bfloat16(problem.kernel), recurrent=bfloat16(problem.recurrent)
    )
    assert oracle.excess(problem, "sequence", numpy_lstm(coarse)) > 10


def test_the_oracle_sees_exchanged_rows_missing_states_and_other_dtypes() -> None:
    problem = problems.make("lstm", Shape(16, 3, 8, 8), "float32")
    output, h, c = numpy_lstm(problem)
    assert oracle.excess(problem, "sequence", [np.roll(output, 8, axis=0), h, c]) > 10
    assert oracle.excess(problem, "sequence", [output, c, h]) > 10
    assert oracle.excess(problem, "sequence", [output, h]) == math.inf
    assert oracle.excess(problem, "sequence", [output.astype(np.float64), h, c]) == math.inf
    assert oracle.excess(problem, "sequence", [np.full_like(output, np.nan), h, c]) == math.inf
    assert oracle.excess(problem, "states", [output, h, c]) > 10  # these started from zero


def test_masked_steps_are_not_compared() -> None:
    problem = problems.make("lstm", Shape(4, 10, 8, 8), "float32", "right")
    assert problem.mask is not None
    wanted = [part.value.astype(np.float32) for part in oracle.expected(problem, False)]
    ragged = [wanted[0][problem.mask], *wanted[1:]]
    wanted[0][~problem.mask] = 7
    assert oracle.excess(problem, "mask", wanted) < 1
    assert oracle.excess(problem, "ragged", ragged) < 1


@pytest.mark.parametrize("kind", problems.MASKS)
def test_masks_keep_half_of_the_steps(kind: str) -> None:
    mask = problems.make_mask(kind, 400, 100)
    assert abs(mask.mean() - 0.5) < 0.05
    assert mask.any(axis=1).all()
    rises = np.diff(mask.astype(int), axis=1)
    assert (rises <= 0).all() == (kind == "right")
    assert (rises >= 0).all() == (kind == "left")


CONTESTANTS = """
import os
import numpy as np
from serve import Case

class Contestant:
    def __init__(self, name, threads):
        self.name = name
    def facts(self):
        print("noise on standard output")
        return {"version": "1"}
    def prepare(self, task, cell, arrays, precision):
        batch, steps, _ = arrays["inputs"].shape
        zeros = np.zeros((batch, steps, arrays["recurrent"].shape[0]), "float32")
        def call():
            if self.name == "torch":
                os._exit(3)
            return [zeros, zeros[:, -1], zeros[:, -1]]
        return Case(call, list)
"""


def test_a_failing_contestant_loses_only_its_own_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_runner.py").write_text(CONTESTANTS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    kinds = {"torch": process.Kind("odd_runner", "torch"), "xla": process.Kind("odd_runner", "tensorflow")}
    monkeypatch.setattr(process, "KINDS", {**process.KINDS, **kinds})
    group = Group(
        "lstm",
        Shape(3, 4, 5, 6),
        tuple(Request(name, name) for name in ("rnnpack", "torch", "xla", "openvino")),
    )
    missing = {"openvino": str(tmp_path / "no-python")}
    with process.Arena(tmp_path, missing, sys.executable, []) as arena:
        found = measure.run(group, arena, "float32", rounds=2)
        entries = {entry["label"]: entry for entry in found["entries"]}
    statuses = {name: entry["status"] for name, entry in entries.items()}
    assert statuses == {"rnnpack": "ok", "torch": "failed", "xla": "wrong", "openvino": "unavailable"}
    assert [len(entry["seconds"]) for entry in entries.values()] == [2, 0, 0, 0]
    assert entries["torch"]["note"].startswith("crashed (exit status 3)")
    assert entries["rnnpack"]["excess"] < 1


def entry(name: str, seconds: list[float], **others: object) -> dict[str, object]:
    """An entry as JSON has it."""
    made = {**vars(Request(name, name)), "status": "ok", "note": "", "kept": 1.0, "excess": 0.1, "calls": 1}
    return {**made, "computing": 1.0, "seconds": seconds, **others}


def results(scenario: str, groups: list[dict[str, object]]) -> dict[str, object]:
    """A results file with these groups."""
    facts = {"date": "2026-01-02 03:04 UTC", "processor": "A processor", "architecture": "x86_64", "cores": 2}
    facts |= {"caches": {"L1": 32 << 10}, "kernel": "Linux 6", "load": 0.0, "busy": {}, "commit": None}
    return {
        "scenario": scenario,
        "command": "python bench/run.py",
        "dtype": "float32",
        "threads": 1,
        "machine": facts,
        "contestants": {"rnnpack": {"rnnpack": "1"}},
        "limits": LIMITS.to_dict(),
        "groups": groups,
    }


def test_the_table_of_a_grid() -> None:
    wrong = entry("openvino", [], status="wrong", note="errors 9 times what rounding explains")
    first = [
        entry("rnnpack", [1e-5, 2e-5, 1e-5]),
        entry("torch", [4e-5, 8e-5, 4e-5]),
        entry("onnxruntime", [2e-5, 4e-5, 2e-5]),
        wrong,
    ]
    second = [entry("rnnpack", [2e-3]), entry("torch", [1e-3]), entry("onnxruntime", [4e-3]), wrong]
    found = results(
        "grid",
        [
            {"cell": "lstm", "shape": [1, 1, 8, 8], "beside": False, "entries": first},
            {"cell": "gru", "shape": [32, 10, 64, 64], "beside": False, "entries": second},
        ],
    )
    text = grid.text(json.loads(json.dumps(found)))
    assert "| LSTM | 1,1,8,8 | 10.0 ±25.0% | 40.0 | 20.0 | ONNX Runtime | 2.00 | 0% |" in text
    assert "| GRU | 32,10,64,64 | 2000 ±0.0% | 1000 | 4000 | PyTorch | 0.50 | 8% |" in text
    assert "| PyTorch | 1.41 |" in text
    assert "| **best of each cell** | **1.00** |" in text
    assert "Smallest ratio: 0.50 (GRU 32,10,64,64, PyTorch); 1 of 2 below 1." in text
    assert "- openvino, wrong: errors 9 times what rounding explains (LSTM 1,1,8,8 and 1 more)" in text
    assert "Warning" not in text


def test_a_disturbed_run_says_so() -> None:
    entries = [entry("rnnpack", [1e-5], computing=0.7), entry("torch", [1e-5])]
    found = results("grid", [{"cell": "lstm", "shape": [1, 1, 8, 8], "beside": False, "entries": entries}])
    assert "1 of 2 measurements" in str(report.disturbance(found))
    found["machine"] = {**found["machine"], "busy": {"cpu0": 0.01, "cpu1": 0.4}}  # type: ignore[dict-item]
    assert "busy (cpu1 40%; load 0.00)" in grid.text(found)


def test_speed_up_and_slow_down_compare_in_the_same_group() -> None:
    def group(beside: bool, two: float) -> dict[str, object]:
        pair = [entry("rnnpack", [4e-3]), entry("rnnpack", [two], threads=2)]
        entries = [{**e, "label": f"rnnpack {e['threads']}"} for e in pair]
        return {"cell": "lstm", "shape": [1, 1, 8, 8], "beside": beside, "entries": entries}

    alone, beside = group(False, 2e-3), group(True, 5e-3)
    assert threads.factors(alone, beside, "rnnpack") == (2.0, 1.25)
    text = threads.text(results("threads", [alone, beside]))
    assert "| LSTM | 1,1,8,8 | 4000 | 2000 | 2.00 | 1.25 |" in text


def test_scenarios_list_what_was_asked_for() -> None:
    chosen = options.parse(["grid", "--cells", "gru", "--peers", "torch", "--shapes", "1,2,3,4"])
    assert grid.groups(chosen) == [
        Group("gru", Shape(1, 2, 3, 4), (Request("rnnpack", "rnnpack"), Request("torch", "torch")))
    ]
    assert len(grid.groups(options.parse([]))) == 48
    assert {r.contestant for r in overhead.groups(chosen)[0].requests} == {"rnnpack", "torch"}
    assert {r.contestant for r in masked.groups(chosen)[0].requests} == {"rnnpack", "torch"}
    assert [group.beside for group in threads.groups(chosen)] == [False, True]


def test_results_of_a_part_do_not_replace_the_committed_ones() -> None:
    assert options.parse([]).out == BENCH / "results"
    assert options.parse(["--rounds", "3"]).out != BENCH / "results"
    assert options.parse(["--dtype", "float64"]).stem("grid") == "grid-float64"


def test_the_recorded_command_has_no_paths_of_interpreters() -> None:
    arguments = ["grid", "--python", "torch=/a/python", "--rounds=3", "--python=xla=/b/python"]
    with pytest.raises(SystemExit):
        options.parse(arguments)  # xla shares TensorFlow's interpreter
    chosen = options.parse([a.replace("xla", "tensorflow") for a in arguments])
    assert chosen.command == "python bench/run.py grid --rounds=3"
    assert chosen.interpreters == {"torch": "/a/python", "tensorflow": "/b/python"}
