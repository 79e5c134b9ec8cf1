"""Operators that run a graph of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.onnx.limits import check_size
from rnnpack.formats.onnx.node import MANY, Function, Node, operator

Array = NDArray[Any]

# A hostile file's loops must end; no sequence is that long.
MAX_STEPS = 1 << 20

_taken: ContextVar[list[int] | None] = ContextVar("_taken", default=None)


@contextmanager
def _counted_steps() -> Iterator[Callable[[], None]]:
    """Gives a function to call before each step; loops inside loops count together."""
    outer = _taken.get()
    taken = [0] if outer is None else outer
    token = _taken.set(taken)

    def count() -> None:
        taken[0] += 1
        if taken[0] > MAX_STEPS:
            raise ValueError(f"loops of more than {MAX_STEPS} steps")

    try:
        yield count
    finally:
        _taken.reset(token)


@operator("If", outputs=MANY, foldable=False)
def _if(node: Node) -> Function:
    branches = node.graph("else_branch"), node.graph("then_branch")
    for branch in branches:
        if len(branch.outputs) != len(node.outputs) or branch.inputs:
            raise node.error(f"a branch has {len(branch.outputs)} outputs, {len(node.outputs)} are expected")

    def run(condition: Array, outer: list[Any]) -> Any:
        found = branches[bool(condition.reshape(()))].run([], outer)
        return tuple(found)

    run.scoped = True  # type: ignore[attr-defined]
    return run


@operator("Loop", inputs=(0, MANY), outputs=MANY, foldable=False)
def _loop(node: Node) -> Function:
    body, carried = node.graph("body"), len(node.inputs) - 2
    scans = len(node.outputs) - carried
    if (
        carried < 0
        or scans < 0
        or len(body.inputs) != carried + 2
        or len(body.outputs) != 1 + carried + scans
    ):
        raise node.error(f"the body has {len(body.inputs)} inputs and {len(body.outputs)} outputs")

    def run(*arguments: Any) -> Any:
        *arrays, outer = arguments
        limit, going = arrays[0], arrays[1] is None or bool(arrays[1].reshape(()))
        most = None if limit is None else int(limit.reshape(()))
        state, rows, step = list(arrays[2:]), [], 0
        with _counted_steps() as count:
            while going and (most is None or step < most):
                count()
                results = body.run([np.array(step, np.int64), np.array(going), *state], outer)
                going, state = bool(results[0].reshape(())), results[1 : 1 + carried]
                rows.append(results[1 + carried :])
                _check_total(rows)
                step += 1
        found = (*state, *_stacked(rows, scans, [0] * scans))
        return found if len(found) > 1 else found[0]

    run.scoped = True  # type: ignore[attr-defined]
    return run


@operator("Scan", inputs=(1, MANY), outputs=MANY, since=9, foldable=False)
def _scan(node: Node) -> Function:
    body, count = node.graph("body"), node.integer("num_scan_inputs")
    if count is None or not 0 < count <= len(node.inputs):
        raise node.error(f"attribute 'num_scan_inputs' must be 1 to {len(node.inputs)}, got {count}")
    carried = len(node.inputs) - count
    scans = len(node.outputs) - carried
    if scans < 0 or len(body.inputs) != len(node.inputs) or len(body.outputs) != carried + scans:
        raise node.error(f"the body has {len(body.inputs)} inputs and {len(body.outputs)} outputs")
    in_axes, in_turned = _per_scan(node, "input", count)
    out_axes, out_turned = _per_scan(node, "output", scans)

    def run(*arguments: Any) -> Any:
        *arrays, outer = arguments
        state = list(arrays[:carried])
        series = [np.moveaxis(x, axis, 0) for x, axis in zip(arrays[carried:], in_axes, strict=True)]
        lengths = {len(x) for x in series}
        if len(lengths) != 1:
            raise ValueError(f"the sequences have {sorted(lengths)} steps")
        rows: list[list[Any]] = []
        with _counted_steps() as counted:
            for step in range(lengths.pop()):
                counted()
                at = [-1 - step if turned else step for turned in in_turned]
                results = body.run([*state, *(x[i] for x, i in zip(series, at, strict=True))], outer)
                state = results[:carried]
                rows.append(results[carried:])
                _check_total(rows)
        outputs = _stacked(rows, scans, out_axes, out_turned)
        found = (*state, *outputs)
        return found if len(found) > 1 else found[0]

    run.scoped = True  # type: ignore[attr-defined]
    return run


def _per_scan(node: Node, side: str, count: int) -> tuple[list[int], list[int]]:
    """Axis and direction of each sequence."""
    axes = node.integers(f"scan_{side}_axes", [0] * count)
    turned = node.integers(f"scan_{side}_directions", [0] * count)
    if len(axes) != count or len(turned) != count or not set(turned) <= {0, 1}:
        raise node.error(f"axes {axes} and directions {turned} for {count} {side} sequences")
    return axes, turned


def _check_total(rows: list[list[Any]]) -> None:
    """Bounds what the steps have put out together; looks only at every power of two."""
    if len(rows) & (len(rows) - 1) == 0:
        check_size([2 * len(rows) * max((array.size for array in rows[-1]), default=0)])


def _stacked(
    rows: list[list[Any]], count: int, axes: list[int], turned: list[int] | None = None
) -> list[Array]:
    """The sequences that the steps have put out."""
    if not rows and count:
        raise ValueError("a loop without a step has no sequence to return")
    found = []
    for index in range(count):
        column = [row[index] for row in rows]
        if turned and turned[index]:
            column.reverse()
        found.append(np.stack(column, axes[index]))
    return found
