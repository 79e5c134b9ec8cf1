"""Builds the extension and the plugin into the source tree, for the card that is there only."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "gpu"
NOTE_CHARACTERS = 2000


def architecture(capability: str) -> str:
    """The architecture of a compute capability such as "9.0", with its own instructions where it has some."""
    digits = capability.replace(".", "")
    return f"{digits}a" if int(digits) >= 90 else digits


def commands(target: str, source: Path = ROOT, folder: Path = FOLDER) -> list[list[str]]:
    """Configure, compile, and put the libraries into `python/rnnpack`."""
    from pybind11 import get_cmake_dir

    configure = ["cmake", "-S", str(source), "-B", str(folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]
    configure += ["-DRNNPACK_CUDA=ON", f"-DCMAKE_CUDA_ARCHITECTURES={target}-real"]
    configure += [f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={get_cmake_dir()}"]
    return [
        configure,
        ["cmake", "--build", str(folder)],
        ["cmake", "--install", str(folder), "--prefix", str(source / "python")],
    ]


def build(target: str, seconds: float) -> dict[str, Any]:
    """Runs the commands; the record has `status` "ok" or "failed", and then the end of the output."""
    begin = time.monotonic()
    for command in commands(target):
        left = seconds - (time.monotonic() - begin)
        try:
            subprocess.run(
                command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=left
            )
        except FileNotFoundError as error:
            return {"status": "failed", "note": str(error)}
        except subprocess.TimeoutExpired:
            return {"status": "failed", "note": f"{' '.join(command[:3])} took more than {seconds:.0f} s"}
        except subprocess.CalledProcessError as error:
            return {"status": "failed", "note": f"{error}\n{error.stdout[-NOTE_CHARACTERS:]}"}
    return {"status": "ok", "architecture": target, "seconds": round(time.monotonic() - begin, 1)}


def environment() -> dict[str, str]:
    """Of the workers: the tree's own package if it is built there, else the installed one."""
    paths = [ROOT / "bench", ROOT / "tests"]
    if (ROOT / "python" / "rnnpack" / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}").exists():
        paths.insert(0, ROOT / "python")
    given = os.environ.get("PYTHONPATH")
    joined = os.pathsep.join([*map(str, paths), *([given] if given else [])])
    return {**os.environ, "PYTHONPATH": joined, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
