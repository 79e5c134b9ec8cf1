"""Every test of this folder leaves the number of threads as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rnnpack


@pytest.fixture(autouse=True)
def number_of_threads() -> Iterator[None]:
    """Restore the number of threads, and make weights the same in every run."""
    before = rnnpack.get_num_threads()
    rnnpack.set_seed(1)
    yield
    rnnpack.set_num_threads(before)
