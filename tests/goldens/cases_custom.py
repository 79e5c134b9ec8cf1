"""Custom cells: the cell protocol."""

from __future__ import annotations

import numpy as np
from case_tools import (
    MASKS,
    Case,
    Spec,
    Step,
    call,
    case,
    data,
    decided,
    method,
    prime,
    raises,
    spec,
    weights,
)
from golden_store import NestedInput, NestedState

X = data("x", 4, 6, 5)
MASK = MASKS["holes"]
BOTH = {"return_sequences": True, "return_state": True}
C, D = data("constant", 4, 2), data("constant 2", 4, 3)


def rnn(cell: str, flags: dict[str, bool] = BOTH, /, **config: object) -> Spec:
    """RNN of one custom cell."""
    return spec("RNN", cell=spec(cell, **{"units": 3, **config}), **flags)


def flag_cases() -> list[Case]:
    """The loop's flags on simple custom cells."""
    steps: tuple[Step, ...]
    found = []
    swapped = np.ascontiguousarray(X.swapaxes(0, 1))
    start = data("start", 4, 3)
    for cell in ("Minimal", "PlusOne"):
        for name, pattern in MASKS.items():
            step = call(X, mask=pattern, initial_state=start)
            found.append(case(f"custom/{cell}_mask_{name}", rnn(cell), call(X), weights(), step))
        for name, flags in {
            "last": {"return_state": True},
            "backwards": {"go_backwards": True, **BOTH},
            "unroll": {"unroll": True, **BOTH},
            "zero_output": {"zero_output_for_mask": True, **BOTH},
            "zero_output_backwards": {"zero_output_for_mask": True, "go_backwards": True, **BOTH},
        }.items():
            steps = (call(X), weights(), call(X), call(X, mask=MASK))
            found.append(case(f"custom/{cell}_{name}", rnn(cell, flags), *steps))
        steps = (call(swapped), weights(), call(swapped, mask=np.ascontiguousarray(MASK.T)))
        found.append(case(f"custom/{cell}_time_major", rnn(cell, {"time_major": True, **BOTH}), *steps))
        quirk = {"zero_output_for_mask": True, "return_state": True}
        for unroll in (False, True):
            found.append(
                decided(
                    f"custom/{cell}_zero_output_last{'_unroll' if unroll else ''}", "Q1",
                    rnn(cell, {**quirk, "unroll": unroll}), rnn(cell, {"return_state": True}),
                    call(X), weights(), call(X, mask=MASK),
                )
            )  # fmt: skip
    return found


def protocol_cases() -> list[Case]:
    """What a cell may look like."""
    found = []
    steps = (call(X), weights(), call(X), call(X, mask=MASK))
    for cell in ("BareState", "BareIn", "OwnStart", "LateSizes", "TrainingProbe"):
        found.append(case(f"custom/{cell}", rnn(cell), *steps))
    found += [
        # A Layer of Keras hands the training flag to any call with ``**kwargs`` by itself, whatever RNN does.
        decided("custom/CatchAll", "bare **kwargs", rnn("CatchAll"), rnn("BareState"), *steps),
        case("custom/Stateless", rnn("Stateless", {"return_sequences": True}), *steps),
        case("custom/Stateless_states", rnn("Stateless", BOTH), *steps),
        case("custom/TwoStates", rnn("TwoStates", out=2), *steps),
        case("custom/TwoStates_shapes", rnn("TwoStates", out=2), prime(X),
             method("compute_output_shape", (None, None, 5)), method("compute_mask", X, MASK)),
        case("custom/training_true", rnn("TrainingProbe"), call(X), weights(),
             call(X, training=True), call(X, training=False), call(X, training=None)),
        case("custom/plain_cell", spec("RNN", cell=spec("Plain", units=5), **BOTH),
             call(X), call(X, mask=MASK), method("get_weights")),
        case("custom/plain_callable", spec("RNN", cell=spec("PlainCallable", units=5), **BOTH),
             call(X), call(X, mask=MASK)),
        case("custom/two_states_order", rnn("TwoStates", out=2), call(X), weights(),
             call(X, initial_state=[data("s1", 4, 3), data("s2", 4, 4)]),
             call([X, data("s1", 4, 3), data("s2", 4, 4)])),
        case("custom/stack", spec("RNN", cell=[spec("Minimal", units=3), spec("TwoStates", units=2, out=4),
             spec("PlusOne", units=2)], **BOTH), *steps),
    ]  # fmt: skip
    return found


