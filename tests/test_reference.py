"""The oracle against live Keras: every golden case of built-in cells, within derived bounds."""

from __future__ import annotations

from pathlib import Path

import golden_oracle
import golden_store
import numpy as np
import pytest
import reference
import tolerance

GOLDENS = Path(__file__).parent / "goldens"
CASES = [case for case in golden_store.load_all(GOLDENS) if golden_oracle.supports(case)]


def test_enough_cases_reach_the_oracle() -> None:
    """A filter gone wrong would silently leave nothing to compare."""
    assert len(CASES) > 400
    own = {"peephole_lstm", "projected_lstm"}  # Keras has none; goldens/lstm_kinds/ is about them
    for kind in ({*reference.CELLS} - own) | {"stack", "bidirectional", "stateful"}:
        assert sum(case["name"].startswith(f"{kind}/") for case in CASES) >= 20


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_oracle_agrees_with_keras(case: golden_oracle.Case) -> None:
    """Keras may be off by the bound, and the oracle (in float64 goldens) by as much again."""
    for step, answer in zip(case["steps"], golden_oracle.expectations(case), strict=True):
        if answer is None:
            continue
        arrays = golden_oracle.flatten(step["result"])
        assert len(arrays) == len(answer)
        for array, (value, error) in zip(arrays, answer, strict=True):
            assert tolerance.excess(array, value, 2 * error) <= 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_bounds_are_tight_enough_to_notice_mistakes(case: golden_oracle.Case) -> None:
    """A bound near the size of the values would accept anything.

    The bounds grow with every step and gate; 2**12 roundings relative to the largest value are half a
    thousandth in float32, far below the effect of any wrong rule, slope or constant.
    """
    for step, answer in zip(case["steps"], golden_oracle.expectations(case), strict=True):
        arrays = golden_oracle.flatten(step["result"]) if answer else []
        for array, (value, error) in zip(arrays, answer or [], strict=True):
            limit = 2**12 * np.finfo(array.dtype).eps * max(1.0, np.abs(value).max(initial=0.0))
            assert error.max(initial=0.0) <= limit


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_slopes_bound_the_activations(name: str) -> None:
    """Lipschitz constants of the tolerance rules, checked on a fine grid."""
    if name == "exponential":
        pytest.skip("its error is propagated exactly, not by a slope")
    grid = np.linspace(-12.0, 12.0, 200_001)
    if name == "softmax":
        grid = np.stack([grid, np.zeros_like(grid)], axis=-1)
    change = np.abs(np.diff(reference.ACTIVATIONS[name](grid), axis=0)).max()
    assert change <= tolerance.LIPSCHITZ[name] * (24.0 / 200_000) * (1 + 1e-9)


def test_bounded_rows_give_the_same_values_as_plain_rows() -> None:
    """Carrying bounds through the loop must not change what the loop computes."""
    rng = np.random.default_rng(1)
    for name, cell in reference.CELLS.items():
        blocks = 1 if name == "simple_rnn" else 4 if "lstm" in name else 3
        own = {"peephole_lstm": rng.normal(size=(3, 4)), "projected_lstm": rng.normal(size=(1, 4, 4))}
        bias = rng.normal(size=(2, 3 * 4) if name == "gru" else blocks * 4)
        made = cell(
            rng.normal(size=(3, blocks * 4)),
            rng.normal(size=(4, blocks * 4)),
            bias,
            "tanh",
            "sigmoid",
            *own.get(name, ()),
        )
        layer = reference.Layer((made,), return_sequences=True, go_backwards=True)
        x, mask = rng.normal(size=(3, 5, 3)), rng.random((3, 5)) < 0.6
        plain = reference.run(layer, x, mask)
        bounded = tolerance.run(layer, x, mask, dtype=np.float32)
        np.testing.assert_allclose(bounded.output.value, plain.output, rtol=1e-14, atol=1e-14)
        assert (bounded.output.error >= 0).all()


def test_float32_evaluation_stays_within_the_bound() -> None:
    """The bound holds for the oracle's own loop run in float32, and is not vacuous."""
    rng = np.random.default_rng(2)
    kernel, recurrent = rng.normal(size=(7, 32)).astype("f"), rng.normal(size=(8, 32)).astype("f") / 8
    cell = reference.LSTMCell(kernel, recurrent, np.zeros(32, "f"))
    layer = reference.Layer((cell,), return_sequences=True)
    x = rng.normal(size=(2, 9, 7)).astype("f")
    single = reference.run(layer, x, lift=lambda row: np.asarray(row, "f"))
    assert single.output.dtype == np.float32
    exact = tolerance.run(layer, x, dtype=np.float32)
    assert 0 < tolerance.excess(single.output, exact.output.value, exact.output.error) <= 1


def test_mask_rules_by_hand() -> None:
    """The rules of masking on a cell one can run in one's head: output = input + state, state = that + 1."""

    class Counter:
        state_sizes = (1,)
        output_size = 1

        def step(self, x: reference.Row, states: reference.Row) -> tuple[reference.Row, list[reference.Row]]:
            return x + states[0], [x + states[0] + 1.0]

    x = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1)
    mask = np.array([[0, 1, 0, 1]])
    start = [np.array([[10.0]])]

    def outputs(**flags: bool) -> tuple[list[float], float]:
        result = reference.run(reference.Layer((Counter(),), **flags), x, mask, start)
        return result.output.ravel().tolist(), float(result.states[0][0, 0])

    assert outputs(return_sequences=True) == ([0.0, 12.0, 12.0, 17.0], 18.0)
    assert outputs(return_sequences=True, zero_output_for_mask=True) == ([0.0, 12.0, 0.0, 17.0], 18.0)
    assert outputs(return_sequences=True, go_backwards=True) == ([14.0, 14.0, 17.0, 17.0], 18.0)
    assert outputs(go_backwards=True, zero_output_for_mask=True) == ([17.0], 18.0)
    mask = np.zeros((1, 4))
    assert outputs(return_sequences=True) == ([0.0] * 4, 10.0)
    assert outputs() == ([0.0], 10.0)
