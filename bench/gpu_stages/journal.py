"""The results of one card in a file that is replaced after every cell: a run may be cut off at any time."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

STAGES = ("check", "time")  # those that consist of cells
DONE = "ok"
LONGEST_NOTE = 300


def failure(error: BaseException) -> dict[str, Any]:
    """The record of a cell that raised."""
    return {"status": "failed", "note": f"{type(error).__name__}: {error}"[:LONGEST_NOTE]}


class Journal:
    """Results by stage and cell, on disk after every change.

    Attributes:
        path: the file.
        values: `runs` (a list), `build`, `floors`, `sanitize`, and for each of `STAGES` records by key, each
            with a `status`: "ok", "wrong", "failed", "crashed" or "hung". `running` is the stage and key
            at work, or None.
    """

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self.values = values
        self._lines: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}

    @classmethod
    def open(cls, path: Path, fresh: bool = False) -> Journal:
        """The results in the file; none if it is not there or a fresh start is wanted."""
        if path.exists() and not fresh:
            return cls(path, json.loads(path.read_text(encoding="utf-8")))
        return cls(path, {"runs": [], "running": None, **{stage: {} for stage in STAGES}})

    def write(self) -> None:
        """Replaces the file as a whole: a reader never sees half of it. Every cell has a line."""
        parts = []
        for name, value in self.values.items():
            if name in STAGES:
                lines = [f"  {json.dumps(key)}: {self._line(name, key)}" for key in value]
                parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
            else:
                parts.append(f" {json.dumps(name)}: {json.dumps(value)}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        beside.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
        os.replace(beside, self.path)

    def _line(self, stage: str, key: str) -> str:
        """A record as JSON, kept: hundreds of them are written after every cell."""
        record = self.values[stage][key]
        kept = self._lines.get((stage, key))
        if kept is None or kept[0] is not record:
            kept = self._lines[stage, key] = record, json.dumps(record)
        return kept[1]

    def set(self, name: str, value: Any) -> None:
        """A value that is not of a cell."""
        self.values[name] = value
        self.write()

    def begin(self, stage: str, key: str) -> None:
        """A cell is at work: if the process ends meanwhile, it was this one."""
        self.set("running", [stage, key])

    def end(self, stage: str, key: str, record: dict[str, Any]) -> None:
        """What came of it."""
        self.values[stage][key] = record
        self.set("running", None)

    def blame(self, status: str, note: str) -> str | None:
        """Records how the process ended for the cell at work, if there is one; returns its key."""
        if self.values["running"] is None:
            return None
        stage, key = self.values["running"]
        self.end(stage, key, {"status": status, "note": note})
        return str(key)

    def forget_failures(self, stage: str) -> None:
        """Lets cells that did not end well have another try."""
        self.values[stage] = {k: r for k, r in self.values[stage].items() if r["status"] == DONE}
        self.write()
