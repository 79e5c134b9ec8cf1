"""Bidirectional."""

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
    layer_of,
    method,
    prime,
    spec,
    states,
    weights,
)

X = data("x", 4, 6, 5)
MASK = MASKS["mixed"]
MODES = ("concat", "sum", "ave", "mul", None)
PREPARED = (build(None, None, 5), weights())
BOTH = {"return_sequences": True, "return_state": True}


def both_ways(layer: Spec, **config: Any) -> Spec:
    """A Bidirectional layer."""
    return spec("Bidirectional", layer=layer, **config)


def merge_cases() -> list[Case]:
    """Every merge mode, last outputs and sequences, with and without mask, all kinds."""
    found = []
    for mode in MODES:
        for sequences in (False, True):
            layer = both_ways(layer_of("lstm", units=3, return_sequences=sequences), merge_mode=mode)
            name = f"lstm_{mode}_{'sequences' if sequences else 'last'}"
            found += [
                case(f"bidirectional/{name}", layer, *PREPARED, call(X)),
                case(f"bidirectional/{name}_mask", layer, *PREPARED, call(X, mask=MASK)),
            ]
        stateful = both_ways(layer_of("gru", units=3, **BOTH), merge_mode=mode)
        shapes = (
            method("compute_output_shape", (None, 6, 5)),
            method("compute_mask", X, MASK),
            method("compute_mask", X, None),
        )
        found.append(
            case(f"bidirectional/gru_{mode}_state", stateful, *PREPARED, call(X, mask=MASK), *shapes)
        )
    for kind in KINDS:
        for name, pattern in MASKS.items():
            layer = both_ways(layer_of(kind, units=3, return_sequences=name != "empty_row"))
            found.append(case(f"bidirectional/{kind}_mask_{name}", layer, *PREPARED, call(X, mask=pattern)))
    return found


def layer_cases() -> list[Case]:
    """Kinds of wrapped layers."""
    stack = spec("RNN", cell=[cell_of("lstm", units=3), cell_of("gru", units=2)], **BOTH)
    backward = layer_of("gru", units=2, return_sequences=True, go_backwards=True)
    forward = layer_of("lstm", units=3, return_sequences=True)
    swapped = np.ascontiguousarray(X.swapaxes(0, 1))
    custom = spec("RNN", cell=spec("Minimal", units=3), return_sequences=True)
    double = layer_of("lstm", units=3, dtype="float64", return_sequences=True)
    turned = layer_of("gru", units=3, go_backwards=True, return_sequences=True)
    read = method("get_weights")
    time_major = {"time_major": True, "return_sequences": True}
    zero = layer_of("lstm", units=3, zero_output_for_mask=True)
    return [
        case("bidirectional/stack", both_ways(stack), *PREPARED, read, call(X), call(X, mask=MASK)),
        case(
            "bidirectional/other_backward",
            both_ways(forward, backward_layer=backward),
            *PREPARED, read, call(X, mask=MASK),
        ),
        case("bidirectional/custom_cell", both_ways(custom), call(X), weights(), call(X, mask=MASK)),
        case("bidirectional/wrapped_backwards", both_ways(turned), *PREPARED, call(X, mask=MASK)),
        case("bidirectional/zero_flag_last", both_ways(zero), *PREPARED, call(X, mask=MASK)),
        case(
            "bidirectional/time_major", both_ways(layer_of("lstm", units=3, **time_major)), *PREPARED,
            call(swapped), call(swapped, mask=np.ascontiguousarray(MASK.T)),
        ),
        case(
            "bidirectional/time_major_none",
            both_ways(layer_of("gru", units=3, **time_major), merge_mode=None), *PREPARED,
            call(swapped, mask=np.ascontiguousarray(MASK.T)),
        ),
        case(
            "bidirectional/float64", both_ways(double, dtype="float64"), *PREPARED,
            call(X.astype(np.float64) / 3, mask=MASK),
        ),
        case(
            "bidirectional/unroll", both_ways(layer_of("gru", units=3, unroll=True)), *PREPARED,
            call(X),
        ),
        decided(
            "bidirectional/unroll_mask_sequences", "Q17",
            both_ways(layer_of("gru", units=3, unroll=True, return_sequences=True)),
            both_ways(layer_of("gru", units=3, return_sequences=True)), *PREPARED, call(X, mask=MASK),
        ),
    ]  # fmt: skip


def state_cases() -> list[Case]:
    """Initial states, constants, statefulness, weights."""
    lstm = both_ways(layer_of("lstm", units=3, **BOTH))
    start = states("bidirectional", 4, units=3)
    gru = both_ways(layer_of("gru", units=3, return_state=True))
    cells = [cell_of("lstm", units=3), cell_of("gru", units=2)]
    stack = both_ways(spec("RNN", cell=cells, return_state=True))
    nests = [states("f", 2, units=3), data("g", 4, 2), states("h", 2, units=3), data("i", 4, 2)]
    constant = both_ways(
        spec("RNN", cell=spec("WithConstants", units=3, constant_size=2), return_sequences=True)
    )
    c = data("constant", 4, 2)
    stateful = both_ways(layer_of("gru", units=3, stateful=True, return_sequences=True))
    steps = (build(4, None, 5), weights(), call(X), call(X[:, :2]), method("reset_states"), call(X))
    plain = layer_of("simple_rnn", units=3, return_sequences=True)
    values = [data(f"w{i}", *shape) / 4 for i, shape in enumerate([(5, 3), (3, 3), (3,)] * 2)]
    given = both_ways(plain, weights=values)
    return [
        case("bidirectional/state", lstm, *PREPARED, call(X, initial_state=start)),
        case("bidirectional/state_mask", lstm, *PREPARED, call(X, mask=MASK, initial_state=start)),
        case("bidirectional/state_list", lstm, *PREPARED, call([X, *start])),
        case("bidirectional/state_gru", gru, *PREPARED, call(X, initial_state=start[:2])),
        case("bidirectional/state_stack", stack, *PREPARED, call(X, initial_state=nests)),
        case("bidirectional/constants", constant, call(X, constants=c), weights(), call(X, constants=c)),
        case(
            "bidirectional/constants_list", constant, call(X, constants=c), weights(),
            call([X, data("j", 4, 3), data("k", 4, 3), c]),
        ),
        case("bidirectional/stateful", stateful, *steps),
        case(
            "bidirectional/stateful_last",
            both_ways(layer_of("lstm", units=3, stateful=True), merge_mode="sum"),
            build(4, None, 5), weights(), call(X, mask=MASK), call(X), method("reset_states"), call(X),
        ),
        case(
            "bidirectional/weights_argument", given, prime(X), method("get_weights"), call(X),
            tags=("Q18",),
            expected_from=case(
                "", both_ways(plain), prime(X), method("set_weights", values),
                method("get_weights"), call(X),
            ),
        ),
    ]  # fmt: skip


def cases() -> list[Case]:
    """All cases of this module."""
    return merge_cases() + layer_cases() + state_cases()
