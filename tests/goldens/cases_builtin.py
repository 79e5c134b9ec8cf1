"""Built-in layers of one cell."""

from __future__ import annotations

from typing import Any

import numpy as np
from case_tools import (
    KINDS,
    MASKS,
    Case,
    Step,
    attribute,
    build,
    call,
    case,
    data,
    decided,
    layer_of,
    states,
    weights,
)

ACTIVATIONS = (
    "linear", "tanh", "sigmoid", "hard_sigmoid", "relu", "elu", "selu", "softplus", "softsign", "swish",
    "gelu", "exponential", "softmax",
)  # fmt: skip
X = data("x", 4, 6, 5)
BOTH = {"return_sequences": True, "return_state": True}


def prepared(*steps: Step, scale: float = 1.0) -> tuple[Step, ...]:
    """Build, set weights, then the steps."""
    return (build(None, None, 5), weights(scale), *steps)


def activation_cases() -> list[Case]:
    """Every activation in every role."""
    found = []
    for kind in KINDS:
        for name in ACTIVATIONS:
            scale = 0.25 if name in ("exponential", "linear", "softplus", "selu") else 1.0
            roles = ["activation"] if kind == "simple_rnn" else ["activation", "recurrent_activation"]
            for role in roles:
                layer = layer_of(kind, **{role: name}, **BOTH)
                steps = prepared(call(X[:2, :4]), scale=scale)
                found.append(case(f"{kind}/{role}_{name}", layer, *steps))
        layer = layer_of(kind, activation=None, return_sequences=True)
        found.append(case(f"{kind}/activation_none", layer, *prepared(call(X), scale=0.25)))
    return found


def mask_cases(kind: str) -> list[Case]:
    """Mask patterns, mask forms, order of time."""
    found = []
    count = KINDS[kind][2]
    start = states(kind, count)
    for name, mask in MASKS.items():
        step = call(X, mask=mask, initial_state=start)
        found.append(case(f"{kind}/mask_{name}", layer_of(kind, **BOTH), *prepared(step)))
    for name in ("right", "holes", "empty_row"):
        step = call(X, mask=MASKS[name])
        backwards = layer_of(kind, go_backwards=True, **BOTH)
        found += [
            case(f"{kind}/last_{name}", layer_of(kind, return_state=True), *prepared(step)),
            case(f"{kind}/backwards_{name}", backwards, *prepared(step)),
            case(f"{kind}/unroll_{name}", layer_of(kind, unroll=True, **BOTH), *prepared(step)),
            case(
                f"{kind}/zero_output_{name}",
                layer_of(kind, zero_output_for_mask=True, **BOTH),
                *prepared(step),
            ),
            decided(
                f"{kind}/zero_output_last_{name}", "Q1",
                layer_of(kind, zero_output_for_mask=True, return_state=True),
                layer_of(kind, return_state=True), *prepared(step),
            ),
        ]  # fmt: skip
    step = call(X, mask=MASKS["holes"])
    unrolled = {"go_backwards": True, "zero_output_for_mask": True, **BOTH}
    found += [
        decided(
            f"{kind}/unroll_backwards_zero", "Q17",
            layer_of(kind, unroll=True, **unrolled), layer_of(kind, **unrolled), *prepared(step),
        ),
        case(f"{kind}/backwards_zero", layer_of(kind, **unrolled), *prepared(step)),
        case(
            f"{kind}/mask_integers",
            layer_of(kind, **BOTH),
            *prepared(call(X, mask=MASKS["left"].astype(np.int32))),
        ),
        case(
            f"{kind}/mask_rank_3",
            layer_of(kind, **BOTH),
            *prepared(call(X, mask=MASKS["holes"][..., None])),
        ),
    ]  # fmt: skip
    dirty = X.copy()
    dirty[~MASKS["mixed"]] = np.nan
    dirty[0, 0] = np.inf
    step = call(dirty, mask=MASKS["mixed"])
    found.append(case(f"{kind}/mask_hides_nan", layer_of(kind, **BOTH), *prepared(step)))
    return found


