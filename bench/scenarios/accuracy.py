"""Errors against float64 by precision: one and four layers over up to 1000 steps, and the digits demo.

Weights are Keras' defaults (glorot, orthogonal, forget bias 1) and inputs standard normal, all from fixed
seeds. The reference is the float64 layer with the same weights, which are float32 numbers, and the same
inputs; the tests compare that layer with an oracle of their own. Outputs depend on earlier steps only, so one
call of 1000 steps has the shorter ones in it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import report
from numpy.typing import NDArray
from shapes import CELLS

import rnnpack

DEMO = Path(__file__).parents[2] / "examples" / "digits" / "demo.py"
PRECISIONS = ("float32", "bfloat16", "int8")
UNITS = (64, 256, 1024)
LAYERS = (1, 4)
STEPS = (1, 3, 10, 30, 100, 300, 1000)
SHOWN_STEPS = (1, 100, 1000)  # in the table
SEED = 20

CELL_CLASSES = {"lstm": rnnpack.LSTMCell, "gru": rnnpack.GRUCell, "simple_rnn": rnnpack.SimpleRNNCell}


class Case(NamedTuple):
    """A network whose errors are measured: so many layers of one cell, with as many features as units."""

    cell: str
    layers: int
    units: int

    @property
    def batch(self) -> int:
        """Rows, fewer where they take long."""
        return 8 if self.units <= 256 else 2


class Problem(NamedTuple):
    """The layer in float32, inputs for all steps, and the outputs of the float64 layer."""

    layer: rnnpack.RNN
    inputs: NDArray[np.float32]
    exact: NDArray[np.float64]


def cases(cells: Iterable[str] = CELLS) -> list[Case]:
    """All networks of these cells."""
    return [Case(cell, layers, units) for cell in cells for units in UNITS for layers in LAYERS]


def initializers(seed: int) -> dict[str, Any]:
    """Keras' defaults with seeds."""
    return {
        "kernel_initializer": rnnpack.initializers.GlorotUniform(seed=2 * seed),
        "recurrent_initializer": rnnpack.initializers.Orthogonal(seed=2 * seed + 1),
    }


def build(case: Case, dtype: str, made: Sequence[dict[str, Any]]) -> rnnpack.RNN:
    """The network of a case; `made` has the initializers of each of its layers."""
    cells = [CELL_CLASSES[case.cell](case.units, dtype=dtype, **given) for given in made]
    layer = rnnpack.RNN(cells if case.layers > 1 else cells[0], return_sequences=True, dtype=dtype)
    layer.build((case.batch, None, case.units))
    return layer


@lru_cache(maxsize=1)
def problem(case: Case, steps: int = STEPS[-1]) -> Problem:
    """The problem of a case, over so many steps."""
    rng = np.random.default_rng([CELLS.index(case.cell), case.layers, case.units])
    # Drawn step by step, so that fewer steps are the first of more.
    inputs = np.stack([rng.normal(size=(case.batch, case.units)) for _ in range(steps)], axis=1)
    inputs = inputs.astype(np.float32)
    layer = build(case, "float32", [initializers(SEED + index) for index in range(case.layers)])
    zeros = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}  # orthogonal takes seconds
    exact = build(case, "float64", [zeros] * case.layers)
    exact.set_weights([weight.astype(np.float64) for weight in layer.get_weights()])
    return Problem(layer, inputs, exact(inputs.astype(np.float64)))


def set_precision(layer: Any, precision: str) -> str:
    """Lets a float32 layer compute in a precision; returns the path it takes.

    Raises:
        RuntimeError: it does not.
    """
    if precision != "float32" or getattr(layer, "precision", "full") != "full":
        layer.set_precision("full" if precision == "float32" else precision)
    path = str(layer.explain())
    if not path.endswith(f"/{precision}"):
        raise RuntimeError(f"expected {precision}, not {path}")
    return path


def errors(case: Case, precision: str, steps: int = STEPS[-1]) -> dict[str, Any]:
    """The largest and the mean absolute error of all outputs of the first 1, 3, 10, ... steps.

    `size` is the root mean square of the outputs.
    """
    layer, inputs, exact = problem(case, steps)
    path = set_precision(layer, precision)
    distance = np.abs(layer(inputs) - exact)
    counts = [count for count in STEPS if count <= steps]
    return {
        **case._asdict(),
        "batch": case.batch,
        "precision": precision,
        "path": path,
        "steps": counts,
        "largest": [float(f"{distance[:, :count].max():.4g}") for count in counts],
        "mean": [float(f"{distance[:, :count].mean():.4g}") for count in counts],
        "size": float(f"{np.sqrt(np.square(exact).mean()):.3g}"),
    }


