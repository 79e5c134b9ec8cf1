"""A picture of errors against steps, one panel for each cell and number of layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import report
from matplotlib.axes import Axes

COLOURS = {"float32": "#2166ac", "bfloat16": "#b35806", "int8": "#762a83"}
STYLES = {64: ":", 256: "--", 1024: "-"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the picture: colours are precisions, styles of lines are numbers of units."""
    found = results["errors"]
    cells = list(dict.fromkeys(entry["cell"] for entry in found))
    layers = sorted({entry["layers"] for entry in found})
    size = (1.0 + 3.2 * len(cells), 1.4 + 2.6 * len(layers))
    figure, panels = plt.subplots(
        len(layers), len(cells), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for row, count in zip(panels, layers, strict=True):
        for panel, cell in zip(row, cells, strict=True):
            _lines(panel, [e for e in found if (e["cell"], e["layers"]) == (cell, count)])
            named = "1 layer" if count == 1 else f"{count} layers"
            panel.set_title(f"{report.CELL_TITLES[cell]}, {named}", fontsize=10)
        row[0].set_ylabel("largest error so far", fontsize=9)
    for panel in panels[-1]:
        panel.set_xlabel("steps", fontsize=9)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.suptitle(f"Errors against float64; {results['machine']['date']}", fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _lines(panel: Axes, found: list[dict[str, Any]]) -> None:
    for entry in found:
        panel.plot(
            entry["steps"],
            entry["largest"],
            color=COLOURS[entry["precision"]],
            linestyle=STYLES[entry["units"]],
            linewidth=1.2,
            label=f"{entry['precision']}, {entry['units']} units",
        )
    panel.set(xscale="log", yscale="log")
    panel.grid(True, color="#e5e5e5", linewidth=0.6)
    panel.tick_params(labelsize=8)
