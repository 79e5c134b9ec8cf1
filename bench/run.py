"""Measures rnnpack against its peers; `make bench` sets everything up and runs this.

    python bench/run.py [grid | overhead | masked | threads | accuracy | all] [options]
    python bench/run.py report bench/results/grid.json

Every contestant runs in a process of its own, is checked against the float64 oracle, and is then measured in
turn with the others; accuracy measures errors, not times, and only rnnpack's. JSON, a Markdown table and, for
the grid and the accuracy, pictures are written side by side; `report` makes tables and pictures again from
JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import limits
import machine
import measure
from contestants.process import Arena
from limits import Limits
from measure import Group
from options import RESULTS, Options, parse
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from scenarios import accuracy, grid, masked, overhead, threads

MODULES = {"grid": grid, "overhead": overhead, "masked": masked, "threads": threads, "accuracy": accuracy}
DOCUMENT = Path(__file__).parents[1] / "docs" / "precision.md"
console = Console(highlight=False)


def processors(options: Options, scenario: str) -> list[int]:
    """The processors of a scenario, the chosen one first."""
    others = [cpu for cpu in reversed(machine.cpus()) if cpu != options.cpu]
    return [options.cpu, *others][: 2 if scenario == "threads" else options.threads]


def measured_limits(options: Options, facts: dict[str, Any], folder: Path) -> Limits | None:
    """The limits of the core, or None, with a printed reason, where they cannot be measured."""
    if not facts["caches"]:
        console.print("[yellow]this system does not tell its cache sizes: no share of the limit")
        return None
    try:
        return limits.measure(facts["caches"], options.cpu, folder)
    except (OSError, subprocess.CalledProcessError) as error:
        console.print(f"[yellow]limits.cpp: {error}: no share of the limit")
        return None


def line(found: dict[str, Any]) -> str:
    """One group's times, for the one who waits."""
    times = [
        f"{entry['label']} {measure.median(entry['seconds']) * 1e6:.1f}"
        if entry["status"] == "ok"
        else f"[yellow]{entry['label']} {entry['status']}[/]"
        for entry in found["entries"]
    ]
    return f"{found['cell']} {','.join(map(str, found['shape']))}  us: {', '.join(times)}"


def run_groups(groups: list[Group], arena: Arena, options: Options) -> list[dict[str, Any]]:
    """Measures all groups, with progress between them: drawing meanwhile would disturb."""
    costs = [measure.estimate(group, options.rounds) for group in groups]
    console.print(f"about {sum(costs) / 60:.0f} min" if sum(costs) > 90 else f"about {sum(costs):.0f} s")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    found = []
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=sum(costs))
        for group, cost in zip(groups, costs, strict=True):
            progress.update(task, description=str(group), refresh=True)
            found.append(measure.run(group, arena, options.dtype, options.rounds))
            progress.console.print(line(found[-1]), soft_wrap=True)
            progress.update(task, advance=cost, refresh=True)
    return found


def race(scenario: str, options: Options) -> dict[str, Any]:
    """The results of a scenario that measures times."""
    facts = machine.facts()
    if problem := machine.warning(facts):
        console.print(f"[bold red]Warning: {problem}")
    groups = MODULES[scenario].groups(options)
    with tempfile.TemporaryDirectory(prefix="rnnpack-bench-") as name:
        folder = Path(name)
        cpus = processors(options, scenario)
        with Arena(folder, options.interpreters, sys.executable, cpus) as arena:
            with_limits = scenario == "grid" and options.threads == 1 and options.precision == "full"
            before = measured_limits(options, facts, folder) if with_limits else None
            found = run_groups(groups, arena, options)
            after = measured_limits(options, facts, folder) if before else None
            return {
                "scenario": scenario,
                "command": options.command,
                "dtype": options.dtype,
                "precision": options.precision,
                "threads": options.threads,
                "machine": facts,
                "contestants": arena.facts(),
                "limits": before.better_of(after).to_dict() if before and after else None,
                "groups": found,
            }


def errors(options: Options) -> dict[str, Any]:
    """The results of the accuracy scenario."""
    return {
        "scenario": "accuracy",
        "command": options.command,
        "machine": machine.facts(),
        **accuracy.measure(options.cells, console.print),
    }


def run_scenario(scenario: str, options: Options) -> Path:
    """Runs one scenario in one precision; returns the file of its results."""
    results = errors(options) if scenario == "accuracy" else race(scenario, options)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.stem(scenario)}.json"
    text = re.sub(
        r"\[[^][{}]*\]", lambda numbers: " ".join(numbers[0].split()), json.dumps(results, indent=1)
    )
    path.write_text(text + "\n", encoding="utf-8")
    return path


def write_report(path: Path) -> None:
    """Writes tables and pictures beside the results; the documentation quotes committed errors."""
    results = json.loads(path.read_text(encoding="utf-8"))
    module = MODULES[results["scenario"]]
    text = module.text(results)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    if module is grid:
        import pictures  # Matplotlib takes a second to import, and only this needs it

        pictures.draw(results, path)
        text = grid.summary(grid.rows(results), grid.peers(grid.rows(results)))
    elif module is accuracy:
        import error_picture

        error_picture.draw(results, path.with_suffix(".png"))
        if path.resolve().parent == RESULTS.resolve():  # what the documentation quotes
            DOCUMENT.write_text(accuracy.quoted(results, DOCUMENT.read_text("utf-8")), "utf-8")
    console.print(f"\n{text}\n{path.with_suffix('.md')}", markup=False, soft_wrap=True)


def main() -> None:
    """Command line."""
    options = parse(sys.argv[1:])
    for scenario in options.scenarios:
        for run in options.each(scenario):
            console.rule(run.stem(scenario))
            write_report(run_scenario(scenario, run))
    for path in options.reports:
        write_report(path)


if __name__ == "__main__":
    main()
