"""Recorded cases of flax and Haiku, and how far results may be from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parent / "files" / "flax_haiku_goldens.npz"


def recorded(framework: str) -> dict[str, dict[str, Any]]:
    """Cases by name: `params` as a nested dict, `x`, `y`, and `states` in the framework's order."""
    cases: dict[str, dict[str, Any]] = {}
    with np.load(FILE) as stored:
        for key in stored:
            name, _, part = key.partition("/")
            if not name.startswith(f"{framework}_"):
                continue
            case = cases.setdefault(name.removeprefix(f"{framework}_"), {"params": {}, "states": []})
            if part.startswith("params|"):
                *path, last = part.split("|")[1:]
                tree = case["params"]
                for step in path:
                    tree = tree.setdefault(step, {})
                tree[last] = stored[key]
            elif part.startswith("state"):
                case["states"].append(stored[key])
            else:
                case[part] = stored[key]
    return cases


def compare(result: list[Any], y: Any, states: list[Any]) -> None:
    """Asserts that a layer's result is the framework's.

    A sum of 9 numbers of size 4 at most is off by 9 * 4 eps or less, in either; 5 to 7 steps add that up, and
    neither gates nor weights of size 0.5 make it larger.
    """
    expected = [y, *states]
    assert len(result) == len(expected)
    for ours, theirs in zip(result, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=7 * 9 * 4 * np.finfo(ours.dtype).eps)
