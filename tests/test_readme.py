"""The README's Python examples run as they stand, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_examples_run_and_say_what_they_print(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    printed = capsys.readouterr().out
    assert printed.startswith("(32, 100, 64) (32, 64) native: lstm/")
    assert names["smoothed"].shape == (32, 100, 16)
    assert names["out"].shape == (32, 64)
    assert "[(40, 8), (7, 8), (93, 8)]" in printed
    assert re.search(r"^native: lstm/\w+/bfloat16$", printed, re.MULTILINE)
    assert "\n(32, 3)\n" in printed
    assert len(blocks) == 7
