"""The table of weights' layouts in docs names a test for every row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "weights-layout.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| .*`test_\w+` \|$", line)
]


def test_the_table_has_rows() -> None:
    assert len(ROWS) >= 18


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_names_a_test_that_exists(row: list[str]) -> None:
    names = re.findall(r"`(test_\w+)`", row[-1])
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "formats").rglob("test_*.py")
    )
    assert names and all(f"def {name}(" in sources for name in names)
