"""The accuracy scenario: its problems, its errors, its table and its picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.append(str(BENCH))

import error_picture  # noqa: E402
from scenarios import accuracy  # noqa: E402
from scenarios.accuracy import Case  # noqa: E402


def test_there_is_a_case_for_each_cell_depth_and_size() -> None:
    cases = accuracy.cases()
    assert len(cases) == len(set(cases)) == 18
    assert {(case.units, case.batch) for case in cases} == {(64, 8), (256, 8), (1024, 2)}
    assert {case.cell for case in accuracy.cases(["gru"])} == {"gru"}


def test_fewer_steps_are_the_first_of_more() -> None:
    case = Case("gru", 4, 16)
    few, more = accuracy.problem(case, 3), accuracy.problem(case, 10)
    np.testing.assert_array_equal(few.inputs, more.inputs[:, :3])
    np.testing.assert_allclose(few.exact, more.exact[:, :3], rtol=1e-12)
    for one, other in zip(few.layer.get_weights(), more.layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_are_the_defaults_of_keras_and_differ_between_layers() -> None:
    kernel, recurrent, bias, second, *_ = accuracy.problem(Case("lstm", 4, 16), 3).layer.get_weights()
    assert np.abs(kernel).max() <= np.sqrt(6 / (16 + 64))
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(16), atol=1e-6)
    np.testing.assert_array_equal(bias, np.repeat([0, 1, 0, 0], 16))
    assert (kernel != second).any()


def test_errors_are_those_of_all_steps_so_far_and_order_the_precisions() -> None:
    case = Case("simple_rnn", 1, 32)
    found = {precision: accuracy.errors(case, precision, 30) for precision in ("int8", "float32", "bfloat16")}
    for precision, entry in found.items():
        assert entry["steps"] == [1, 3, 10, 30]
        assert entry["largest"] == sorted(entry["largest"])
        assert all(mean < largest for mean, largest in zip(entry["mean"], entry["largest"], strict=True))
        assert entry["path"].endswith(f"/{precision}")
    assert found["float32"]["mean"][-1] < found["bfloat16"]["mean"][-1] < found["int8"]["mean"][-1]
    layer, inputs, exact = accuracy.problem(case, 30)
    layer.set_precision("bfloat16")
    expected = np.abs(layer(inputs) - exact)[:, :10].max()
    assert found["bfloat16"]["largest"][2] == pytest.approx(expected, rel=1e-3)


def test_a_layer_that_does_not_compute_as_asked_is_no_result() -> None:
    layer = accuracy.build(Case("gru", 1, 4), "float64", [{}])
    with pytest.raises(RuntimeError, match=r"expected float32, not native: gru/.*/float64"):
        accuracy.set_precision(layer, "float32")


def results() -> dict[str, Any]:
    """What the scenario writes, with made-up figures."""
    steps = list(accuracy.STEPS)
    errors = [
        {
            "cell": cell,
            "layers": layers,
            "units": 64,
            "batch": 8,
            "precision": precision,
            "path": f"native: {cell}/avx512/{precision}",
            "steps": steps,
            "largest": [error * step for step in steps],
            "mean": [error for _ in steps],
            "size": 0.25,
        }
        for cell in ("lstm", "gru")
        for layers in (1, 4)
        for precision, error in (("float32", 1e-7), ("bfloat16", 1e-5))
    ]
    digits = {"precision": "bfloat16", "paths": [], "digits": 360, "wrong": 9, "changed": 2}
    return {
        "scenario": "accuracy",
        "command": "python bench/run.py accuracy",
        "machine": {"date": "2026-01-02 03:04 UTC", "processor": "P", "architecture": "x", "commit": None},
        "versions": {"rnnpack": "1"},
        "errors": errors,
        "digits": [{**digits, "largest_change": 0.0123}],
    }


def test_the_table_has_a_row_for_each_network_and_the_digits() -> None:
    text = accuracy.text(results())
    assert (
        "| LSTM | 4 | 64 | 0.25 | 1.0e-07 / 1.0e-07 | 1.0e-05 / 1.0e-07 | 1.0e-04 / 1.0e-07 "
        "| 1.0e-05 / 1.0e-05 | 1.0e-03 / 1.0e-05 | 1.0e-02 / 1.0e-05 |"
    ) in text
    assert text.count("| 64 | 0.25 |") == 4
    assert "| bfloat16 | 97.5% | 9 of 360 | 2 | 1.2e-02 |" in text
    assert "avx512/bfloat16, avx512/float32." in text


def test_the_picture_is_written(tmp_path: Path) -> None:
    error_picture.draw(results(), tmp_path / "errors.png")
    content = (tmp_path / "errors.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) > 10_000


def test_a_document_quotes_the_short_tables_between_its_marks() -> None:
    document = "a\n<!-- figures: start -->\nold\n<!-- figures: end -->\nb\n"
    document += "<!-- digits: start -->\n<!-- digits: end -->\nc\n"
    text = accuracy.quoted(results(), document)
    assert text.startswith("a\n<!-- figures: start -->\n| cell | layers | float32 | bfloat16 | int8 |\n")
    assert "| GRU | 4 | 1.0e-04 | 1.0e-02 | 0.0e+00 |\n<!-- figures: end -->\nb\n" in text
    assert "old" not in text and text.endswith("| 1.2e-02 |\n<!-- digits: end -->\nc\n")
    assert accuracy.quoted(results(), text) == text
