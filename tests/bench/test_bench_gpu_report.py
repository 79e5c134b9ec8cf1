"""The report of the benchmark on a GPU, from made-up results."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from bench_gpu_values import MEASURED, replaced

# isort: split
import gpu
from gpu_stages import floors, tables
from gpu_stages.cells import HEADLINES
from gpu_stages.costs import floor
from gpu_stages.journal import Journal


def timed(ours: list[float], theirs: list[float], mode: str = "graph") -> dict[str, object]:
    """A record of a timed cell."""
    errors = {"rnnpack": 1e-4, "cudnn": 3e-4, "between": 2e-4}
    seconds = {"rnnpack": ours, "cudnn": theirs}
    common = {"status": "ok", "peer": "cuDNN", "errors": errors, "tolerance": 5e-3}
    return {**common, "mode": mode, "sets": 4, "seconds": seconds}


@pytest.fixture
def results() -> dict[str, object]:
    """Results of a made-up card."""
    first = HEADLINES[0]
    return {
        "runs": [{"date": "a day", "commit": None, "command": "python bench/gpu.py"}],
        "card": {"name": "NVIDIA Made-up", "driver": "1.2"},
        "running": None,
        "problems": {"time": "gave up"},
        "floors": MEASURED,
        "sanitize": {"memcheck": {"status": "ok"}, "racecheck": {"status": "wrong", "note": "a race"}},
        "check": {
            "lstm float32": {"status": "ok", "error": 1e-7, "excess": 0.1},
            "gru float32 depth=3": {
                "status": "wrong",
                "error": 0.5,
                "excess": 99.0,
                "note": "errors 99 times",
            },
            "gru float32 states": {"status": "hung", "note": "no sign of life for 75 s"},
        },
        "time": {
            first.key: timed([1.1e-3, 1.2e-3, 1.0e-3], [2.2e-3, 2.4e-3, 2.0e-3]),
            replaced(first, format="bfloat16").key: timed([1e-3], [8e-3]),
            replaced(first, rows="lengths").key: timed([1e-3], [0.5e-3], "plain"),
            replaced(first, units=2048).key: {"status": "failed", "note": "out of\nmemory"},
        },
    }


def test_ratios_and_their_geometric_means(results: dict[str, object]) -> None:
    found = tables.rows(results)
    assert sorted(row.ratio for row in found) == pytest.approx([0.5, 2.0, 8.0])
    table = tables.means(found)
    assert "| all | 3 | 2.00 | 0.50 |" in table
    assert "| cuDNN has no persistent path | 2 | 2.00 | 0.50 |" in table
    assert "| cuDNN has a persistent path | 1 | 2.00 | 2.00 |" in table
    assert "| rows lengths | 1 | 0.50 | 0.50 |" in table


def test_the_report_shows_what_was_seen_and_what_failed(results: dict[str, object]) -> None:
    text = tables.text(results)
    assert text.startswith("# rnnpack and cuDNN on NVIDIA Made-up\n")
    assert "**The time stage did not finish: gave up**" in text
    assert "3 of 5400 cells of the grid were timed (2 as graph, 1 as plain)" in text
    assert (
        f"1 of 3 cells below 0.95, smallest first: {replaced(HEADLINES[0], rows='lengths').key} 0.50." in text
    )
    least = floor(HEADLINES[0], floors.card(MEASURED)) / 1000 * 1e6
    assert f"| 1100 ±4.5% | 2200 | 2.00 | 1.10 | {least:.2f} |" in text
    assert "| float32 | 3 | 2 | 0.5 | 99 |" in text
    assert "| float16 | 2 | 0.0001 | 0.0003 | 0.0002 | 0.005 |" in text
    assert "- racecheck: wrong\n\n```\na race\n```" in text
    assert "- time, failed: out of memory (lstm,16,1000,2048,float16,whole,one)" in text
    assert "- check, hung: no sign of life for 75 s (gru float32 states)" in text
    assert "| barrier of a cluster of 8 | 200 ns |" in text


def test_a_run_that_saw_nothing_has_a_report(tmp_path: Path) -> None:
    path = tmp_path / "gpu-x.json"
    gpu.begin(path, {"name": "x"}, fresh=False)
    gpu.write_report(path)
    text = path.with_suffix(".md").read_text()
    assert "Nothing was checked." in text
    assert not path.with_suffix(".png").exists()
    gpu.begin(path, {"name": "x"}, fresh=False)
    assert len(Journal.open(path).values["runs"]) == 2


def test_a_report_is_made_again_without_the_card(
    results: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    command = ["gpu.py", "report", "--card", "Made up", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit):
        gpu.main()
    path = tmp_path / "gpu-made-up.json"
    journal = Journal.open(path)
    results["time"] = {}  # and so there is no picture
    journal.values |= results
    journal.write()
    before = path.read_bytes()
    assert gpu.main() == 0
    assert path.read_bytes() == before
    assert "driver 1.2" in path.with_suffix(".md").read_text()


def test_times_without_floors_have_a_report(results: dict[str, object]) -> None:
    results["floors"] = {}
    assert all(math.isnan(row.floor) for row in tables.rows(results))
    assert "| 1.10 | - | - |" in tables.text(results)


def test_the_picture_is_drawn(results: dict[str, object], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib to draw")
    path = tmp_path / "gpu-x.json"
    journal = Journal.open(path)
    journal.values |= results
    journal.write()
    gpu.write_report(path)
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
