"""``fake_plugin.cpp``: how it is built, told what to do, and used in a process of its own."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

_SOURCE = Path(__file__).resolve().with_suffix(".cpp")
_ROOT = _SOURCE.parents[2]


class Settings(ctypes.Structure):
    """As in the source file."""

    _fields_ = (
        ("version", ctypes.c_uint32),
        *(
            (name, ctypes.c_int32)
            for name in ("refuses_version", "next", "interruptible", "milliseconds", "names_nothing")
        ),
        ("workspace", ctypes.c_uint64),
        *((name, ctypes.c_int32) for name in ("cells", "inside", "most_inside", "orders")),
    )


def settings_of(path: str) -> Settings:
    """Those of the library at this path, loaded or not."""
    return Settings.in_dll(ctypes.CDLL(path), "fake_settings")


def build(folder: Path) -> Path | None:
    """The library; None where there is no compiler for it."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = folder / "libfake_plugin.so"
    flags = ("-std=c++20", "-O1", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra")
    command = [compiler, *flags, "-I", str(_ROOT / "csrc"), str(_SOURCE), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library


_BEFORE = """\
import sys
import numpy as np
from rnnpack import _core
from fake_plugin import settings_of
path = sys.argv[1]
told = settings_of(path)

def load():
    _core.cuda_load(path)

def cell(units=2, features=3, device=0, number_format="float32"):
    dtype = "f8" if number_format == "float64" else "f4"
    kernels = np.zeros((features, units), dtype), np.zeros((units, units), dtype)
    return _core.CudaCell("simple_rnn", *kernels, None, "tanh", "tanh", device, number_format)

def call(*cells, batch=1, **changes):
    one = (cells or (cell(),), (4096, 3, 3, 1), None, None, (4096, 2, 2), False, False)
    given = {"mask": None, "return_sequences": False, "zero_output_for_mask": False, "directions": [one]}
    return _core.CudaCall(batch=batch, timesteps=1, element="float32", **{**given, **changes})

def message(kind, function, *arguments):
    try:
        function(*arguments)
    except kind as error:
        assert type(error) is kind, error
        return str(error)
    raise AssertionError(f"no {kind.__name__}")
"""


def run(library: Path, code: str) -> str:
    """What code prints in a process of its own, where the plugin can be loaded anew."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(_SOURCE.parent), *sys.path])
    command = [sys.executable, "-W", "error", "-c", _BEFORE + textwrap.dedent(code), str(library)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
