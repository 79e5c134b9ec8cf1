"""Builds, checks and times rnnpack on an NVIDIA GPU, against cuDNN as PyTorch calls it.

    python bench/gpu.py [build] [check] [floors] [time] [report] [options]

Without a stage: all of them. What is most telling comes first, results are written after every cell to
`bench/results/gpu-CARD.json`, and a later run goes on where this one ended, so a run may be cut off at any
time. Each stage has a process of its own, so that a kernel that crashes or hangs costs one cell.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import machine
from gpu_stages import build, floors, sanitize, supervise, tables
from gpu_stages.budget import Budget
from gpu_stages.journal import Journal

STAGES = ("build", "check", "sanitize", "floors", "time", "report")
RESULTS = Path(__file__).with_name("results")
QUERY = {
    "name": "name",
    "compute capability": "compute_cap",
    "memory": "memory.total",
    "driver": "driver_version",
}
FLOORS_S = 60.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="bench/gpu.py",
        description="Builds, checks and times rnnpack on an NVIDIA GPU, against cuDNN as PyTorch calls it.",
        epilog="Needs nvidia-smi, nvcc, CMake, ninja and pybind11 to build; PyTorch to time; NumPy to check.",
    )
    made.add_argument(
        "stages",
        nargs="*",
        metavar="stage",
        help="build: the extension and the plugin into python/rnnpack (without it: what is installed); "
        "check: small layers of every kind, option and format against the float64 oracle; floors: what a "
        "barrier, a launch, a byte and an operation cost; time: the grid against cuDNN, each cell checked "
        "first; report: table and picture from the results. Default: all",
    )
    made.add_argument("--budget", type=float, default=480.0, metavar="SECONDS", help="for all (default: 480)")
    made.add_argument("--sanitize", action="store_true", help="also run small layers in compute-sanitizer")
    made.add_argument("--only", default="", metavar="TEXT", help="cells whose key contains it: lstm,16,1000")
    made.add_argument("--fresh", action="store_true", help="forget earlier results of this card")
    made.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (bench/results)")
    made.add_argument("--card", help="name of the card (default: as nvidia-smi tells)")
    return made


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options; `stages` in their order. Ends the program when they make no sense."""
    made = parser()
    found = made.parse_args(arguments)
    chosen = set(found.stages or STAGES) - ({"sanitize"} if not found.stages else set())
    if unknown := chosen - set(STAGES):
        made.error(f"stages are {', '.join(STAGES)}, not {', '.join(sorted(unknown))}")
    if found.budget <= 0:
        made.error(f"--budget must be positive, not {found.budget}")
    if found.sanitize:
        chosen.add("sanitize")
    found.stages = [stage for stage in STAGES if stage in chosen]
    return found


def card_facts(name: str | None) -> dict[str, str]:
    """Name, capability, memory and driver of the first card; only the given name where there is none."""
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY.values())}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = dict(zip(QUERY, (part.strip() for part in answer.splitlines()[0].split(",")), strict=True))
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError):
        found = {}
    if name:
        found["name"] = name
    return found


def stem(card: str) -> str:
    """The name of a card's results, without a suffix."""
    return "gpu-" + re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")


def make_say() -> Callable[[str], None]:
    """How progress is told: with rich where it is there, else plainly."""
    try:
        from rich.console import Console
    except ImportError:
        return lambda line: print(line, flush=True)
    console = Console(highlight=False)
    return lambda line: console.print(line, markup=False, soft_wrap=True)


def run_build(journal: Journal, budget: Budget, seconds: float, say: Callable[[str], None]) -> bool:
    """Builds; whether that went well."""
    capability = journal.values["card"].get("compute capability")
    if not capability:
        record = {"status": "failed", "note": "nvidia-smi tells no card to build for"}
    else:
        record = build.build(build.architecture(capability), seconds)
    journal.set("build", record)
    say(f"build: {record['status']} {record.get('note', '')}, {budget.left:.0f} s left")
    return record["status"] == "ok"


def run_floors(journal: Journal, seconds: float, say: Callable[[str], None]) -> str | None:
    """Barriers and bytes by a program, operations by PyTorch; why not, or None."""
    capability = journal.values["card"].get("compute capability", "9.0")
    try:
        with tempfile.TemporaryDirectory(prefix="rnnpack-bench-") as folder:
            found = floors.measure(Path(folder), build.architecture(capability), seconds)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{error} {getattr(error, 'stderr', '') or ''}".strip()
    journal.set("floors", {**journal.values.get("floors", {}), "grid": found})
    say(f"floors: {found}")
    return supervise.supervise("floors", journal.path, seconds, build.environment(), say)


def run_stage(
    stage: str, path: Path, budget: Budget, seconds: float, only: str, say: Callable[[str], None]
) -> str | None:
    """Runs one stage; returns why it did not finish, or None. Workers write the same file in turn."""
    journal = Journal.open(path)
    if stage == "build":
        return None if run_build(journal, budget, seconds, say) else journal.values["build"]["note"]
    if stage == "floors":
        return run_floors(journal, min(seconds, FLOORS_S), say)
    if stage == "sanitize":
        journal.set("sanitize", sanitize.run(seconds, build.environment(), say))
        return None
    journal.forget_failures(stage)
    return supervise.supervise(stage, path, seconds, build.environment(), say, only)


def write_report(path: Path) -> None:
    """The table, and where something was timed the picture, beside the results."""
    values = Journal.open(path).values
    path.with_suffix(".md").write_text(tables.text(values), encoding="utf-8")
    if timed := tables.rows(values):
        from gpu_stages import heatmap  # Matplotlib takes a second to import, and only this needs it

        heatmap.draw(timed, values["card"].get("name", ""), path.with_suffix(".png"))


def begin(path: Path, card: dict[str, str], fresh: bool) -> None:
    """Notes in the results that another run has begun."""
    journal = Journal.open(path, fresh)
    journal.values |= {"card": {**journal.values.get("card", {}), **card}, "problems": {}, "running": None}
    run: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": machine.commit(),
        "command": shlex.join(["python", "bench/gpu.py", *sys.argv[1:]]),
    }
    journal.set("runs", [*journal.values["runs"], run])


def main() -> int:
    """Command line; 1 when a stage did not finish."""
    options, say = parse(sys.argv[1:]), make_say()
    budget = Budget(options.budget)
    card = card_facts(options.card)
    if "name" not in card:
        parser().error("nvidia-smi shows no card; --card NAME names the results of another one")
    path = options.out / f"{stem(card['name'])}.json"
    if options.stages != ["report"]:
        begin(path, card, options.fresh)
    elif not path.exists():
        parser().error(f"there are no results in {path}")
    problems: dict[str, str] = {}
    for place, stage in enumerate(options.stages):
        if stage == "report":
            continue
        later = [name for name in options.stages[place + 1 :] if name != "report"]
        say(f"--- {stage}, {budget.left:.0f} s left")
        if why := run_stage(stage, path, budget, budget.of(stage, later), options.only, say):
            problems[stage] = why
            say(f"{stage}: {why}")
        Journal.open(path).set("problems", problems)
    if "report" in options.stages:
        write_report(path)
        say(f"{path.with_suffix('.md')}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
