"""Coverage-guided fuzzing of everything that reads files: `python tests/fuzz/run.py --seconds 10`.

Every `fuzz_<format>.py` beside this file is a module with

    FORMAT: str                      a name for reports
    seeds() -> list[bytes]           small valid files to start from, made without optional packages
    one(data: bytes) -> None         reads the bytes as a file of the format, arrays included

`one` may return or raise `rnnpack.formats.FormatError`. Any other exception, a crash, more than a few seconds
or more memory than the limit is a finding, and the input that led to it is kept. Each module runs in a
process of its own. Without atheris, tests/formats/test_format_mutations.py tries random mutations on them.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
MEMORY_MB = 2048
SECONDS_PER_INPUT = 10


def names() -> list[str]:
    """Modules with fuzzers."""
    return sorted(path.stem for path in HERE.glob("fuzz_*.py"))


def work(name: str, seconds: int, findings: Path) -> None:
    """Fuzzes one module in this process, which ends with it."""
    import atheris

    sys.path.insert(0, str(HERE))
    with atheris.instrument_imports(include=["rnnpack.formats", "rnnpack.datafiles"]):
        fuzzer = importlib.import_module(name)
        from rnnpack.formats import FormatError

    def run_one(data: bytes) -> None:
        with suppress(FormatError):
            fuzzer.one(data)

    corpus = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    seeds = fuzzer.seeds()
    for index, seed in enumerate(seeds):
        (corpus / str(index)).write_bytes(seed)
        run_one(seed)  # whatever is imported on first use does not count as the time of an input
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={2 * max(map(len, seeds))}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-malloc_limit_mb={MEMORY_MB}",
        f"-timeout={SECONDS_PER_INPUT}",
        f"-artifact_prefix={findings}/{name}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], run_one)
    atheris.Fuzz()


def supervise(name: str, seconds: int, findings: Path) -> bool:
    """Fuzzes one module in another process and reports; whether nothing was found."""
    options = ["--worker", name, "--seconds", str(seconds), "--findings", str(findings)]
    command = [sys.executable, __file__, *options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds + 120
        )
        output, failed = done.stdout + done.stderr, done.returncode != 0
    except subprocess.TimeoutExpired as late:
        output, failed = str(late), True
    executed = re.search(r"number_of_executed_units: (\d+)", output)
    count = executed[1] if executed else "unknown"
    print(f"{name}: {count} executions, {'FAILED' if failed else 'nothing found'}")
    if failed:
        print(output[-6000:])
    return not failed


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10, help="for each fuzzer")
    parser.add_argument("--only", choices=names(), action="append", help="default: all")
    parser.add_argument(
        "--findings", type=Path, default=Path(tempfile.gettempdir()), help="a folder for inputs"
    )
    parser.add_argument("--worker", choices=names(), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.seconds, arguments.findings)
        return 0
    clean = [supervise(name, arguments.seconds, arguments.findings) for name in arguments.only or names()]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