def nested_cases() -> list[Case]:
    """High-dimensional and nested inputs, outputs, states."""
    steps: tuple[Step, ...]
    tall = data("tall", 4, 6, 2, 5)
    pair = (data("vector", 4, 6, 5), data("matrix", 4, 6, 2, 3))
    found = [
        case("custom/high_dim", rnn("HighDim", rows=2), call(tall), weights(), call(tall),
             call(tall, mask=MASK, initial_state=data("hs", 4, 2, 3)),
             method("compute_output_shape", (None, 6, 2, 5))),
        case("custom/high_dim_unroll", rnn("HighDim", {"unroll": True, **BOTH}, rows=2),
             call(tall), weights(), call(tall, mask=MASK)),
        case("custom/high_dim_backwards", rnn("HighDim", {"go_backwards": True, **BOTH}, rows=2),
             call(tall), weights(), call(tall, mask=MASK)),
        case("custom/high_dim_stateful", rnn("HighDim", {"stateful": True, **BOTH}, rows=2),
             call(tall), weights(), method("reset_states"), call(tall), call(tall, mask=MASK)),
    ]  # fmt: skip
    start = NestedState(data("nv", 4, 3), data("nm", 4, 2, 3))
    for form in ("tuple", "list", "named"):
        sizes = {"rows": 2, "columns": 3, "form": form}
        for name, inputs in (("tuple", pair), ("named", NestedInput(*pair))):
            layer = rnn("Nested", **sizes)
            steps = (call(inputs), weights(), call(inputs), call(inputs, mask=MASK, initial_state=start))
            found.append(case(f"custom/nested_{form}_from_{name}", layer, *steps))
        last = rnn("Nested", {}, **sizes)
        found.append(case(f"custom/nested_{form}_last", last, call(pair), weights(), call(pair, mask=MASK)))
        sequences = {"return_sequences": True, "zero_output_for_mask": True}
        steps = (call(pair), weights(), call(pair, mask=MASK))
        found.append(case(f"custom/nested_{form}_zero", rnn("Nested", sequences, **sizes), *steps))
        unrolled = rnn("Nested", {"unroll": True, **BOTH}, **sizes)
        found.append(
            decided(f"custom/nested_{form}_unroll", "Q13", unrolled, rnn("Nested", BOTH, **sizes), *steps)
        )
    named = {"left": data("left", 4, 6, 5), "right": data("right", 4, 6, 2)}
    steps = (call(named), weights(), call(named), call(named, mask=MASK))
    found += [
        case("custom/dict_input", rnn("DictInput"), *steps),
        decided("custom/dict_input_unroll", "Q13", rnn("DictInput", {"unroll": True, **BOTH}),
                rnn("DictInput"), *steps),
    ]  # fmt: skip
    return found


def constant_cases() -> list[Case]:
    """Constants."""
    one = rnn("WithConstants", constant_size=2)
    start = data("start", 4, 3)
    return [
        case("custom/constants", one, call(X, constants=C), weights(), call(X, constants=C),
             call(X, constants=[C]), call(X, constants=[C, D]), call(X, constants=(C, D), mask=MASK)),
        case("custom/constants_positional", one, call(X, None, [C]), weights(), call(X, start, [C])),
        case("custom/constants_list", one, call(X, constants=[C, D]), weights(), call([X, start, C, D]),
             call(X, initial_state=start, constants=[C, D])),
        case("custom/constants_list_one", one, call(X, constants=[C]), weights(), call([X, start, C])),
        case("custom/constants_unroll", rnn("WithConstants", {"unroll": True, **BOTH}, constant_size=2),
             call(X, constants=C), weights(), call(X, constants=C, mask=MASK)),
        case("custom/constants_stack",
             spec("RNN", cell=[spec("Minimal", units=4), one["config"]["cell"]], **BOTH),
             call(X, constants=C), weights(), call(X, constants=C, mask=MASK)),
    ]  # fmt: skip


