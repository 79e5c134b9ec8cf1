"""A quick part of the contract's tests and of Keras' goldens, with the layers that can on a GPU.

``layers_on_cuda`` says how to run all of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import plugin_build
import pytest

PARTS = (
    "tests/contract/test_mask_rules.py",
    "tests/contract/test_builtin_numerics.py",
    "tests/contract/test_go_backwards_time_major.py",
    "tests/contract/test_initial_state.py",
    "tests/contract/test_stateful.py",
    "tests/contract/test_stacked.py",
    "tests/contract/test_bidirectional.py",
)


@pytest.mark.usefixtures("cuda_plugin")
def test_the_contract_holds_on_cuda() -> None:
    tests = plugin_build.ROOT / "tests"
    paths = os.pathsep.join([str(tests), *sys.path])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *PARTS],
        cwd=plugin_build.ROOT,
        env={**os.environ, "PYTHONPATH": paths, "RNNPACK_TEST_DEVICE": "cuda"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    calls = re.search(r"(\d+) calls of layers went to cuda", done.stdout)
    assert calls is not None
    assert int(calls[1]) > 300
