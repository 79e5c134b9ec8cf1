"""The command line."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import machine
from contestants.process import KINDS, PEERS
from shapes import CELLS, SHAPES, Shape

RESULTS = Path(__file__).with_name("results")
PARTIAL = Path(__file__).parents[1] / "build" / "bench"
SCENARIOS = ("grid", "overhead", "masked", "threads", "accuracy")
PRECISIONS = ("full", "bfloat16", "int8")
IN_PRECISIONS = ("grid", "masked", "threads")  # scenarios that can be measured in each of them


@dataclass(frozen=True)
class Options:
    """What to run; the fields are explained by `--help`."""

    scenarios: tuple[str, ...]
    cells: tuple[str, ...]
    shapes: tuple[Shape, ...]
    peers: tuple[str, ...]
    threads: int
    dtype: str
    precisions: tuple[str, ...]
    rounds: int | None
    cpu: int
    out: Path
    interpreters: dict[str, str]
    command: str
    reports: tuple[Path, ...] = ()

    @property
    def precision(self) -> str:
        """The precision of a run in one of them."""
        (precision,) = self.precisions
        return precision

    @property
    def numbers(self) -> str:
        """What is computed in: the dtype in full precision, else the precision."""
        return self.dtype if self.precision == "full" else self.precision

    def each(self, scenario: str) -> list[Options]:
        """The runs of a scenario, each in one precision."""
        precisions = self.precisions if scenario in IN_PRECISIONS else ("full",)
        return [replace(self, precisions=(precision,)) for precision in precisions]

    def stem(self, scenario: str) -> str:
        """The name of a scenario's results, without a suffix."""
        if scenario == "accuracy":
            return scenario
        threads = f"-{self.threads}-threads" if self.threads > 1 and scenario != "threads" else ""
        return scenario + threads + (f"-{self.numbers}" if self.numbers != "float32" else "")


def _interpreter(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if name not in {kind.interpreter for kind in KINDS.values()} or not path:
        raise argparse.ArgumentTypeError(f"CONTESTANT=PATH, not {text!r}")
    return name, path


def parser() -> argparse.ArgumentParser:
    """The arguments that `parse` reads."""
    made = argparse.ArgumentParser(
        prog="bench/run.py",
        description="Measures rnnpack and its peers, and writes JSON, a Markdown table and pictures.",
    )
    made.add_argument(
        "scenario",
        nargs="?",
        default="grid",
        choices=(*SCENARIOS, "all", "report"),
        help="grid (default): every cell and shape; overhead: one small step; masked: batches with masks; "
        "threads: one and two threads, alone and beside a busy process; accuracy: errors of each precision "
        "against float64; report: tables and pictures again",
    )
    made.add_argument("files", nargs="*", type=Path, help="for report: the JSON files")
    made.add_argument("--cells", nargs="+", choices=CELLS, help="default: all")
    made.add_argument("--shapes", nargs="+", type=Shape.parse, metavar="B,T,I,H", help="of grid and threads")
    made.add_argument("--peers", nargs="+", choices=PEERS, help="default: all of the scenario")
    made.add_argument("--threads", type=int, default=1, help="of grid, overhead and masked (default: 1)")
    made.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    made.add_argument(
        "--precision",
        nargs="+",
        choices=PRECISIONS,
        default=["full"],
        help="of grid, masked and threads: rnnpack and its peers in bfloat16 or int8, beside rnnpack in "
        "float32; several make a file of results each (default: full)",
    )
    made.add_argument("--rounds", type=int, help="default: 9 to 21, by the time they take")
    made.add_argument("--cpu", type=int, default=machine.cpus()[-1], help="first processor to use (the last)")
    made.add_argument("--out", type=Path, help="folder; default: bench/results, or build/bench for a part")
    made.add_argument(
        "--python",
        action="append",
        default=[],
        type=_interpreter,
        metavar="CONTESTANT=PATH",
        help="interpreter of a contestant that lives elsewhere",
    )
    return made


def parse(arguments: list[str]) -> Options:
    """Options from the command line's arguments; ends the program when they make no sense."""
    made = parser()
    found = made.parse_args(arguments)
    if (found.scenario == "report") != bool(found.files):
        made.error("report, and nothing else, takes JSON files")
    if found.cpu not in machine.cpus():
        made.error(f"--cpu {found.cpu}: this process may use {machine.cpus()}")
    wanted = max(found.threads, 2 if found.scenario in ("threads", "all") else 1)
    if not 1 <= wanted <= len(machine.cpus()):
        made.error(f"{wanted} threads need as many processors; there are {len(machine.cpus())}")
    if found.precision != ["full"]:
        if found.scenario not in IN_PRECISIONS:
            made.error(f"--precision is for {', '.join(IN_PRECISIONS)}, not for {found.scenario}")
        if found.dtype != "float32":
            made.error(f"--precision {' '.join(found.precision)} is for --dtype float32")
    part = any((found.cells, found.shapes, found.peers, found.rounds))
    return Options(
        scenarios=() if found.files else SCENARIOS if found.scenario == "all" else (found.scenario,),
        cells=tuple(found.cells or CELLS),
        shapes=tuple(found.shapes or SHAPES),
        peers=tuple(found.peers or PEERS),
        threads=found.threads,
        dtype=found.dtype,
        precisions=tuple(dict.fromkeys(found.precision)),
        rounds=found.rounds,
        cpu=found.cpu,
        out=found.out or (PARTIAL if part else RESULTS),
        interpreters=dict(found.python),
        command=shlex.join(["python", "bench/run.py", *_without_interpreters(arguments)]),
        reports=tuple(found.files),
    )


def _without_interpreters(arguments: list[str]) -> list[str]:
    """The arguments less `--python`: where the interpreters are says nothing about the results."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [this for before, this in pairs if "--python" not in (before, this.partition("=")[0])]