def error_cases() -> list[Case]:
    """What must be refused."""
    minimal, two = rnn("Minimal"), rnn("TwoStates", out=2)
    start = data("start", 4, 3)
    incompatible = "however `cell.state_size` is"
    create = {"op": "create"}
    lstm = spec("LSTM", units=4)
    h, c = data("h", 4, 4), data("c", 4, 4)
    two_lstm = spec("RNN", cell=[spec("LSTMCell", units=4), spec("LSTMCell", units=4)])

    def refused(
        name: str, layer: Spec, step: Step, error: str = "ValueError", text: str = "",
        first: tuple[Step, ...] = (), tags: tuple[str, ...] = (),
    ) -> Case:  # fmt: skip
        return case(f"error/{name}", layer, *first, raises(step, error, text), tags=tags)

    built = (prime(X),)
    return [
        refused("cell_without_call", spec("RNN", cell=spec("NoCall")), create, text="call"),
        refused("cell_without_state_size", spec("RNN", cell=spec("NoStateSize")), create, text="state_size"),
        refused("member_without_call", spec("RNN", cell=[spec("NoCall")]), create, text="call"),
        refused("unknown_keyword", spec("LSTM", units=3, nonsense=1), create, "TypeError"),
        refused("unknown_activation", spec("LSTM", units=3, activation="nonsense"), create),
        refused("activation_type", spec("LSTM", units=3, activation=3), create, "TypeError"),
        refused("units_zero", spec("GRU", units=0), create, tags=("Q10",)),
        refused("units_negative", spec("LSTMCell", units=-1), create, tags=("Q10",)),
        refused("constants_unsupported", minimal, call(X, constants=C), text="does not support constants"),
        refused("constants_lstm", lstm, call(X, constants=C), "TypeError"),
        refused("state_size_first_call", minimal, call(X, initial_state=data("s", 4, 2)), text=incompatible),
        refused("state_count_first_call", two, call(X, initial_state=[start]), text=incompatible),
        refused("state_count_later", two, call(X, initial_state=[start]), first=built),
        refused("state_count_lstm", lstm, call(X, initial_state=[h]), first=built,
                text="Layer has 2 states but was passed 1"),
        refused("state_lstm_one_array", lstm, call(X, initial_state=data("hh", 2, 4, 4)), first=built,
                text="Layer has 2 states but was passed 1"),
        refused("state_stack_flat", two_lstm, call(X, initial_state=[h, c, h, c]), first=built,
                text="Layer has 2 states but was passed 4"),
        refused("state_batch_one", lstm, call(X, initial_state=[h[:1], c[:1]]), "Exception", first=built,
                tags=("Q19",)),
        refused("features_later", lstm, call(X[..., :3]), first=built, text="is incompatible with the layer"),
        refused("rank_2", lstm, call(X[0]), text="expected ndim=3, found ndim=2"),
        refused("rank_4", lstm, call(X[None]), text="expected ndim=3, found ndim=4"),
        refused("no_time_unroll", spec("LSTM", units=4, unroll=True), call(X[:, :0]), tags=("Q4",)),
        refused("no_time", lstm, call(X[:, :0]), "Exception", tags=("Q4",)),
        refused("list_and_state", lstm, call([X, h, c], initial_state=[h, c]), "AssertionError"),
        refused("set_weights_count", lstm, method("set_weights", [h]), first=built,
                text="expecting 3 weights"),
        refused("set_weights_shape", lstm, method("set_weights", [h, c, h]), first=built),
        refused("bidirectional_layer", spec("Bidirectional", layer=3), create),
        refused("bidirectional_mode", spec("Bidirectional", layer=lstm, merge_mode="max"), create),
        refused("bidirectional_same_direction",
                spec("Bidirectional", layer=lstm, backward_layer=lstm), create,
                text="should have different `go_backwards` value."),
        refused("bidirectional_sequences", spec("Bidirectional", layer=lstm, backward_layer=spec(
            "LSTM", units=4, go_backwards=True, return_sequences=True)), create, text="return_sequences"),
        refused("bidirectional_odd_states", spec("Bidirectional", layer=spec("GRU", units=4)),
                call(X, initial_state=[h])),
        refused("wrong_state_count_returned", rnn("WrongCount"), call(X)),
        refused("wrong_state_count_returned_unroll", rnn("WrongCount", {"unroll": True}), call(X),
                tags=("Q20",)),
        refused("mask_wrong_time", lstm, call(X, mask=MASK[:, :4]), "Exception", first=built),
        refused("mask_too_long_unroll", spec("LSTM", units=4, unroll=True),
                call(X[:, :4], mask=MASK), tags=("Q19",)),
        refused("mask_batch_one_unroll", spec("LSTM", units=4, unroll=True), call(X, mask=MASK[:1]),
                tags=("Q19",)),
    ]  # fmt: skip


def cases() -> list[Case]:
    """All cases of this module."""
    return flag_cases() + protocol_cases() + nested_cases() + constant_cases() + error_cases()
