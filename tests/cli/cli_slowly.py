"""The command line, with pauses in which tests can interrupt it, and every chunk committed."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from rnnpack.cli import job, main
from rnnpack.datafiles import Chunk, Computation

# Processes in the background ignore SIGINT, and so would their children.
signal.signal(signal.SIGINT, signal.default_int_handler)
compute = Computation.compute
job._COMMIT_EVERY = 0


def slowly(self: Any, columns: Chunk) -> Chunk:
    """Computes after a pause."""
    time.sleep(float(os.environ.get("PAUSE", "0.02")))
    return compute(self, columns)


Computation.compute = slowly  # type: ignore[method-assign]
sys.exit(main())
