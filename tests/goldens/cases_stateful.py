"""Recorded states: sequences of calls, resets, initial states."""

from __future__ import annotations

import numpy as np
from case_tools import (
    KINDS,
    MASKS,
    Case,
    Spec,
    attribute,
    build,
    call,
    case,
    cell_of,
    data,
    layer_of,
    method,
    prime,
    raises,
    spec,
    states,
    weights,
)

X = data("x", 4, 6, 5)
BOTH = {"return_sequences": True, "return_state": True}
PREPARED = (build(4, None, 5), weights())
RESET = method("reset_states")
STATES = attribute("states")


def kind_cases(kind: str) -> list[Case]:
    """What every kind must do."""
    layer = layer_of(kind, stateful=True, **BOTH)
    count = KINDS[kind][2]
    start, other = states("start", count), states("other", count)
    value = start if count > 1 else start[0]
    swapped = np.ascontiguousarray(X.swapaxes(0, 1))
    time_major = layer_of(kind, stateful=True, time_major=True, **BOTH)
    return [
        case(
            f"stateful/{kind}_calls", layer,
            *PREPARED, STATES, call(X), STATES, call(X[:, :2]), call(X, training=True), STATES,
        ),
        case(f"stateful/{kind}_reset", layer, *PREPARED, call(X), RESET, STATES, call(X)),
        case(
            f"stateful/{kind}_reset_values", layer, *PREPARED, call(X),
            method("reset_states", value), STATES, call(X), method("reset_states", states=start), call(X),
        ),
        case(
            f"stateful/{kind}_mask", layer,
            *PREPARED, call(X), call(X, mask=MASKS["empty_row"]), STATES, call(X),
        ),
        case(
            f"stateful/{kind}_initial_state_only_on_zeros", layer, *PREPARED,
            call(X, initial_state=start), call(X, initial_state=other), RESET, call(X, initial_state=other),
        ),
        case(
            f"stateful/{kind}_flags",
            layer_of(kind, stateful=True, go_backwards=True, unroll=True, **BOTH),
            *PREPARED, call(X, mask=MASKS["holes"]), call(X),
        ),
        case(
            f"stateful/{kind}_time_major", time_major,
            build(None, 4, 5), weights(), call(swapped), call(swapped[:3]), STATES,
        ),
    ]  # fmt: skip


def other_cases() -> list[Case]:
    """Stacks, custom cells, precision, shapes."""
    stack = spec("RNN", cell=[cell_of("lstm", units=3), cell_of("gru", units=2)], stateful=True, **BOTH)
    nests = [states("a", 2, units=3), states("b", 1, units=2)[0]]
    own: Spec = spec("RNN", cell=spec("OwnStart", units=3), stateful=True, return_state=True)
    double = layer_of("lstm", stateful=True, dtype="float64", **BOTH)
    x64 = X.astype(np.float64) / 3
    gru = layer_of("gru", stateful=True, batch_input_shape=(4, None, 5), **BOTH)
    lstm = layer_of("lstm", stateful=True)
    return [
        case("stateful/stack", stack, *PREPARED, call(X), STATES, call(X), RESET, STATES, call(X)),
        case(
            "stateful/stack_values", stack, *PREPARED, call(X),
            method("reset_states", nests), STATES, call(X), RESET, call(X, initial_state=nests),
        ),
        case("stateful/own_start", own, build(4, None, 5), weights(),
             STATES, call(X), RESET, STATES, call(X)),
        case("stateful/float64", double, *PREPARED, call(x64), call(x64), attribute("states")),
        case("stateful/first_call_fixes_batch", layer_of("gru", stateful=True), call(X), weights(),
             raises(call(X[:2]), "ValueError", "expected shape=(4, None, 5), found shape=(2,"),
             RESET, call(X)),
        case("stateful/batch_input_shape", gru, *PREPARED, call(X), call(X)),
        case("stateful/states_not_stateful", layer_of("lstm"), STATES, prime(X), STATES),
        case("stateful/states_before_build", lstm, STATES),
        case("stateful/assign_states", layer_of("lstm", stateful=True, **BOTH), *PREPARED,
             {"op": "set_attribute", "args": ["states", states("new", 2)]}, call(X)),
        case(
            "stateful/masked_row_keeps_state", layer_of("lstm", stateful=True), *PREPARED,
            call(X), call(X, mask=MASKS["nothing"]), STATES,
        ),
    ]  # fmt: skip


def error_cases() -> list[Case]:
    """What must be refused."""
    layer = layer_of("lstm", stateful=True)
    good = states("good", 2)
    batch = "it needs to know its batch size"
    return [
        case("stateful/error_build_without_batch", layer, raises(build(None, None, 5), "ValueError", batch)),
        case("stateful/error_reset_not_stateful", layer_of("lstm"),
             raises(RESET, "AttributeError", "Layer must be stateful.")),
        case("stateful/error_reset_unbuilt", layer, raises(RESET, "ValueError", batch)),
        case("stateful/error_reset_count", layer, *PREPARED, call(X),
             raises(method("reset_states", good[:1]), "ValueError", "expects 2 states"), STATES),
        case("stateful/error_reset_shape", layer, *PREPARED, call(X),
             raises(method("reset_states", [good[0], good[1][:2]]), "ValueError",
                    "is incompatible with layer"), STATES),
        case("stateful/error_batch_size", layer, *PREPARED,
             raises(call(X[:2]), "ValueError", "expected shape=(4, None, 5), found shape=(2,")),
        case("stateful/reset_values_float64", layer, *PREPARED, call(X),
                method("reset_states", [g.astype(np.float64) for g in good]), STATES, call(X), tags=("Q15",)),
        case("stateful/reset_values_integers", layer, *PREPARED, call(X),
                method("reset_states", [np.ones((4, 4), np.int32)] * 2), STATES, call(X), tags=("Q15",)),
    ]  # fmt: skip


def cases() -> list[Case]:
    """All cases of this module."""
    found = other_cases() + error_cases()
    for kind in KINDS:
        found += kind_cases(kind)
    return found
