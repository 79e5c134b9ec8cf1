"""Properties of the build: no instruction of one instruction set's file can leak into another's machine."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "csrc" / "kernels"
FLAGS = {
    "scalar": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"],
}

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or shutil.which("g++") is None or shutil.which("nm") is None,
    reason="needs g++ and nm on x86-64",
)


def compile_kernel(isa: str, flags: list[str], out: Path) -> subprocess.CompletedProcess[str]:
    command = ["g++", "-std=c++20", "-O0", "-w", "-fno-exceptions", f"-I{ROOT / 'csrc'}", *flags]
    command += ["-c", str(KERNELS / f"{isa}.cpp"), "-o", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FLAGS)
def test_a_kernel_file_shares_no_symbol_with_another(name: str, tmp_path: Path) -> None:
    """One strong symbol, the table; every weak one (mergeable by the linker) names its instruction set."""
    out = tmp_path / "kernel.o"
    done = compile_kernel(name, FLAGS[name], out)
    assert done.returncode == 0, done.stderr
    listing = subprocess.run(["nm", "-C", str(out)], capture_output=True, text=True, check=True).stdout
    symbols = [line.split(maxsplit=2)[1:] for line in listing.splitlines() if not line.startswith(" " * 16)]
    strong = [symbol for kind, symbol in symbols if kind in "TDRB"]
    weak = [symbol for kind, symbol in symbols if kind in "WVu"]
    assert strong == [f"rnnpack_kernels_{name}"]
    assert weak, "nothing was emitted: the test would prove nothing"
    assert [symbol for symbol in weak if f"rnnpack::{name}::" not in symbol] == []


@pytest.mark.parametrize(
    ("name", "flags"), [("avx2", []), ("avx512", []), ("avx2", FLAGS["avx512"]), ("scalar", ["-mavx"])]
)
def test_a_kernel_file_refuses_the_wrong_flags(name: str, flags: list[str], tmp_path: Path) -> None:
    done = compile_kernel(name, flags, tmp_path / "kernel.o")
    assert done.returncode != 0
    assert "must be compiled for" in done.stderr
