"""Configs, shapes, masks, attributes, weight shapes and initial values."""

from __future__ import annotations

from typing import Any

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
    spec,
    states,
    weights,
)

X = data("x", 4, 6, 5)
CONFIG = method("get_config")
ROUND_TRIP = {"op": "round_trip"}
FULL: dict[str, Any] = {
    "name": "full",
    "activation": "relu",
    "use_bias": False,
    "kernel_initializer": "he_normal",
    "recurrent_initializer": "glorot_uniform",
    "bias_initializer": "ones",
    "kernel_regularizer": "l2",
    "recurrent_regularizer": "l1",
    "bias_regularizer": "l1_l2",
    "activity_regularizer": "l2",
    "kernel_constraint": "max_norm",
    "recurrent_constraint": "non_neg",
    "bias_constraint": "unit_norm",
    "dropout": 0.25,
    "recurrent_dropout": 0.5,
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "unroll": True,
    "time_major": True,
    "zero_output_for_mask": True,
    "trainable": False,
    "dtype": "float64",
}


def config_cases() -> list[Case]:
    """get_config and its round trip."""
    found = []
    for kind in KINDS:
        extra = {} if kind == "simple_rnn" else {"recurrent_activation": "hard_sigmoid", "implementation": 1}
        full = layer_of(kind, **FULL, **extra)
        stateful = layer_of(kind, name="s", stateful=True, batch_input_shape=(2, 3, 5))
        cell = cell_of(kind, name="c")
        found += [
            case(f"config/{kind}", layer_of(kind, name="plain"), CONFIG, ROUND_TRIP),
            case(f"config/{kind}_full", full, CONFIG, ROUND_TRIP),
            case(f"config/{kind}_stateful", stateful, CONFIG, ROUND_TRIP),
            case(f"config/{kind}_cell", cell, CONFIG, ROUND_TRIP),
            case(f"config/{kind}_in_rnn", spec("RNN", cell=cell, name="r"), CONFIG, ROUND_TRIP),
        ]
        if kind != "simple_rnn":
            zero = layer_of(kind, name="z", implementation=0)
            found.append(case(f"config/{kind}_implementation_0", zero, CONFIG, ROUND_TRIP, tags=("Q11",)))
    stack = spec("StackedRNNCells", cells=[cell_of("lstm", name="a"), cell_of("gru", name="b")], name="s")
    layer: Spec = layer_of("lstm", name="inner", return_sequences=True)
    backward = layer_of("gru", name="other", return_sequences=True, go_backwards=True)
    found += [
        case(
            "config/stack", spec("RNN", cell=stack, name="r", zero_output_for_mask=True), CONFIG, ROUND_TRIP
        ),
        case("config/bidirectional", spec("Bidirectional", layer=layer, name="b"), CONFIG, ROUND_TRIP),
        case(
            "config/bidirectional_other",
            spec("Bidirectional", layer=layer, backward_layer=backward, merge_mode="ave", name="b"),
            CONFIG,
            ROUND_TRIP,
        ),
        case(
            "config/bidirectional_names",
            spec("Bidirectional", layer=layer, name="b"),
            attribute("forward_layer.name"),
            attribute("backward_layer.name"),
            attribute("backward_layer.go_backwards"),
        ),
    ]
    return found


def shape_cases() -> list[Case]:
    """compute_output_shape and compute_mask for every return form."""
    found = []
    for kind in KINDS:
        for sequences in (False, True):
            for state in (False, True):
                flags = {"return_sequences": sequences, "return_state": state}
                name = f"shapes/{kind}_{sequences}_{state}"
                steps = (
                    method("compute_output_shape", (None, None, 5)),
                    method("compute_output_shape", (4, 6, 5)),
                    method("compute_mask", X, MASKS["holes"]),
                    method("compute_mask", X, None),
                )
                found.append(case(name, layer_of(kind, **flags), *steps))
                timed = layer_of(kind, time_major=True, go_backwards=True, **flags)
                found.append(case(name + "_time_major", timed, steps[1], steps[2]))
    unit = {"return_sequences": True, "return_state": True}
    cells = [cell_of("lstm", units=3), cell_of("lstm", units=2)]
    found.append(case("shapes/stack", spec("RNN", cell=cells, **unit), steps[0], steps[2]))
    return found


