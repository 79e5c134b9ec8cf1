"""Pictures of a grid: its ratios as a heat-map, and its cells under the roofs of one core."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import report
from limits import Limits
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from scenarios import grid
from scenarios.grid import Row

DOTS_PER_INCH = 150
DEEPEST = 3.0  # log2 of the ratio where the colours end: 8 times
SHORT = {
    "torch": "PyTorch",
    "onnxruntime": "ONNX RT",
    "openvino": "OpenVINO",
    "tensorflow": "TF",
    "xla": "TF XLA",
}
LEVEL_COLOURS = ("#1b7837", "#2166ac", "#b35806", "#762a83")  # of L1, L2, L3 and memory
GREY = "#333333"
LEFT_RIGHT = (0.25, 700.0)  # operations per byte
FLOOR = 100.0  # the roofline shows speeds down to this part of the multiply-add rate
APART = 0.042  # in decades: points of equal intensity stand so far apart that their labels do, too


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the pictures beside `path`: `*-ratios.png`, and `*-roofline.png` when the limits are known."""
    rows = grid.rows(results)
    facts = results["machine"]
    where = f"{facts['processor']}, {facts['date']}, {report.numbers(results)}, threads: {results['threads']}"
    _ratios(rows, where, path.with_name(f"{path.stem}-ratios.png"))
    if results["limits"]:
        most = Limits.from_dict(results["limits"])
        _roofline(rows, most, results["dtype"], where, path.with_name(f"{path.stem}-roofline.png"))


