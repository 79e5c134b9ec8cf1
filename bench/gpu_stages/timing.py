"""Compares both contestants with float64 and times them in turn: events, graphs, rotating inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from gpu_stages import schedule, step_oracle
from gpu_stages.cells import Cell
from gpu_stages.contestants import (
    Inputs,
    Pair,
    in_our_order,
    inputs,
    ours,
    pair,
    peer,
    theirs,
    zero_padding,
)
from gpu_stages.costs import ITEMSIZE
from gpu_stages.floors import set_tf32
from gpu_stages.journal import failure

CHECKED_ROWS = 6  # that are compared with float64; all are compared with the other contestant


class Timer:
    """Times cells one after the other; keeps the layers of the last weights, and what cannot be captured.

    Args:
        seconds: that the timing of one cell should take.
        l2_bytes: of the card.
    """

    def __init__(self, seconds: float, l2_bytes: int) -> None:
        self.seconds = seconds
        self.l2_bytes = l2_bytes
        self._weights: Any = None
        self._pair: Pair | None = None
        self._plain: dict[tuple[str, str, str], str] = {}

    def pair(self, cell: Cell) -> Pair:
        """The layers of a cell."""
        if self._pair is None or self._weights != cell.weights:
            self._pair = None  # before the next one takes memory
            torch.cuda.empty_cache()
            self._pair, self._weights = pair(cell), cell.weights
        return self._pair

    def time(self, cell: Cell) -> dict[str, Any]:
        """The record of a cell; never raises for what a contestant does.

        A result that is not right has no times; where only one contestant can be captured into a graph, both
        are timed without one.
        """
        set_tf32(torch, cell.format == "tf32")
        try:
            with torch.inference_mode():
                return self._time(cell)
        except Exception as error:  # whatever it is, the other cells go on
            return failure(error)
        finally:
            torch.cuda.empty_cache()

    def _time(self, cell: Cell) -> dict[str, Any]:
        two = self.pair(cell)
        size = cell.batch * cell.timesteps * cell.units * ITEMSIZE[cell.format]
        sets = inputs(cell, schedule.sets(size, self.l2_bytes))
        calls = {"rnnpack": ours(two), "cudnn": theirs(two)}
        record: dict[str, Any] = {"peer": peer(cell, sets[0]), **compare(cell, two, sets[0], calls)}
        if record["status"] != "ok":
            return record
        once = {name: _elapsed(lambda call=call: call(sets[0]), 1) for name, call in calls.items()}
        sets = sets[: schedule.sets_for_time(len(sets), max(once.values()))]
        graphs = {name: self._captured(name, cell, call, sets) for name, call in calls.items()}
        captured = all(not isinstance(graph, str) for graph in graphs.values())
        reasons = [f"{name}: {graph}" for name, graph in graphs.items() if isinstance(graph, str)]
        runs = {name: graphs[name].replay if captured else _each(call, sets) for name, call in calls.items()}
        record |= {"mode": "graph" if captured else "plain", "sets": len(sets)}
        if reasons:
            record["note"] = "no graph: " + "; ".join(reasons)
        record["seconds"] = self._alternate(runs, len(sets))
        if captured:
            record |= _graph_check(cell, graphs["rnnpack"], calls["rnnpack"](sets[-1]), record)
        return record

    def _captured(self, name: str, cell: Cell, call: Any, sets: list[Inputs]) -> Any:
        """A graph of the calls with all inputs, or the reason why there is none."""
        key = (name, cell.rows, cell.directions)
        if key not in self._plain:
            try:
                return Graph(call, sets)
            except Exception as error:
                torch.cuda.synchronize()  # raises where the card is lost, not only the capture
                self._plain[key] = failure(error)["note"].split("\n")[0]
        return self._plain[key]

    def _alternate(self, runs: dict[str, Callable[[], Any]], calls: int) -> dict[str, list[float]]:
        """Seconds of one call, by contestant and round."""
        once = {name: _once(run) for name, run in runs.items()}
        repeats = {name: schedule.repeats(seconds) for name, seconds in once.items()}
        rounds = schedule.rounds(sum(once[name] * repeats[name] for name in runs), self.seconds)
        found: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                seconds = _elapsed(run, repeats[name]) / (repeats[name] * calls)
                found[name].append(float(f"{seconds:.5g}"))
        return found


class Graph:
    """Calls with several inputs in one CUDA graph; `last` are the results of the last one."""

    def __init__(self, call: Any, sets: list[Inputs]) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            call(sets[0])
        stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream):
            for one in sets:
                self.last = call(one)

    def replay(self) -> None:
        """Puts all calls on the current stream."""
        self._graph.replay()


def _each(call: Any, sets: list[Inputs]) -> Callable[[], None]:
    def run() -> None:
        for one in sets:
            call(one)

    return run


def _once(run: Callable[[], Any]) -> float:
    """Seconds of one run; a short one is made twice, because the first may be a slow one."""
    first = _elapsed(run, 1)
    return first if first > schedule.VISIT_S else min(first, _elapsed(run, 1))


def _elapsed(run: Callable[[], Any], repeats: int) -> float:
    """Seconds on the GPU from before the first of so many runs to after the last."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) * 1e-3


def compare(cell: Cell, two: Pair, one: Inputs, calls: dict[str, Any]) -> dict[str, Any]:
    """Errors of both against float64 on some rows, and of one against the other on all; relative norms."""
    rows = torch.linspace(0, cell.batch - 1, min(cell.batch, CHECKED_ROWS)).round().long()
    directions = 2 if cell.directions == "both" else 1
    poison = one.x.new_full((*one.x.shape[:2], directions * cell.units), math.nan)
    del poison  # its memory is what the next output gets
    results = {"rnnpack": zero_padding(one, calls["rnnpack"](one))}
    results["cudnn"] = in_our_order(cell, calls["cudnn"](one))
    exact = two.exact.to(one.x.device)
    lengths = None if one.lengths is None else one.lengths[rows]
    wanted = step_oracle.forward(torch, cell.kind, exact, one.x[rows], lengths)
    two.exact.cpu()
    allowed = step_oracle.tolerance(cell.format, cell.units, cell.units)
    errors = {
        name: _largest([a[rows] for a in found], wanted) if len(found) == len(wanted) else math.inf
        for name, found in results.items()
    }
    errors["between"] = _largest(results["rnnpack"], [a.double() for a in results["cudnn"]])
    record: dict[str, Any] = {"errors": {name: float(f"{e:.3g}") for name, e in errors.items()}}
    record["tolerance"] = float(f"{allowed:.3g}")
    dtypes = {a.dtype for a in results["rnnpack"]}
    if dtypes != {one.x.dtype}:
        return {"status": "wrong", "note": f"results are {dtypes}, inputs {one.x.dtype}", **record}
    if not (errors["rnnpack"] <= allowed and errors["between"] <= 2 * max(allowed, errors["cudnn"])):
        return {"status": "wrong", "note": "errors larger than rounding explains", **record}
    return {"status": "ok", **record}


def _largest(found: list[Any], wanted: list[Any]) -> float:
    errors = [
        step_oracle.relative_error(torch, a, b) if a.shape == b.shape else math.inf
        for a, b in zip(found, wanted, strict=False)
    ]
    return max(errors)


def _graph_check(cell: Cell, graph: Graph, plain: list[Any], record: dict[str, Any]) -> dict[str, Any]:
    """What the replayed graph left behind must be what a plain call gives."""
    error = _largest(graph.last, [a.double() for a in plain])
    if error <= record["tolerance"]:
        return {}
    return {"status": "wrong", "note": f"a replayed graph's results are {error:.3g} off a plain call's"}
