"""A line on the terminal that shows how far a long computation is."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, TextIO

_WIDTH = 24
# Seconds between two drawings of the plain line.
_INTERVAL = 0.1
# One line at a time: a second one, of another thread or of a computation inside the first, stays silent.
_drawing = threading.Lock()


class Progress(Protocol):
    """What the body of a `progress` block gets."""

    def advance(self, n: int) -> None:
        """Says that `n` more units are done."""


class _Silent:
    def advance(self, n: int) -> None:
        pass


@contextmanager
def progress(total: int | None, label: str, unit: str, enabled: bool = True) -> Iterator[Progress]:
    """Shows the progress of the body on stderr, where that is a terminal; elsewhere it does nothing.

    Args:
        total: units in all; None if unknown.
        label: what is being done.
        unit: what is counted, in the plural, such as "rows".
        enabled: False for no output at all.
    """
    terminal = sys.stderr
    if not (enabled and terminal is not None and terminal.isatty() and _drawing.acquire(blocking=False)):
        yield _Silent()
        return
    try:
        draw = _rich if find_spec("rich") is not None else _plain
        with draw(total, label, unit, terminal) as shown:
            yield shown
    finally:
        _drawing.release()


class _Line:
    """Draws one line again and again."""

    def __init__(self, total: int | None, label: str, unit: str, terminal: TextIO) -> None:
        self._total, self._label, self._unit, self._terminal = total, label, unit, terminal
        self._done = 0
        self._began = time.monotonic()
        self._drawn = -_INTERVAL

    def advance(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._drawn >= _INTERVAL:
            self._drawn = now
            self.draw()

    def draw(self, end: str = "") -> None:
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        counted = f"{self._done} {self._unit}"
        if self._total:
            share = min(self._done / self._total, 1)
            bar = "#" * round(share * _WIDTH)
            counted = f"[{bar:<{_WIDTH}}] {share:4.0%} {self._done}/{self._total} {self._unit}"
        self._terminal.write(f"\r{self._label} {counted}, {rate:,.0f} {self._unit}/s\x1b[K{end}")
        self._terminal.flush()


@contextmanager
def _plain(total: int | None, label: str, unit: str, terminal: TextIO) -> Iterator[Progress]:
    line = _Line(total, label, unit, terminal)
    try:
        yield line
    finally:
        line.draw(end="\n")


class _RichLine:
    def __init__(self, bars: Any, task: Any) -> None:
        self._bars, self._task = bars, task
        self._began = time.monotonic()

    def advance(self, n: int) -> None:
        self._bars.advance(self._task, n)
        seconds = max(time.monotonic() - self._began, 1e-9)
        self._bars.update(self._task, rate=f"{self._bars.tasks[0].completed / seconds:,.0f}")


@contextmanager
def _rich(total: int | None, label: str, unit: str, terminal: TextIO) -> Iterator[Progress]:
    rich = import_module("rich.progress")
    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn(f"{unit}, {{task.fields[rate]}} {unit}/s"),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=import_module("rich.console").Console(file=terminal)) as bars:
        yield _RichLine(bars, bars.add_task(label, total=total, rate="0"))
