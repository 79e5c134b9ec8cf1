"""Text for terminals: tables, and colours where they are welcome."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_CODES = {"bold": "1", "dim": "2", "green": "32", "cyan": "36", "yellow": "33"}


def styled(text: str, style: str) -> str:
    """The text in a style, or as it is where stdout is no terminal or `NO_COLOR` is set.

    Args:
        text: what to print on stdout.
        style: "bold", "dim", "green", "cyan" or "yellow".
    """
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose columns are aligned to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]
    ]
    return [styled(lines[0], "bold"), *lines[1:]]


def note(text: str) -> None:
    """Says something beside the output, on stderr."""
    print(text, file=sys.stderr)
