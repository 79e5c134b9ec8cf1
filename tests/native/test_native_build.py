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
# Kernel file to instruction set: one for full precision, and one for each reduced one.
FILES = {name + suffix: name for name in FLAGS for suffix in ("", "_bfloat16", "_int8")}
FILES |= {"avx512_bfloat16_dot": "avx512", "avx512_int8_dot": "avx512"}

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or shutil.which("g++") is None or shutil.which("nm") is None,
    reason="needs g++ and nm on x86-64",
)


def compile_kernel(name: str, flags: list[str], out: Path) -> subprocess.CompletedProcess[str]:
    command = ["g++", "-std=c++20", "-O0", "-w", "-fno-exceptions", f"-I{ROOT / 'csrc'}", *flags]
    command += ["-c", str(KERNELS / f"{name}.cpp"), "-o", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_kernel_file_is_tested() -> None:
    assert {path.stem for path in KERNELS.glob("*.cpp") if not path.stem.startswith("neon")} == set(FILES)


@pytest.fixture(scope="module", params=FILES)
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Each kernel file and what became of it."""
    name: str = request.param
    out = tmp_path_factory.mktemp("kernels") / f"{name}.o"
    done = compile_kernel(name, FLAGS[FILES[name]], out)
    assert done.returncode == 0, done.stderr
    return name, out


def test_a_kernel_file_shares_no_symbol_with_another(compiled: tuple[str, Path]) -> None:
    """One strong symbol, the table; every weak one (mergeable by the linker) names its instruction set."""
    name, out = compiled
    isa = FILES[name]
    listing = subprocess.run(["nm", "-C", str(out)], capture_output=True, text=True, check=True).stdout
    symbols = [line.split(maxsplit=2)[1:] for line in listing.splitlines() if not line.startswith(" " * 16)]
    strong = [symbol for kind, symbol in symbols if kind in "TDRB"]
    weak = [symbol for kind, symbol in symbols if kind in "WVu"]
    assert strong == [f"rnnpack_kernels_{name}"]
    assert weak, "nothing was emitted: the test would prove nothing"
    assert [symbol for symbol in weak if f"rnnpack::{isa}::" not in symbol] == []


def test_newer_instructions_stay_in_their_own_files(compiled: tuple[str, Path]) -> None:
    """The dot products of newer processors are in the files named for them, and nowhere else."""
    name, out = compiled
    code = subprocess.run(["objdump", "-d", str(out)], capture_output=True, text=True, check=True).stdout
    assert ("vdpbf16ps" in code) == (name == "avx512_bfloat16_dot")
    assert ("vpdpbusd" in code) == (name == "avx512_int8_dot")


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("avx2", []),
        ("avx512", []),
        ("avx2", FLAGS["avx512"]),
        ("scalar", ["-mavx"]),
        ("avx2_int8", []),
        ("avx512_bfloat16", FLAGS["avx2"]),
        ("avx512_int8_dot", []),
        ("scalar_bfloat16", ["-mavx"]),
    ],
)
def test_a_kernel_file_refuses_the_wrong_flags(name: str, flags: list[str], tmp_path: Path) -> None:
    done = compile_kernel(name, flags, tmp_path / "kernel.o")
    assert done.returncode != 0
    assert "must be compiled for" in done.stderr
