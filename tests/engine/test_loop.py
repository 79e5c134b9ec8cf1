"""The Python loop: what cells may do with arrays, what is prepared once, and what is left behind."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import rnnpack


class Accumulate:
    """Adds its inputs up; `style` says how it treats its arrays."""

    state_size = 3

    def __init__(self, style: str) -> None:
        self.style = style
        self.buffer: Any = None

    def call(self, inputs: Any, states: Any) -> Any:
        if self.style == "in place":
            states[0][...] += inputs
            return states[0], [states[0]]
        if self.style == "own buffer":
            if self.buffer is None:
                self.buffer = np.empty_like(states[0])
            np.add(states[0], inputs, out=self.buffer)
            return self.buffer, [self.buffer]
        total = states[0] + inputs
        return total, [total]


@pytest.mark.parametrize("style", ["in place", "own buffer"])
@pytest.mark.parametrize("flags", [{}, {"return_sequences": True}, {"go_backwards": True}])
@pytest.mark.parametrize("masked", [False, True])
def test_cells_may_reuse_their_arrays(style: str, flags: dict[str, bool], masked: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 7, 3)).astype(np.float32)
    mask = rng.random((4, 7)) > 0.4 if masked else None
    results = [
        rnnpack.RNN(Accumulate(kind), return_state=True, **flags)(x, mask=mask) for kind in ("pure", style)
    ]
    for pure, other in zip(*results, strict=True):
        np.testing.assert_array_equal(other, pure)


@pytest.mark.parametrize("flags", [{}, {"return_sequences": True}])
def test_later_outputs_keep_the_first_ones_dtype_or_are_refused(flags: dict[str, bool]) -> None:
    class Drifting:
        state_size = 1

        def __init__(self, *dtypes: Any) -> None:
            self.dtypes = list(dtypes)

        def call(self, inputs: Any, states: Any) -> Any:
            return inputs.astype(self.dtypes.pop(0)), states

    x = np.full((2, 2, 1), 1.5, np.float32)
    y = rnnpack.RNN(Drifting(np.float32, np.float64), **flags)(x)
    assert y.dtype == np.float32
    with pytest.raises(ValueError, match="outputs of dtype float32 after int32"):
        rnnpack.RNN(Drifting(np.int32, np.float32), **flags)(x)


def test_nothing_of_a_call_outlives_its_result() -> None:
    """No reference cycles: big arrays must go when the caller drops them, not when the collector runs."""
    layer = rnnpack.RNN([Accumulate("pure"), Accumulate("pure")], return_sequences=True)
    x = np.ones((2, 5, 3), np.float32)
    layer(x)
    gc.collect()
    gc.disable()
    try:
        y = layer(x)
        alive = weakref.ref(y)
        del y
        assert alive() is None
    finally:
        gc.enable()


def test_members_of_a_stack_are_prepared_once_per_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnnpack.cells import stacked

    prepared = []
    original = stacked.step_function
    monkeypatch.setattr(stacked, "step_function", lambda *args: prepared.append(args) or original(*args))
    rnnpack.RNN([Accumulate("pure"), Accumulate("pure")])(np.ones((2, 50, 3), np.float32))
    assert len(prepared) == 2


def test_a_subclass_that_replaces_call_of_a_stack_or_wrapper_is_obeyed() -> None:
    class Doubled(rnnpack.StackedRNNCells):
        def call(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
            output, new_states = super().call(inputs, states, **kwargs)
            return 2 * output, new_states

    x = np.ones((2, 3, 3), np.float32)
    plain = rnnpack.RNN([Accumulate("pure")])(x)
    np.testing.assert_array_equal(rnnpack.RNN(Doubled([Accumulate("pure")]))(x), 2 * plain)

    stack = rnnpack.StackedRNNCells([Accumulate("pure")])
    stack.call = lambda inputs, states, **kwargs: (inputs, states)  # type: ignore[method-assign]
    np.testing.assert_array_equal(rnnpack.RNN(stack)(x), x[:, -1])


def test_a_member_gets_inputs_in_its_own_precision() -> None:
    seen = []

    class Wide:
        state_size = 3

        def call(self, inputs: Any, states: Any) -> Any:
            return inputs.astype(np.float64), states

    class Recorder(rnnpack.GRUCell):
        def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
            seen.append(inputs.dtype)
            return super().call(inputs, states, training)

    rnnpack.RNN([Wide(), Recorder(2)])(np.ones((1, 2, 3), np.float32))
    assert seen == [np.dtype(np.float32)] * 2