def attribute_cases() -> list[Case]:
    """Attributes, shapes of weights, initial values, losses."""
    found = []
    for kind in KINDS:
        name = KINDS[kind][0]
        steps = [build(None, None, 5), method("count_params")]
        steps += [attribute(f"cell.{w}.shape") for w in ("kernel", "recurrent_kernel", "bias")]
        steps += [attribute(a) for a in ("units", "use_bias", "dropout", "supports_masking", "built")]
        steps += [attribute("input_spec.0.shape"), attribute("cell.bias")]
        found.append(case(f"attributes/{kind}", layer_of(kind), *steps))
        bare = layer_of(kind, use_bias=False)
        found.append(case(f"attributes/{kind}_no_bias", bare, build(None, None, 5), attribute("cell.bias")))
        fixed = layer_of(kind, stateful=True, time_major=True)
        found.append(
            case(
                f"attributes/{kind}_stateful_spec", fixed, build(None, 4, 5), attribute("input_spec.0.shape")
            )
        )
        clipped = layer_of(kind, dropout=1.5, recurrent_dropout=-0.5)
        found.append(
            case(
                f"attributes/{kind}_dropout_clipped", clipped,
                attribute("dropout"), attribute("recurrent_dropout"),
            )
        )  # fmt: skip
        sized = spec(name, units=4, input_length=7, input_dim=5)
        found.append(case(f"attributes/{kind}_input_shape", sized, attribute("_batch_input_shape")))
    ones = {"kernel_initializer": "ones", "recurrent_initializer": "ones", "bias_initializer": "ones"}
    regular = {"kernel_regularizer": "l2", "recurrent_regularizer": "l1", "bias_regularizer": "l1_l2"}
    filled = {"bias_initializer": "ones"}
    stays = states("w", 1, batch=16)
    found += [
        case(
            "attributes/forget_bias_replaces_its_block", layer_of("lstm", bias_initializer="zeros"),
            build(None, None, 5), attribute("cell.bias"),
        ),
        case(
            "attributes/forget_bias_keeps_other_blocks", layer_of("lstm", **filled),
            build(None, None, 5), attribute("cell.bias"),
        ),
        case(
            "attributes/no_forget_bias", layer_of("lstm", unit_forget_bias=False),
            build(None, None, 5), attribute("cell.bias"),
        ),
        case(
            "attributes/forget_bias_not_reapplied", layer_of("lstm"), build(None, None, 5),
            method("set_weights", [data("k", 5, 16), data("r", 4, 16), stays[0].ravel()[:16]]),
            method("get_weights"),
        ),
        case(
            "losses/weights", layer_of("lstm", **ones, **regular),
            build(None, None, 5), attribute("losses"),
        ),
        case(
            "losses/activity", layer_of("lstm", **ones, **regular, activity_regularizer="l2"),
            call(X), attribute("losses"),
        ),
        case(
            "attributes/trainable_reaches_cell", layer_of("gru", trainable=False),
            build(None, None, 5), attribute("cell.trainable"), attribute("trainable"),
        ),
        case(
            "attributes/trainable_propagates", layer_of("gru"), build(None, None, 5),
            {"op": "set_attribute", "args": ["trainable", False]}, attribute("cell.trainable"),
        ),
        case(
            "attributes/recurrent_dropout_sets_implementation", layer_of("gru", recurrent_dropout=0.1),
            attribute("implementation"), attribute("cell.implementation"),
        ),
        case("attributes/state_sizes", spec("RNN", cell=[cell_of("lstm"), cell_of("gru")]),
             attribute("cell.state_size"), attribute("cell.output_size")),
        case("attributes/state_size_lstm", layer_of("lstm"), attribute("cell.state_size")),
        case("attributes/state_size_gru", layer_of("gru"), attribute("cell.state_size")),
    ]  # fmt: skip
    return found


def cell_cases() -> list[Case]:
    """Cells called directly."""
    found = []
    x = data("one step", 4, 5)
    for kind in KINDS:
        start = states("cell", KINDS[kind][2])
        steps = [call(x, start), weights(), call(x, start)]
        if len(start) == 1:
            steps.append(call(x, start[0]))
        found.append(case(f"cell/{kind}", cell_of(kind), *steps))
    return found


def cases() -> list[Case]:
    """All cases of this module."""
    return config_cases() + shape_cases() + attribute_cases() + cell_cases()