def demo() -> ModuleType:
    """The digits demo, imported from its file."""
    name = "digits_demo"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, DEMO)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def digits(precision: str) -> dict[str, Any]:
    """The demo's answers in a precision, beside those in float32."""
    config, weights, held_out = demo().load()
    network = demo().Network(config, weights)
    full = network(held_out.images)
    paths = [set_precision(layer, precision) for layer in network.layers().values()]
    found = network(held_out.images)
    answers = found.argmax(axis=1)
    return {
        "precision": precision,
        "paths": paths,
        "digits": len(held_out.labels),
        "wrong": int((answers != held_out.labels).sum()),
        "changed": int((answers != full.argmax(axis=1)).sum()),
        "largest_change": float(f"{np.abs(found - full).max():.4g}"),
    }


def measure(cells: Iterable[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Measures all errors; `say` is told of each network when it is done."""
    found = []
    for case in cases(cells):
        for precision in PRECISIONS:
            found.append(errors(case, precision))
        told = ", ".join(f"{entry['precision']} {entry['largest'][-1]:.1e}" for entry in found[-3:])
        say(f"{case.cell}, {case.layers} x {case.units}: {told}")
    return {
        "versions": {"rnnpack": version("rnnpack"), "numpy": np.__version__},
        "errors": found,
        "digits": [digits(precision) for precision in PRECISIONS],
    }


def text(results: dict[str, Any]) -> str:
    """The report in Markdown: errors by network, then the digits."""
    facts = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    kernels = sorted({"/".join(entry["path"].split("/")[1:]) for entry in results["errors"]})
    parts = [
        "# Errors by precision",
        f"{facts['date']}, {facts['processor']} ({facts['architecture']}), commit "
        f"{facts['commit'] or 'unknown'}; {versions}; {', '.join(kernels)}.",
        f"`{results['command']}`",
        "Absolute errors of the outputs, which are between -1 and 1, against the float64 layer with the same "
        "weights: the largest / the mean over all rows, units and steps so far. Keras' initial weights, "
        "standard normal inputs, as many features as units, fixed seeds; 8 rows, 2 with 1024 units. The "
        "outputs are of the given size (root mean square over 1000 steps): deep untrained networks say "
        "little, and so have small errors. First steps start from zero states and are smaller still.",
        _errors_table(results["errors"]),
        "The digits demo: a trained bidirectional LSTM and a stack of GRU and LSTM; changes are those from "
        "float32.",
        digits_table(results["digits"]),
    ]
    return "\n\n".join(parts) + "\n"


def _errors_table(found: list[dict[str, Any]]) -> str:
    precisions = [name for name in PRECISIONS if any(entry["precision"] == name for entry in found)]
    titles = ["cell", "layers", "units", "outputs"]
    titles += [f"{name}, {_steps(count)}" for name in precisions for count in SHOWN_STEPS]
    rows: dict[tuple[str, int, int, float], list[str]] = {}
    for name in precisions:
        for entry in found:
            if entry["precision"] == name:
                key = (entry["cell"], entry["layers"], entry["units"], entry["size"])
                row = rows.setdefault(key, [])
                pairs = dict(
                    zip(entry["steps"], zip(entry["largest"], entry["mean"], strict=True), strict=True)
                )
                row += ["{:.1e} / {:.1e}".format(*pairs[count]) for count in SHOWN_STEPS]
    lines = [
        [report.CELL_TITLES[cell], str(layers), str(units), f"{size:.2f}", *row]
        for (cell, layers, units, size), row in rows.items()
    ]
    return report.table(titles, lines)


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def short_table(found: list[dict[str, Any]]) -> str:
    """The largest error of each cell and number of layers after all steps, for the documentation."""
    worst: dict[tuple[str, int], dict[str, float]] = {}
    for entry in found:
        row = worst.setdefault((entry["cell"], entry["layers"]), dict.fromkeys(PRECISIONS, 0.0))
        row[entry["precision"]] = max(row[entry["precision"]], entry["largest"][-1])
    lines = [
        [report.CELL_TITLES[cell], str(layers), *(f"{row[name]:.1e}" for name in PRECISIONS)]
        for (cell, layers), row in worst.items()
    ]
    return report.table(["cell", "layers", *PRECISIONS], lines)


def quoted(results: dict[str, Any], document: str) -> str:
    """The document with the short tables between its marks, `<!-- figures: start -->` and so on."""
    tables = {"figures": short_table(results["errors"]), "digits": digits_table(results["digits"])}
    for name, table in tables.items():
        before, start, rest = document.partition(f"<!-- {name}: start -->\n")
        _, end, after = rest.partition(f"<!-- {name}: end -->")
        document = f"{before}{start}{table}\n{end}{after}"
    return document


def digits_table(found: list[dict[str, Any]]) -> str:
    """Accuracy and changed answers of the digits demo."""
    titles = ["precision", "accuracy", "wrong", "changed answers", "largest change of a probability"]
    lines = [
        [
            entry["precision"],
            f"{1 - entry['wrong'] / entry['digits']:.1%}",
            f"{entry['wrong']} of {entry['digits']}",
            str(entry["changed"]),
            f"{entry['largest_change']:.1e}",
        ]
        for entry in found
    ]
    return report.table(titles, lines)
