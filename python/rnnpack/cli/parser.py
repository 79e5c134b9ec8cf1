"""The words of the command line, and the help that teaches them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

_EXIT_CODES = """\
exit codes:
  0 done   1 error: one line on stderr (RNNPACK_DEBUG=1 adds the traceback)   2 wrong usage   130 Ctrl-C"""

_OVERVIEW = f"""\
examples:
  rnnpack info model.keras                      what is in the model, and how fast its layers can run
  rnnpack run model.onnx x.npy -o y.npy         run it on a file of any size
  rnnpack convert model.pt model.safetensors    load once, start faster from then on
  rnnpack bench model.h5                        how fast it is here
  rnnpack demo                                  see it work, without any file

Models: Keras .keras and .h5, PyTorch .pt, .pth and .safetensors, ONNX .onnx, rnnpack .safetensors.
Rows:   .npy, .npz, .csv, and .parquet (pip install rnnpack[parquet]).
`rnnpack COMMAND --help` explains each command with examples.

{_EXIT_CODES}"""

_INFO = """\
examples:
  rnnpack info model.keras
  rnnpack info model.onnx --json | jq '.layers[].runs'

Every recurrent layer shows how it runs: `native: lstm/avx512/float32`, or `python:` and the reason."""

_RUN = """\
examples:
  rnnpack run model.keras x.npy -o y.npy
  rnnpack run model.onnx sensors.parquet -o scores.parquet --columns speed,load
  rnnpack run model.pt x.npz -o y.npz --precision bfloat16 --threads 4
  rnnpack run model.keras x.npy -o y.npy --resume       goes on with an interrupted run

Input and output are read and written in chunks: they may be larger than memory. Until it is complete the
output is OUTPUT.partial, with OUTPUT.partial.json beside it; after Ctrl-C, a crash or a full disk the same
command with --resume goes on there, and gives the same bytes as if nothing had happened.

Columns: a model with one input takes the column of that name, or the only column, or all columns together
where each holds one number a row. Several inputs take the columns of their names. --columns picks and orders
them. Rows of different lengths: list columns in .parquet; in .npz an array NAME of all timesteps and an array
NAME_row_lengths."""

_CONVERT = """\
examples:
  rnnpack convert model.keras model.safetensors
  rnnpack convert model.pt model.onnx
  rnnpack convert weights.bin model.keras --from pytorch

The ending of OUT picks its format, what is in IN picks the reader. State dicts of PyTorch become layers that
take (batch, time, features)."""

_BENCH = """\
examples:
  rnnpack bench model.keras
  rnnpack bench model.onnx --batch-sizes 1,64 --timesteps 100,1000 --threads 1
  rnnpack bench model.safetensors --precision int8 --json

Random inputs, a warm-up, then calls for --seconds. `median` and the quartiles are of single calls."""

_DEMO = """\
example:
  rnnpack demo

A seeded LSTM, not trained, follows a sine wave; a linear readout of its states is fitted and predicts what
comes next. Needs no file and no network."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps examples as they are written."""


def parsed(arguments: Sequence[str] | None) -> Any:
    """The options; their `command` runs the chosen subcommand with them.

    Raises:
        SystemExit: help was asked for, or the usage is wrong.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "command"):
        parser.error("a command is needed: info, run, convert, bench or demo (rnnpack --help)")
    options.usage_error = parser.error
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rnnpack",
        description="Trained recurrent models in, results out, without the framework they come from.",
        epilog=_OVERVIEW,
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _info(_command(commands, "info", "show a model's layers, shapes, parameters and how they run", _INFO))
    _run(_command(commands, "run", "run a model on a file of rows, of any size", _RUN))
    _convert(_command(commands, "convert", "load a model and save it in another format", _CONVERT))
    _bench(_command(commands, "bench", "measure a model's latency and throughput", _BENCH))
    _command(commands, "demo", "see an LSTM at work, without any file", _DEMO)
    return parser


class _Version(argparse.Action):
    """Prints the version; looks it up only then."""

    def __init__(self, option_strings: Sequence[str], dest: str, **keywords: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **keywords)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from rnnpack.cli.version import version

        print(f"rnnpack {version()}")
        parser.exit()


def _command(commands: Any, name: str, summary: str, epilog: str) -> Any:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"{epilog}\n\n{_EXIT_CODES}",
        formatter_class=_Formatter,
    )
    parser.set_defaults(command=_lazily(name))
    return parser


def _lazily(name: str) -> Callable[[Any], None]:
    """The subcommand's function, imported when it is called."""

    def command(options: Any) -> None:
        import_module(f"rnnpack.cli.{name}").command(options)

    return command


def _info(parser: Any) -> None:
    parser.add_argument("model", metavar="MODEL", help="model file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(parser: Any) -> None:
    parser.add_argument("model", metavar="MODEL", help="model file")
    parser.add_argument("input", metavar="INPUT", help="rows: .npy, .npz, .parquet or .csv")
    parser.add_argument("-o", "--output", required=True, metavar="OUTPUT", help="the same endings")
    parser.add_argument(
        "--batch-size", type=_count, default=32, metavar="N", help="rows that run together (32)"
    )
    _threads_and_precision(parser, "threads of a call (all processors; 1 for workers of Ray)")
    parser.add_argument(
        "--chunk-rows",
        type=_count,
        metavar="N",
        help="rows in memory at once (as many as take some megabytes)",
    )
    parser.add_argument(
        "--columns", type=_names, metavar="A,B", help="columns for the inputs, in their order (all)"
    )
    parser.add_argument(
        "--output-columns", type=_names, metavar="A,B", help="names for the outputs (the model's)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with an interrupted run, if there is one"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing output or interrupted run")
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="this process, or a Ray cluster"
    )
    parser.add_argument("--workers", type=_count, metavar="N", help="with --engine ray: workers (2)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no last line")


def _convert(parser: Any) -> None:
    formats = ("native", "keras", "pytorch", "onnx")
    parser.add_argument("source", metavar="IN", help="model file")
    parser.add_argument("target", metavar="OUT", help="model file to write")
    parser.add_argument("--from", dest="source_format", choices=formats, help="format of IN (found in it)")
    parser.add_argument("--to", dest="target_format", choices=formats, help="format of OUT (by its ending)")
    parser.add_argument("--force", action="store_true", help="replace an existing OUT")


def _bench(parser: Any) -> None:
    parser.add_argument("model", metavar="MODEL", help="model file")
    parser.add_argument(
        "--batch-sizes",
        type=_counts,
        default=[1, 8, 32, 128],
        metavar="N,N",
        help="rows in a call (1,8,32,128)",
    )
    parser.add_argument(
        "--timesteps",
        type=_counts,
        default=[100],
        metavar="N,N",
        help="steps of a row, where the model leaves it open (100)",
    )
    parser.add_argument("--seconds", type=_seconds, default=0.5, help="time for each line (0.5)")
    _threads_and_precision(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _threads_and_precision(parser: Any, threads: str = "threads of a call (all processors)") -> None:
    parser.add_argument("--threads", type=_count, metavar="N", help=threads)
    parser.add_argument(
        "--precision",
        choices=("full", "bfloat16", "int8"),
        default="full",
        help="what recurrent weights are rounded to (full)",
    )


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() and len(text) < 16 else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return number


def _counts(text: str) -> list[int]:
    return [_count(part.strip()) for part in text.split(",")]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 3600:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0, got {text!r}")
    return seconds


def _names(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",")]
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"expected different names between commas, got {text!r}")
    return names
