"""RNN of one built-in cell and of stacks."""

from __future__ import annotations

from typing import Any

import numpy as np
from case_tools import (
    KINDS,
    MASKS,
    Case,
    Spec,
    build,
    call,
    case,
    cell_of,
    data,
    decided,
    method,
    spec,
    states,
    weights,
)

X = data("x", 4, 6, 5)
BOTH = {"return_sequences": True, "return_state": True}
PREPARED = (build(None, None, 5), weights())


def rnn(cell: Any, **config: Any) -> Spec:
    """An RNN layer."""
    return spec("RNN", cell=cell, **config)


def mixed_stack() -> list[Spec]:
    """Three different cells of different sizes."""
    return [cell_of("lstm", units=3), cell_of("gru", units=5), cell_of("simple_rnn", units=2)]


def single_cases() -> list[Case]:
    """One cell, and the same cell as a stack of one."""
    found = []
    for kind in KINDS:
        start = states(kind, KINDS[kind][2])
        nested = [start] if len(start) > 1 else start
        steps = (*PREPARED, call(X, mask=MASKS["holes"], initial_state=start))
        wrapped = (*PREPARED, call(X, mask=MASKS["holes"], initial_state=nested))
        found += [
            case(f"rnn_{kind}/sequences", rnn(cell_of(kind), **BOTH), *steps),
            case(f"rnn_{kind}/last", rnn(cell_of(kind), return_state=True), *steps),
            case(f"rnn_{kind}/stack_of_one", rnn([cell_of(kind)], **BOTH), *wrapped),
            case(f"rnn_{kind}/unroll", rnn(cell_of(kind), unroll=True, **BOTH), *steps),
            case(f"rnn_{kind}/no_bias", rnn(cell_of(kind, use_bias=False), **BOTH), *steps),
        ]
        for number in (1, 2):
            if kind != "simple_rnn":
                cell = cell_of(kind, implementation=number, recurrent_activation="hard_sigmoid")
                found.append(case(f"rnn_{kind}/implementation_{number}", rnn(cell, **BOTH), *steps))
    return found


def stack_cases() -> list[Case]:
    """Stacks of several cells."""
    two = [cell_of("lstm", units=3), cell_of("lstm", units=4)]
    start = [states("a", 2, units=3), states("b", 2, units=4)]
    swapped = np.ascontiguousarray(X.swapaxes(0, 1))
    mask = MASKS["mixed"]
    found = [
        case("stack/two_lstm", rnn(two, **BOTH), *PREPARED, call(X)),
        case("stack/two_lstm_state", rnn(two, **BOTH), *PREPARED, call(X, initial_state=start)),
        case("stack/two_lstm_list", rnn(two, **BOTH), *PREPARED, call([X, *start])),
        case("stack/tuple_of_cells", rnn(tuple(two), **BOTH), *PREPARED, call(X)),
        case("stack/explicit", rnn(spec("StackedRNNCells", cells=two), **BOTH), *PREPARED, call(X)),
        case("stack/last", rnn(two), *PREPARED, call(X), call(X, mask=mask)),
        case("stack/state_only", rnn(two, return_state=True), *PREPARED, call(X, mask=mask)),
        case("stack/shapes", rnn(two, **BOTH), *PREPARED, method("compute_output_shape", (None, 6, 5))),
        case("stack/no_batch", rnn(two, **BOTH), *PREPARED, call(X[:0])),
        decided(
            "stack/zero_output_last", "Q1", rnn(two, zero_output_for_mask=True), rnn(two), *PREPARED,
            call(X, mask=mask),
        ),
    ]  # fmt: skip
    for name, pattern in MASKS.items():
        steps = (*PREPARED, call(X, mask=pattern))
        found.append(case(f"stack/mixed_mask_{name}", rnn(mixed_stack(), **BOTH), *steps))
    flags: dict[str, dict[str, Any]] = {
        "backwards": {"go_backwards": True},
        "zero_output": {"zero_output_for_mask": True},
        "unroll": {"unroll": True},
        "float64": {"dtype": "float64"},
        "time_major": {"time_major": True},
    }
    for name, config in flags.items():
        cells = mixed_stack()
        inputs, pattern = X, mask
        if name == "time_major":
            inputs, pattern = swapped, np.ascontiguousarray(mask.T)
        if name == "float64":
            inputs = X.astype(np.float64) / 3
            for cell in cells:
                cell["config"]["dtype"] = "float64"
        calls = (*PREPARED, call(inputs), call(inputs, mask=pattern))
        layer = rnn(cells, **config, **BOTH)
        if name == "float64":
            # Keras wraps the list into a StackedRNNCells of float32, which rounds the inputs.
            stack = spec("StackedRNNCells", cells=cells, dtype="float64")
            exact = rnn(stack, **config, **BOTH)
            found.append(decided("stack/mixed_float64", "stack precision", layer, exact, *calls))
        else:
            found.append(case(f"stack/mixed_{name}", layer, *calls))
    return found


def sharing_cases() -> list[Case]:
    """Frozen members, a cell used twice, members that are not layers."""
    frozen = [cell_of("lstm", units=3, trainable=False), cell_of("gru", units=4)]
    twice = {**cell_of("gru", units=5), "id": "shared"}
    plain = [cell_of("gru", units=4), spec("Plain", units=4), cell_of("lstm", units=3)]
    read = {"op": "get_weights"}
    residual = [cell_of("gru", units=5), spec("ResidualWrapper", cell=cell_of("gru", units=5))]
    return [
        case("stack/frozen_first", rnn(frozen, **BOTH), *PREPARED, read, call(X)),
        case("stack/same_cell_twice", rnn([twice, twice], **BOTH), *PREPARED, read, call(X)),
        case("stack/plain_member", rnn(plain, **BOTH), *PREPARED, read, call(X, mask=MASKS["holes"])),
        case("stack/residual_member", rnn(residual, **BOTH), *PREPARED, call(X, mask=MASKS["holes"])),
        case(
            "stack/constants_ignored",
            rnn([cell_of("gru")], **BOTH),
            *PREPARED,
            call(X, constants=[data("c", 4, 2)]),
        ),
    ]


def cases() -> list[Case]:
    """All cases of this module."""
    return single_cases() + stack_cases() + sharing_cases()