def order_cases(kind: str) -> list[Case]:
    """Return forms, go_backwards, time_major, unroll."""
    swapped = np.ascontiguousarray(X.swapaxes(0, 1))
    mask = np.ascontiguousarray(MASKS["holes"].T)
    start = states(kind, KINDS[kind][2])
    found = []
    for sequences in (False, True):
        for state in (False, True):
            layer = layer_of(kind, return_sequences=sequences, return_state=state)
            name = f"{kind}/returns_{'sequences' if sequences else 'last'}_{'state' if state else 'only'}"
            found.append(case(name, layer, *prepared(call(X), call(X[:1, :1]))))
    flags: dict[str, dict[str, Any]] = {
        "backwards": {"go_backwards": True},
        "unroll": {"unroll": True},
        "unroll_backwards": {"unroll": True, "go_backwards": True},
    }
    for name, config in flags.items():
        found.append(case(f"{kind}/{name}", layer_of(kind, **config, **BOTH), *prepared(call(X))))
    for name, config in {
        "time_major": {},
        "time_major_backwards": {"go_backwards": True},
        "time_major_zero": {"zero_output_for_mask": True},
        "time_major_unroll": {"unroll": True},
    }.items():
        layer = layer_of(kind, time_major=True, **config, **BOTH)
        steps = prepared(call(swapped), call(swapped, mask=mask, initial_state=start))
        found.append(case(f"{kind}/{name}", layer, *steps))
    last = layer_of(kind, time_major=True, return_state=True)
    found.append(case(f"{kind}/time_major_last", last, *prepared(call(swapped, mask=mask))))
    return found


def argument_cases(kind: str) -> list[Case]:
    """Bias, implementation, precision, sizes, forms of the initial state."""
    count = KINDS[kind][2]
    start = states(kind, count)
    layer = layer_of(kind, **BOTH)
    found = [
        case(f"{kind}/no_bias", layer_of(kind, use_bias=False, **BOTH), *prepared(call(X))),
        case(f"{kind}/state_keyword", layer, *prepared(call(X, initial_state=start))),
        case(f"{kind}/state_positional", layer, *prepared(call(X, start))),
        case(f"{kind}/state_tuple", layer, *prepared(call(X, initial_state=tuple(start)))),
        case(f"{kind}/state_in_list", layer, *prepared(call([X, *start]))),
        case(f"{kind}/list_of_one", layer, *prepared(call([X]))),
        case(f"{kind}/first_call_builds", layer, call(X), weights(), call(X, initial_state=start)),
        case(f"{kind}/shorter_later", layer, *prepared(call(X), call(X[:2, 1:4]), call(X[1:]))),
        case(f"{kind}/weights_read_back", layer, *prepared({"op": "get_weights"})),
        case(
            f"{kind}/no_batch", layer, *prepared(call(X[:0]), call(X[:0], mask=MASKS["full"][:0]))
        ),
        decided(
            f"{kind}/integer_input", "Q14", layer, layer,
            *prepared(call(np.array([[[1, 2, 0, -1, 3], [0, 1, 1, 0, -2]]], np.int32))),
        ),
    ]  # fmt: skip
    expected = found[-1]["expected_from"]["steps"][-1]
    found[-1]["expected_from"]["steps"][-1] = {**expected, "args": [expected["args"][0].astype("float32")]}
    if count == 1:
        found.append(case(f"{kind}/state_bare", layer, *prepared(call(X, initial_state=start[0]))))
    if kind != "simple_rnn":
        for number in (0, 1, 2):
            layer = layer_of(kind, implementation=number, **BOTH)
            steps = prepared(call(X, mask=MASKS["holes"]), attribute("implementation"))
            found.append(case(f"{kind}/implementation_{number}", layer, *steps))
    double = X.astype(np.float64) / 3
    for name, config in {"": {}, "_backwards": {"go_backwards": True, "use_bias": False}}.items():
        layer = layer_of(kind, dtype="float64", **config, **BOTH)
        start64 = [s.astype(np.float64) for s in start]
        steps = prepared(call(double), call(double, mask=MASKS["holes"], initial_state=start64))
        found.append(case(f"{kind}/float64{name}", layer, *steps))
    for dtype in ("float16", "mixed_float16"):
        # Inputs and weights have at most 11 significant bits, so they are exact in float16.
        steps = prepared(call(X, mask=MASKS["left"]), {"op": "get_weights"})
        found.append(case(f"{kind}/{dtype}", layer_of(kind, dtype=dtype, **BOTH), *steps))
    for batch, time, features, units in ((1, 1, 1, 1), (3, 2, 1, 17), (5, 4, 7, 33), (17, 3, 9, 8)):
        shape = f"{batch}x{time}x{features}x{units}"
        steps = (build(None, None, features), weights(), call(data(shape, batch, time, features)))
        found.append(case(f"{kind}/size_{shape}", layer_of(kind, units=units, **BOTH), *steps))
    return found


def recurrent_dropout_cases() -> list[Case]:
    """Dropout settings that only show outside training."""
    found = []
    for kind in KINDS:
        layer = layer_of(kind, dropout=0.5, recurrent_dropout=0.5, **BOTH)
        steps = [*prepared(call(X), call(X, training=False))]
        if kind != "simple_rnn":
            steps.append(attribute("implementation"))
        found.append(case(f"{kind}/dropout_inactive", layer, *steps))
    return found


def cases() -> list[Case]:
    """All cases of this module."""
    found = activation_cases() + recurrent_dropout_cases()
    for kind in KINDS:
        found += mask_cases(kind) + order_cases(kind) + argument_cases(kind)
    return found
