"""A picture of the ratios: one panel for each kind and format."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import report
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from measure import geometric_mean
from pictures import DEEPEST, DOTS_PER_INCH
from shapes import CELLS

from gpu_stages.cells import BATCHES, FORMATS, TIMESTEPS, UNITS
from gpu_stages.tables import Row

TICKS = ("1/8", "1/4", "1/2", "1", "2", "4", "8")


def draw(timed: list[Row], card: str, path: Path) -> None:
    """Writes the picture; a square is the mean over whole rows and lengths, one direction and both."""
    kinds = [kind for kind in CELLS if any(row.cell.kind == kind for row in timed)]
    formats = [form for form in FORMATS if any(row.cell.format == form for row in timed)]
    size = (1.5 + 5.2 * len(formats), 1.4 + 2.9 * len(kinds))
    figure, panels = plt.subplots(
        len(kinds), len(formats), figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    for line, kind in zip(panels, kinds, strict=True):
        for panel, form in zip(line, formats, strict=True):
            cells = [row for row in timed if (row.cell.kind, row.cell.format) == (kind, form)]
            image = _panel(panel, cells)
            panel.set_title(f"{report.CELL_TITLES[kind]}, {form}", fontsize=10)
    bar = figure.colorbar(image, ax=panels, shrink=0.6, pad=0.01, extend="both")
    bar.set_ticks([tick * DEEPEST / 3 for tick in range(-3, 4)], labels=TICKS)
    bar.set_label("rnnpack faster  →", loc="top", fontsize=8)
    figure.supylabel("units", fontsize=9)
    figure.supxlabel("batch, and timesteps below", fontsize=9)
    title = "Time of PyTorch's module (cuDNN) over rnnpack's (above 1: rnnpack is faster)"
    figure.suptitle(f"{title}\n{card}", fontsize=11)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)


def _panel(panel: Axes, cells: list[Row]) -> object:
    """One kind and format: units from top to bottom, batches from left to right, for each number of steps."""
    together: dict[tuple[int, int, int], list[float]] = {}
    for row in cells:
        together.setdefault((row.cell.units, row.cell.timesteps, row.cell.batch), []).append(row.ratio)
    columns = [(steps, batch) for steps in TIMESTEPS for batch in BATCHES]
    values = [[geometric_mean(together.get((units, *c), [])) for c in columns] for units in UNITS]
    logs = [[math.nan if math.isnan(v) else math.log2(v) for v in line] for line in values]
    image = panel.imshow(logs, cmap="RdBu", norm=Normalize(-DEEPEST, DEEPEST), aspect="auto")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            if not math.isnan(value):
                colour = "white" if abs(math.log2(value)) > 0.7 * DEEPEST else "black"
                shown = f"{value:.2f}" if value < 9.995 else f"{value:.0f}"
                panel.text(x, y, shown, ha="center", va="center", fontsize=6, color=colour)
    for edge in range(1, len(TIMESTEPS)):
        panel.axvline(edge * len(BATCHES) - 0.5, color="white", linewidth=3)
    middle = len(BATCHES) // 2
    labels = [
        f"{batch}\n{steps} step{'s' * (steps > 1)}" if place % len(BATCHES) == middle else str(batch)
        for place, (steps, batch) in enumerate(columns)
    ]
    panel.set_xticks(range(len(columns)), labels)
    panel.set_yticks(range(len(UNITS)), [str(units) for units in UNITS])
    panel.tick_params(length=0, labelsize=7)
    panel.set_facecolor("#dddddd")
    panel.spines[:].set_visible(False)
    return image
