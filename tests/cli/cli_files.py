"""Models and rows for the tests of the command line, and a way to run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import rnnpack
from rnnpack.datafiles import Chunk, create_rows
from rnnpack.datafiles.columns import columns_of
from rnnpack.formats import save

SCRIPT = Path(__file__).with_name("cli_slowly.py")


def model_file(folder: Path, seed: int = 5) -> str:
    """A model of one input of 3 features, a sequence and a state as outputs."""
    rnnpack.set_seed(seed)
    x = rnnpack.Input((None, 3), name="x")
    sequence = rnnpack.LSTM(4, return_sequences=True, name="sequence")(x)
    model = rnnpack.Model(x, [sequence, rnnpack.GRU(2, name="last")(sequence)], name="two")
    save(model, folder / "model.safetensors")
    return str(folder / "model.safetensors")


def last_model_file(folder: Path) -> str:
    """A model of one input of 3 features with one output of 2 numbers."""
    rnnpack.set_seed(6)
    model = rnnpack.Sequential(
        [
            rnnpack.Input((None, 3), name="x"),
            rnnpack.LSTM(4, return_sequences=True),
            rnnpack.GRU(2, name="last"),
        ]
    )
    save(model, folder / "last.safetensors")
    return str(folder / "last.safetensors")


def rows_file(path: Path, rows: int = 100, timesteps: int = 6, name: str = "x") -> str:
    """A file of one column of rows `(timesteps, 3)`."""
    values = np.random.default_rng(rows).normal(size=(rows, timesteps, 3)).astype("f4")
    chunk: Chunk = {name: values}
    with create_rows(path, columns_of(chunk)) as sink:
        sink.append(chunk)
    return str(path)


def process(*words: str, **environment: str) -> subprocess.Popen[str]:
    """The command line in a process of its own, working slowly, which Ctrl-C stops."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def finished(running: Any) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    out, err = running.communicate(timeout=60)
    return running.returncode, out, err
