"""The digits demo: its network does its job, natively, and gives the same numbers however it is run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    """The demo, imported from its file."""
    spec = importlib.util.spec_from_file_location("digits_demo", FOLDER / "demo.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo's picture goes: a folder that does not exist yet."""
    return tmp_path_factory.mktemp("digits") / "build" / "digits.png"


@pytest.fixture(scope="module")
def outcome(demo: ModuleType, picture: Path) -> Any:
    """What one short run of the demo finds."""
    return demo.run(picture, repeat=1)


def probabilities(weights: dict[str, NDArray[Any]], images: NDArray[Any]) -> NDArray[np.float64]:
    """The demo's network by the float64 oracle."""

    def layer(*cells: tuple[type, str], **flags: bool) -> reference.Layer:
        parts = ("kernel", "recurrent_kernel", "bias")
        made = [kind(*(np.float64(weights[f"{name}/{part}"]) for part in parts)) for kind, name in cells]
        return reference.Layer(tuple(made), **flags)

    forward = layer((reference.LSTMCell, "bidirectional/forward"), return_sequences=True)
    backward = layer((reference.LSTMCell, "bidirectional/backward"), return_sequences=True, go_backwards=True)
    stack = layer((reference.GRUCell, "stack/gru"), (reference.LSTMCell, "stack/lstm"))
    rows = reference.run_bidirectional(forward, backward, "concat", images).output
    logits = reference.run(stack, rows).output @ np.float64(weights["dense/kernel"]) + weights["dense/bias"]
    return reference.ACTIVATIONS["softmax"](logits)


@pytest.fixture(scope="module")
def exact_and_tolerance(demo: ModuleType) -> tuple[NDArray[np.float64], float]:
    """Probabilities in float64, and how far float32 arithmetic may be from them.

    A float32 dot product of n terms, summed in any order, is the exact one of factors changed by at most n u
    each, u the unit roundoff (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section
    3.1). So the float32 network is the exact network of weights changed by n u at most, n being the features,
    units and biases of the widest gate. The tolerance is what such a change does to the probabilities: the
    largest effect of three draws of signs. Errors within a sum partly cancel, which leaves room for those of
    the activations. A bound carried through the loops step by step is no use: it ends up above 1.
    """
    _, weights, digits = demo.load()
    exact = probabilities(weights, digits.images)
    terms = 3 + max(
        len(weights[f"{cell}/kernel"]) + len(weights[f"{cell}/recurrent_kernel"])
        for cell in ("bidirectional/forward", "stack/gru", "stack/lstm")
    )
    change = terms * float(np.finfo(np.float32).eps) / 2
    rng = np.random.default_rng(0)
    effects = []
    for _ in range(3):
        changed = {
            name: array.astype(np.float64) * (1 + change * rng.choice([-1, 1], array.shape))
            for name, array in weights.items()
        }
        effects.append(float(np.abs(probabilities(changed, digits.images) - exact).max()))
    return exact, max(effects)


def test_digits_not_trained_on_are_recognised(outcome: Any) -> None:
    """The job the demo shows is done well."""
    assert outcome.accuracy > 0.95


def test_each_network_runs_the_way_it_is_announced(outcome: Any) -> None:
    """One network is native throughout, the other runs in Python throughout and says why."""
    native, python = outcome.paths.values()
    assert [path.split(":")[0] for path in native] == ["native", "native"]
    assert all(path.startswith("python: ") and "subclass" in path for path in python)


def test_native_python_and_keras_agree_with_the_oracle(
    demo: ModuleType, outcome: Any, exact_and_tolerance: tuple[NDArray[np.float64], float]
) -> None:
    """All three compute in float32; two of them may be apart by twice the tolerance of one."""
    exact, tolerance = exact_and_tolerance
    config, weights, digits = demo.load()
    assert 0 < tolerance < 1e-3  # else the comparison below means nothing
    assert np.abs(demo.Network(config, weights)(digits.images) - exact).max() < tolerance
    assert np.abs(digits.keras_probabilities - exact).max() < tolerance
    assert outcome.python_difference < 2 * tolerance
    assert outcome.keras_difference < 2 * tolerance


def test_a_picture_is_written(outcome: Any, picture: Path) -> None:
    """A PNG of more than an empty canvas; its folder is made when missing."""
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) > 10_000


def test_exit_status_tells_whether_the_accuracy_is_enough(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 as it is, 1 with a message when more is required than the network can do."""
    arguments = ["--repeat", "1", "--output", str(tmp_path / "digits.png")]
    assert demo.main(arguments) == 0
    assert str(tmp_path / "digits.png") in capsys.readouterr().out
    monkeypatch.setattr(demo, "REQUIRED_ACCURACY", 1.0)
    assert demo.main(arguments) == 1
    assert "failed" in capsys.readouterr().err


def test_a_senseless_repeat_is_refused(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the option and the value."""
    with pytest.raises(SystemExit) as error:
        demo.main(["--repeat", "0"])
    assert error.value.code == 2
    assert "--repeat must be at least 1, not 0" in capsys.readouterr().err


def test_the_committed_files_are_small_and_plain(demo: ModuleType) -> None:
    """All 1,797 digits, float32 weights, nothing pickled, and under 350 kB together."""
    _, weights, digits = demo.load()
    assert digits.trained_on + len(digits.labels) == 1797
    assert digits.images.shape == (360, 8, 8) and 0 <= digits.images.min() < digits.images.max() <= 1
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert sum((FOLDER / name).stat().st_size for name in ("digits.npz", "weights.npz")) < 350_000
