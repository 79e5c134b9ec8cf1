"""The table that `Model.summary` prints."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from rnnpack.models import naming
from rnnpack.models.graph import Graph
from rnnpack.models.model import Model, explain_layer
from rnnpack.symbolic import SymbolicArray
from rnnpack.variable import Variable

_HEAD = ("Layer (type)", "Output shape", "Params", "Connected to", "Runs")
_NUMBERS = 2
_GAP = "  "
_NARROWEST = 8

# A row has a cell for each column, and a cell one or more lines.
_Row = tuple[list[str], ...]


def lines(model: Model, line_length: int | None) -> Iterator[str]:
    """The lines of the table.

    Args:
        model: built.
        line_length: characters in a line; None for as many as needed.

    Raises:
        ValueError: the model is not built, or the lines are too short for five columns.
    """
    least = len(_HEAD) * (_NARROWEST + len(_GAP))
    if line_length is not None and line_length < least:
        raise ValueError(f"`line_length` must be at least {least}, got {line_length}")
    rows: list[_Row] = [tuple([title] for title in _HEAD), *_rows(model)]
    widths = [max(len(line) for row in rows for line in row[column]) for column in range(len(_HEAD))]
    while line_length is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > line_length:
        widths[widths.index(max(widths))] -= 1
    rule = "-" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    yield f'Model: "{model.name}"'
    yield rule
    for index, row in enumerate(rows):
        yield from _laid_out(row, widths)
        if index == 0:
            yield rule
    yield rule
    yield from _totals(model)


def _rows(model: Model) -> Iterator[_Row]:
    graph: Graph = model._built_graph()
    made = naming.producers(graph)
    for member in graph.members:
        if isinstance(member, SymbolicArray):
            yield [f"{member.name} (Input)"], [str(member.shape)], [""], [""], [""]
            continue
        steps = sorted((s for s in graph.steps if s.layer is member), key=lambda step: step.call)
        sources = [made[ref.slot] for step in steps for ref in step.refs]
        yield (
            [f"{member.name} ({type(member).__name__})"],
            [str(symbol.shape) for symbol in steps[0].outputs],
            [f"{_size(member.weights):,}"],
            [_source(*source) for source in dict.fromkeys(sources)],
            _runs(member),
        )


def _source(name: str, call: int, output: int) -> str:
    if not (call or output):
        return name
    return f"{name}[{call}][{output}]"


def _runs(layer: Any) -> list[str]:
    explained = explain_layer(layer)
    if list(explained) == [layer.name]:
        return [str(explained[layer.name])]
    return [f"{name.partition('/')[2]}: {one}" for name, one in explained.items()] or [""]


def _laid_out(row: _Row, widths: list[int]) -> Iterator[str]:
    cells = [
        [part for line in cell for part in textwrap.wrap(line, width) or [""]]
        for cell, width in zip(row, widths, strict=True)
    ]
    for parts in zip_longest(*cells, fillvalue=""):
        aligned = (
            part.rjust(width) if column == _NUMBERS else part.ljust(width)
            for column, (part, width) in enumerate(zip(parts, widths, strict=True))
        )
        yield _GAP.join(aligned).rstrip()


def _totals(model: Model) -> Iterator[str]:
    for title, weights in (
        ("Total", model.weights),
        ("Trainable", model.trainable_weights),
        ("Non-trainable", model.non_trainable_weights),
    ):
        size = sum(math.prod(one.shape) * one.dtype.itemsize for one in weights)
        yield f"{title} params: {_size(weights):,} ({_bytes(size)})"


def _size(weights: Iterable[Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in weights)


def _bytes(size: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.2f} {unit}"
    return f"{size} bytes"
