"""What the benchmark on a GPU calls right: layers against the oracle, and PyTorch's modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tolerance
from bench_gpu_values import ROOT

# isort: split
from gpu_stages import build, check, grid_rounding, supervise
from gpu_stages.cells import Cell
from gpu_stages.check_cases import ACTIVATIONS, KINDS, Case, cases
from gpu_stages.journal import Journal
from shapes import CELLS

sys.path.append(str(ROOT / "tests" / "cuda"))
import plugin_build


def test_every_option_is_checked_in_every_format() -> None:
    found = cases(with_gpu_arrays=False)
    assert len({case.key for case in found}) == len(found)
    assert {(c.kind, c.format) for c in found[:20]} == {(c.kind, c.format) for c in found}
    for kind in KINDS:
        of_kind = [case for case in found if case.kind == kind]
        assert {case.activation for case in of_kind} == set(ACTIVATIONS)
        assert {case.mask for case in of_kind} >= {"none", "right", "left", "holes", "empty"}
    assert not any(case.on_gpu for case in found)
    assert 0.3 < np.mean([case.on_gpu for case in cases(with_gpu_arrays=True)]) < 0.7


def test_rounding_to_a_format_is_that_of_the_format() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=2000) * 10.0 ** rng.integers(-7, 4, 2000)
    assert np.array_equal(grid_rounding.nearest(values, "float16"), values.astype(np.float16).astype(float))
    for form, step in (("bfloat16", 2.0**-7), ("tf32", 2.0**-10)):
        assert np.array_equal(
            grid_rounding.nearest(np.array([1 + 0.4 * step, 1 + 0.6 * step]), form), [1, 1 + step]
        )
    nearest, doubt = grid_rounding.rounded(np.array([1 + 2.0**-8, 1.001]), np.zeros(2), "bfloat16")
    assert nearest[1] == 1 and doubt[1] == 0
    assert doubt[0] == 2.0**-7  # half-way: either neighbour


def test_a_product_of_rounded_numbers_is_bounded_and_one_of_others_is_not() -> None:
    rng = np.random.default_rng(1)
    row, matrix = rng.normal(size=64).astype(np.float32), rng.normal(size=(64, 32)).astype(np.float32)
    found = grid_rounding.lifter("float16", 66)(row) @ matrix.astype(np.float64)
    rounded = row.astype(np.float16).astype(np.float32) @ matrix.astype(np.float16).astype(np.float32)
    assert tolerance.excess(rounded, found.value, found.error) <= 1
    assert tolerance.excess(row @ matrix, found.value, found.error) > 10


SOME = [
    Case("lstm", "float32", (2, 4, 3, 5), mask="holes", merge="concat", depth=2, states=True),
    Case("gru", "float32", (3, 5, 3, 5), lengths=True, go_backwards=True),
    Case(
        "gru_reset_before", "float64", (2, 4, 3, 5), time_major=True, mask="empty", zero_output_for_mask=True
    ),
    Case("simple_rnn", "float32", (2, 4, 3, 5), use_bias=False, return_sequences=False, merge="mul"),
]


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.key)
def test_checks_pass_what_is_right_and_nothing_else(case: Case) -> None:
    found = check.compute(case, check.problem(case), device="cpu")
    record = check.compared(case, found)
    assert record["status"] == "ok", record
    for number, array in enumerate(found):
        wrong = [*found]
        wrong[number] = np.where(
            np.arange(array.size).reshape(array.shape) == array.size - 1, array + 1e-3, array
        )
        assert check.compared(case, wrong)["status"] == "wrong"
    assert check.compared(case, [np.full_like(array, np.nan) for array in found])["status"] == "wrong"
    assert "results" in check.compared(case, found[:-1])["note"]
    assert "shapes" in check.compared(case, [array[..., :-1] for array in found])["note"]


def test_16_bit_arrays_may_be_off_by_one_rounding() -> None:
    case = Case("lstm", "float16", (2, 3, 4, 5), on_gpu=True)
    wanted = check.expected(case, check.problem(case), "float16")
    assert check.compared(case, [w.value.astype(np.float16).astype(float) for w in wanted])["status"] == "ok"
    coarse = [w.value + 2.0**-10 * np.abs(w.value) for w in wanted]
    assert check.compared(case, coarse)["status"] == "wrong"
    inputs = check.problem(case).inputs
    assert np.array_equal(inputs, inputs.astype(np.float16))


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets workers find the plugin that is built for the CPU."""
    try:
        monkeypatch.setenv("RNNPACK_CUDA_PLUGIN", str(plugin_build.emulated_plugin()))
    except plugin_build.CannotBuild as why:
        pytest.skip(str(why))
    yield


@pytest.mark.usefixtures("emulated")
def test_the_check_stage_runs_where_kernels_are_emulated(tmp_path: Path) -> None:
    path, said = tmp_path / "gpu-emulator.json", []
    Journal.open(path).set("runs", [])
    only = "lstm float16 mask=holes"
    why = supervise.supervise("check", path, 100.0, build.environment(), said.append, only)
    assert why is None, said
    records = Journal.open(path).values["check"]
    assert len(records) > 2
    assert {record["status"] for record in records.values()} == {"ok"}, records
    assert all(0 < record["error"] < 0.01 for record in records.values())
    before = path.read_bytes()
    assert supervise.supervise("check", path, 100.0, build.environment(), said.append, only) is None
    assert path.read_bytes() == before  # done is done


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("directions", ["one", "both"])
@pytest.mark.parametrize("rows", ["whole", "lengths"])
def test_float64_steps_and_rnnpack_agree_with_pytorch(kind: str, directions: str, rows: str) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    from gpu_stages import contestants, timing

    cell = Cell(kind, 5, 20, 16, "float32", rows, directions)
    two = contestants.pair(cell, "cpu")
    (one,) = contestants.inputs(cell, 1, "cpu")

    def ours(one: contestants.Inputs) -> list[object]:
        mask = None if one.mask is None else one.mask.numpy()
        found = check.flat(two.layer(one.x.numpy(), mask=mask))
        return [torch.from_numpy(np.asarray(array)) for array in found]

    calls = {"rnnpack": ours, "cudnn": contestants.theirs(two)}
    with torch.inference_mode():
        record = timing.compare(cell, two, one, calls)
    assert record["status"] == "ok", record
    assert max(record["errors"].values()) < 1e-6

    def shifted(one: contestants.Inputs) -> list[object]:
        output, *states = ours(one)
        return [output.roll(1, dims=0), *states]

    with torch.inference_mode():
        assert timing.compare(cell, two, one, {**calls, "rnnpack": shifted})["status"] == "wrong"