def _ratios(rows: list[Row], where: str, path: Path) -> None:
    """A heat-map: one panel a cell, a line for each shape, a column for each peer and for the best one."""
    peers = grid.peers(rows)
    cells = list(dict.fromkeys(row.cell for row in rows))
    shapes = list(dict.fromkeys(row.shape for row in rows))
    columns = [*peers, "best"]
    if any(not math.isnan(row.own_ratio) for row in rows):
        columns.append("float32")
    size = (1.6 + len(cells) * (0.62 * len(columns) + 0.2), 2.0 + 0.33 * len(shapes))
    figure, panels = plt.subplots(
        1, len(cells), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    colours = plt.get_cmap("RdBu")
    norm = Normalize(-DEEPEST, DEEPEST)
    for panel, cell in zip(panels[0], cells, strict=True):
        by_shape = {row.shape: row for row in rows if row.cell == cell}
        values = [
            [
                {**by_shape[s].ratios, "best": by_shape[s].best_ratio, "float32": by_shape[s].own_ratio}[name]
                for name in columns
            ]
            for s in shapes
        ]
        logs = [[math.nan if math.isnan(v) else math.log2(v) for v in line] for line in values]
        image = panel.imshow(logs, cmap=colours, norm=norm, aspect="auto")
        for y, line in enumerate(values):
            for x, value in enumerate(line):
                _write_ratio(panel, x, y, value)
        panel.axvline(len(peers) - 0.5, color="white", linewidth=3)
        panel.set_title(report.CELL_TITLES[cell], fontsize=11)
        panel.set_xticks(
            range(len(columns)), [SHORT.get(name, name) for name in columns], rotation=40, ha="right"
        )
        panel.set_yticks(range(len(shapes)), [str(shape) for shape in shapes])
        panel.tick_params(length=0, labelsize=8)
        panel.set_facecolor("#dddddd")
        panel.spines[:].set_visible(False)
    panels[0][0].set_ylabel("batch, timesteps, features, units", fontsize=9)
    bar = figure.colorbar(image, ax=panels[0], shrink=0.8, pad=0.01, extend="both")
    bar.set_ticks([-3, -2, -1, 0, 1, 2, 3], labels=["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    bar.ax.tick_params(labelsize=8)
    bar.set_label("rnnpack faster  →", loc="top", fontsize=8)
    own = "; float32: rnnpack's own" if "float32" in columns else ""
    title = f"Time of each peer over rnnpack's (above 1: rnnpack is faster{own})"
    figure.suptitle(f"{title}\n{where}", fontsize=10)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)


def _write_ratio(panel: Axes, x: int, y: int, value: float) -> None:
    """The number in a cell of the heat-map, light on dark colours."""
    if math.isnan(value):
        shown, colour = "-", "#555555"
    else:
        shown = f"{value:.2f}" if value < 9.995 else f"{value:.0f}"
        colour = "white" if abs(math.log2(value)) > 0.7 * DEEPEST else "black"
    panel.text(x, y, shown, ha="center", va="center", fontsize=7.5, color=colour)


def _roofline(rows: list[Row], most: Limits, dtype: str, where: str, path: Path) -> None:
    """One panel a cell: speed over the operations that each byte of weights is read for."""
    cells = list(dict.fromkeys(row.cell for row in rows))
    size = (12.0, 1.2 + 4.2 * len(cells))
    figure, panels = plt.subplots(
        len(cells), 1, figsize=size, sharex=True, squeeze=False, layout="constrained"
    )
    for panel, cell in zip(panels[:, 0], cells, strict=True):
        _roofs(panel, most, most.gflops[dtype])
        _points(panel, [row for row in rows if row.cell == cell], most, 8 if dtype == "float64" else 4)
        panel.set_title(report.CELL_TITLES[cell], fontsize=11, loc="left")
        panel.set_ylabel("GFLOP/s", fontsize=9)
    panel.set_xlabel("operations per byte of weights read (equal ones stand side by side)", fontsize=9)
    marks = [
        Line2D([], [], marker="o", color=GREY, linestyle="", label="rnnpack"),
        Line2D([], [], marker="o", color=GREY, markerfacecolor="white", linestyle="", label="best peer"),
        Line2D([], [], marker="_", color=GREY, linestyle="", markersize=9, label="limit of the shape"),
        Line2D(
            [], [], marker="v", color=GREY, linestyle="", label="too low; the label has rnnpack's GFLOP/s"
        ),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    figure.suptitle(
        "Speed under the roofs of one core. Labels: batch, timesteps, features, units; "
        f"colours: the level of memory that holds the recurrent weights\n{where}",
        fontsize=10,
    )
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)


def _roofs(panel: Axes, most: Limits, peak: float) -> None:
    """The multiply-add rate and the bandwidth of every level of memory."""
    left = LEFT_RIGHT[0]
    panel.set(xscale="log", yscale="log", xlim=LEFT_RIGHT, ylim=(peak / FLOOR, peak * 1.6))
    panel.axhline(peak, color="black", linewidth=1.2)
    panel.text(4.0, peak * 1.08, f"multiply-adds: {peak:.0f} GFLOP/s", ha="center", fontsize=8)
    panel.grid(True, which="major", color="#e5e5e5", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for level, colour in zip(most.levels, LEVEL_COLOURS, strict=False):
        rate = level.gigabytes_per_second
        label = f"{level.name}: {rate:.0f} GB/s"
        panel.plot([left, peak / rate], [left * rate, peak], color=colour, linewidth=1.2, label=label)
    panel.legend(loc="lower right", fontsize=8, frameon=False)


def _points(panel: Axes, rows: list[Row], most: Limits, itemsize: int) -> None:
    """Every shape: rnnpack, the best peer, the limit, and a label below them."""
    columns: dict[float, list[Row]] = {}
    for row in rows:
        weights = row.shape.recurrent_bytes(row.cell, itemsize)
        read = row.shape.timesteps * weights + row.shape.input_bytes(row.cell, itemsize)
        columns.setdefault(round(math.log10(row.shape.flops(row.cell) / read), 1), []).append(row)
    for intensity, together in columns.items():
        for place, row in enumerate(together):
            _point(panel, 10 ** (intensity + (place - (len(together) - 1) / 2) * APART), row, most, itemsize)


def _point(panel: Axes, x: float, row: Row, most: Limits, itemsize: int) -> None:
    if math.isnan(row.ours):
        return
    level = most.level_of(row.shape.recurrent_bytes(row.cell, itemsize))
    colour = LEVEL_COLOURS[most.levels.index(level)]
    flops = row.shape.flops(row.cell)
    floor = panel.get_ylim()[0]
    ours, limit = flops / row.ours / 1e9, flops / row.limit / 1e9
    peer = ours / row.best_ratio
    lowest = min(ours, ours if math.isnan(peer) else peer)
    style: dict[str, Any] = {"ha": "center", "fontsize": 7, "color": colour, "rotation": 90}
    style["bbox"] = {"facecolor": "white", "alpha": 0.7, "pad": 0.3, "linewidth": 0}
    if lowest < 2.8 * floor:  # no room for the label below
        panel.plot(x, floor * 1.06, marker="v", color=colour, markersize=5)
        panel.text(x, floor * 1.16, f"{row.shape}: {ours:.2g}", va="bottom", **style)
        return
    panel.plot([x, x], [lowest, limit], color=colour, linewidth=0.7, alpha=0.6)
    panel.plot(x, limit, marker="_", color=colour, markersize=9)
    panel.plot(x, ours, marker="o", color=colour, markersize=5)
    panel.plot(x, peer, marker="o", color=colour, markerfacecolor="white", markersize=5)
    panel.text(x, lowest / 1.08, str(row.shape), va="top", **style)
