"""The benchmark on a GPU, as far as it needs none: the grid, floors, results on disk, the command."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from bench_gpu_values import MEASURED, replaced

# isort: split
import gpu
from gpu_stages import build, floors, schedule, worker
from gpu_stages.budget import FOR_REPORT_S, Budget
from gpu_stages.cells import FORMATS, HEADLINES, UNITS, Cell, grid, ordered
from gpu_stages.costs import HELD_BYTES, Card, cost, floor
from gpu_stages.journal import Journal
from shapes import CELLS


@pytest.fixture
def card() -> Card:
    """A made-up card."""
    found = floors.card(MEASURED)
    assert found is not None
    return found


# --- what is timed, and when


def test_the_grid_is_that_of_the_targets() -> None:
    cells = grid()
    assert len(cells) == len(set(cells)) == 3 * 5 * 9 * 4 * 2 * (1 + 2 + 2)
    assert not [cell for cell in cells if cell.timesteps == 1 and cell.rows == "lengths"]
    assert set(HEADLINES) <= set(cells)
    assert [Cell.parse(cell.key) for cell in cells] == cells


def test_the_order_begins_with_the_headlines_and_leaves_out_nothing() -> None:
    found = ordered(grid())
    assert found[: len(HEADLINES)] == list(HEADLINES)
    assert sorted(found) == sorted(grid())
    assert found == ordered(list(reversed(grid())))
    assert found != ordered(grid(), seed=1)
    some = [cell for cell in grid() if cell.units == 768]
    assert set(ordered(some)) == set(some)


def test_a_run_that_is_cut_off_has_seen_every_set_of_weights() -> None:
    weights = {cell.weights for cell in grid()}
    start = ordered(grid())[: len(HEADLINES) + 3 * len(weights)]
    assert {cell.weights for cell in start} == weights
    seen = [sum(cell.weights == other.weights for cell in start) for other in start]
    assert max(seen) <= 3 + len(HEADLINES)
    tenth = ordered(grid())[:300]
    assert {cell.kind for cell in tenth} == set(CELLS)
    assert len({(cell.format, cell.rows) for cell in tenth}) == 2 * len(FORMATS)
    assert {cell.units for cell in tenth} == set(UNITS)


@pytest.mark.parametrize(
    ("key", "persists"),
    [
        ("lstm,16,1000,768,float16,whole,one", True),
        ("lstm,16,1000,768,bfloat16,whole,one", False),
        ("lstm,16,1000,192,float32,whole,one", True),
        ("gru,16,1000,256,float16,whole,one", False),
        ("gru,16,1000,192,tf32,whole,one", True),
        ("lstm,16,1000,64,float16,lengths,one", False),
        ("lstm,16,1000,64,float16,whole,both", False),
    ],
)
def test_where_cudnn_has_a_persistent_path(key: str, persists: bool) -> None:
    assert Cell.parse(key).cudnn_persists is persists


def test_inputs_rotate_until_they_have_left_the_cache() -> None:
    assert schedule.sets(1 << 30, 50 << 20) == 1
    assert schedule.sets(20 << 20, 50 << 20) == 5
    assert schedule.sets(64, 50 << 20) == schedule.MOST_SETS
    assert schedule.sets_for_time(16, 1e-3) == 16
    assert schedule.sets_for_time(16, 0.005) == 4
    assert schedule.sets_for_time(16, 10.0) == 2
    assert schedule.sets_for_time(1, 10.0) == 1


def test_slow_cells_have_few_rounds_and_fast_ones_many_calls() -> None:
    assert schedule.repeats(1e-5) == 400
    assert schedule.repeats(1.0) == 1
    assert schedule.rounds(1.0, 0.3) == schedule.LEAST_ROUNDS
    assert schedule.rounds(1e-3, 0.3) == schedule.MOST_ROUNDS
    assert schedule.rounds(0.03, 0.3) == 10


def test_a_stage_takes_its_share_unless_it_is_the_last() -> None:
    now = 0.0
    budget = Budget(100 + FOR_REPORT_S, clock=lambda: now)
    assert budget.of("check", ["time"]) == pytest.approx(30)
    assert budget.of("check", []) == pytest.approx(100)
    now = 60.0
    assert budget.of("time", []) == pytest.approx(40)
    now = 200.0
    assert budget.left == 0


# --- what a cell costs at least


def test_bytes_and_operations_of_a_cell() -> None:
    found = cost(Cell("gru", 16, 10, 128, "bfloat16", "whole", "both"))
    matrix = 2 * 128 * 3 * 128  # both directions
    assert found.weights == 2 * matrix
    assert found.operations == 2 * 2 * matrix * 16 * 10
    assert found.recurrent == 2 * matrix * 16
    assert found.traffic == 2 * (2 * matrix + 16 * 10 * 128 * 3)


def test_the_floor_of_long_sequences_is_a_barrier_and_a_product_each_step(card: Card) -> None:
    in_cluster = Cell("lstm", 16, 1000, 256, "float16", "whole", "one")
    product = 2 * 16 * 4 * 256 * 256 / 8e14
    assert floor(in_cluster, card) == pytest.approx(1000 * product + 999 * 2e-7)
    wide = replaced(in_cluster, units=2048)  # 32 MiB: too much for a cluster, not for the card
    assert floor(wide, card) == pytest.approx(1000 * 64 * product + 999 * 1e-6)


def test_weights_that_the_card_cannot_hold_are_read_every_step(card: Card) -> None:
    cell = Cell("lstm", 1, 100, 2048, "float32", "whole", "one")
    weights = 4 * 4 * 2048 * 2048
    assert weights > card.multiprocessors * HELD_BYTES and weights > card.l2_bytes
    assert floor(cell, card) == pytest.approx(100 * weights / 3e12 + 99 * 1e-6)


def test_one_small_step_costs_a_launch_and_large_ones_their_bytes(card: Card) -> None:
    assert floor(Cell("simple_rnn", 1, 1, 64, "float32", "whole", "one"), card) == card.graph_launch
    large = Cell("simple_rnn", 1, 1, 2048, "float16", "whole", "one")
    assert floor(large, card) == pytest.approx(2 * (2 * 2048 * 2048 + 2 * 2048) / 3e12)


def test_a_card_without_clusters_has_barriers_of_the_whole_grid(card: Card) -> None:
    cell = Cell("lstm", 1, 1000, 64, "float16", "whole", "one")
    assert floor(cell, replace(card, cluster_barrier=None)) > 4 * floor(cell, card)


def test_floors_that_were_not_measured_are_none() -> None:
    assert floors.card({}) is None
    assert floors.card({"grid": MEASURED["grid"]}) is None
    assert Card.from_dict(json.loads(json.dumps(floors.card(MEASURED).to_dict()))) == floors.card(MEASURED)


# --- results on disk


def test_results_are_on_disk_after_every_cell_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "gpu-x.json"
    journal = Journal.open(path)
    journal.begin("check", "a")
    assert Journal.open(path).values["running"] == ["check", "a"]
    journal.end("check", "a", {"status": "ok", "error": 1e-7})
    journal.end("time", "b", {"status": "failed", "note": 'a "quoted" line\nand another'})
    again = Journal.open(path)
    assert again.values == journal.values
    assert again.values["running"] is None
    assert len(path.read_text().splitlines()) == 2 + 2 + 2 * 3  # braces, two values, two stages of one cell
    assert list(path.parent.iterdir()) == [path]
    assert Journal.open(path, fresh=True).values["check"] == {}
    journal.end("check", "a", {"status": "wrong"})
    assert Journal.open(path).values["check"] == {"a": {"status": "wrong"}}


def test_a_cell_that_ended_the_process_is_blamed_and_may_try_again(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "gpu-x.json")
    assert journal.blame("crashed", "") is None
    journal.end("time", "good", {"status": "ok"})
    journal.begin("time", "bad")
    assert journal.blame("crashed", "signal 11") == "bad"
    assert journal.values["time"]["bad"] == {"status": "crashed", "note": "signal 11"}
    assert worker.selected(["good", "bad", "new"], journal, "time", "") == ["new"]
    journal.forget_failures("time")
    assert worker.selected(["good", "bad", "new"], journal, "time", "") == ["bad", "new"]
    assert worker.selected(["good", "bad", "new"], journal, "time", "a") == ["bad"]


# --- the command


def test_stages_come_in_their_order() -> None:
    assert gpu.parse([]).stages == ["build", "check", "floors", "time", "report"]
    assert gpu.parse(["--sanitize"]).stages == list(gpu.STAGES)
    assert gpu.parse(["report", "time", "check"]).stages == ["check", "time", "report"]


@pytest.mark.parametrize("arguments", [["paint"], ["--budget", "0"], ["--budget", "soon"]])
def test_arguments_that_make_no_sense_end_the_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.parse(arguments)
    assert ended.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_results_are_named_after_the_card() -> None:
    assert gpu.stem("NVIDIA H100 80GB HBM3") == "gpu-nvidia-h100-80gb-hbm3"


def test_facts_of_the_card_are_those_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\necho 'NVIDIA H200, 9.0, 143771 MiB, 580.159.04'\necho 'another, 9.0, 1 MiB, 1'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gpu.card_facts(None) == {
        "name": "NVIDIA H200",
        "compute capability": "9.0",
        "memory": "143771 MiB",
        "driver": "580.159.04",
    }
    assert gpu.card_facts("mine")["name"] == "mine"
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpu.card_facts("mine") == {"name": "mine"}


def test_only_the_card_that_is_there_is_built_for() -> None:
    assert [build.architecture(c) for c in ("8.0", "9.0", "10.0")] == ["80", "90a", "100a"]
    pytest.importorskip("pybind11")
    configure = build.commands("90a")[0]
    assert "-DCMAKE_CUDA_ARCHITECTURES=90a-real" in configure
    assert "-DRNNPACK_CUDA=ON" in configure
