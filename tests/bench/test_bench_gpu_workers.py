"""Workers of the benchmark on a GPU that crash, hang, or are out of time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from bench_gpu_values import ROOT

# isort: split
from gpu_stages import supervise, worker
from gpu_stages.journal import Journal

WORKER = """
import os, subprocess, sys, time
sys.path[:0] = {paths!r}
from pathlib import Path
from gpu_stages.journal import Journal
journal = Journal.open(Path({results!r}))
for key, does in {cells!r}:
    if key in journal.values["time"]:
        continue
    journal.begin("time", key)
    if does == "orphan":
        subprocess.Popen(["sleep", "60"])  # holds the output open
    if does in ("crash", "orphan"):
        print("about to crash", file=sys.stderr, flush=True)
        os.abort()
    if does == "hang":
        time.sleep(60)
    journal.end("time", key, {{"status": "ok"}})
    print(key, flush=True)
    if does == "lose":
        sys.exit(3)
"""


def supervised(
    tmp_path: Path, cells: list[tuple[str, str]], **options: float
) -> tuple[str | None, Journal, list]:
    """Runs made-up workers of the stage "time"; returns the reason, the results and what was said."""
    results, said = tmp_path / "gpu-x.json", []
    Journal.open(results).set("runs", [])
    paths = [str(ROOT / "bench"), str(ROOT / "tests")]
    code = WORKER.format(paths=paths, results=str(results), cells=cells)

    def command(*arguments: object) -> list[str]:
        return [sys.executable, "-c", code]

    given = {"seconds": 30.0, "silence": 20.0, **options}
    why = supervise.supervise(
        "time", results, environment=os.environ, say=said.append, worker=command, **given
    )
    return why, Journal.open(results), said


def test_a_worker_that_crashes_is_followed_by_another(tmp_path: Path) -> None:
    cells = [("a", ""), ("b", "crash"), ("c", "lose"), ("d", "")]
    why, journal, said = supervised(tmp_path, cells)
    assert why is None
    assert {key: record["status"] for key, record in journal.values["time"].items()} == {
        "a": "ok",
        "b": "crashed",
        "c": "ok",
        "d": "ok",
    }
    assert journal.values["time"]["b"]["note"] == "signal 6: about to crash"
    assert [line for line in said if len(line) == 1] == ["a", "c", "d"]


def test_helpers_of_a_worker_that_crashes_do_not_keep_its_output_open(tmp_path: Path) -> None:
    why, journal, _ = supervised(tmp_path, [("a", "orphan"), ("b", "")])
    assert why is None
    assert journal.values["time"]["a"]["status"] == "crashed"
    assert journal.values["time"]["b"]["status"] == "ok"


def test_a_worker_that_hangs_is_ended(tmp_path: Path) -> None:
    why, journal, _ = supervised(tmp_path, [("a", "hang"), ("b", "")], silence=1.5)
    assert why is None
    assert journal.values["time"]["a"]["status"] == "hung"
    assert journal.values["time"]["b"]["status"] == "ok"


def test_a_worker_that_is_out_of_time_blames_no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "GRACE_S", 0.5)
    why, journal, _ = supervised(tmp_path, [("a", ""), ("b", "hang")], seconds=1.0)
    assert why is None
    assert journal.values["time"] == {"a": {"status": "ok"}}
    assert journal.values["running"] is None


def test_an_interruption_ends_the_worker(tmp_path: Path) -> None:
    def interrupted(line: str) -> None:
        seen.append(line)
        raise KeyboardInterrupt

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        supervise.supervise(
            "time",
            tmp_path / "gpu-x.json",
            20.0,
            os.environ,
            interrupted,
            worker=lambda *_: [sys.executable, "-c", code],
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int(seen[0]), 0)


def test_a_worker_that_cannot_begin_is_not_tried_again(tmp_path: Path) -> None:
    results, said = tmp_path / "gpu-x.json", []
    Journal.open(results).set("runs", [])
    code = f"print('no card', flush=True); raise SystemExit({worker.NO_START})"
    why = supervise.supervise(
        "time", results, 20.0, os.environ, said.append, worker=lambda *_: [sys.executable, "-c", code]
    )
    assert why == "no card"
    assert said == ["no card"]
