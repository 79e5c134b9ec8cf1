"""Calls of native pairs that fail change nothing; what has changed between calls counts."""

from __future__ import annotations

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from pair_cases import MASKS, B, F, T, U, assert_same, bidirectional, each, recorded

from rnnpack import GRUCell, _core, activations, regularizers

# Errors -------------------------------------------------------------------------------------------

BAD = {
    "features": lambda x: ((x[..., :2],), {}),
    "batch": lambda x: ((x[:2],), {}),
    "axes": lambda x: ((x[0],), {}),
    "no timestep": lambda x: ((x[:, :0],), {}),
    "mask": lambda x: ((x,), {"mask": np.ones((B, T + 1), bool)}),
    "mask of one row": lambda x: ((x,), {"mask": np.ones((1, T), bool)}),
    "number of states": lambda x: ((x,), {"initial_state": [np.ones((B, U), "f")] * 3}),
    "shape of states": lambda x: (
        (x,),
        {"initial_state": [np.ones((B, U), "f")] * 3 + [np.ones((1, U), "f")]},
    ),
    "dtype of states": lambda x: ((x,), {"initial_state": [np.ones((B, U), complex)] * 4}),
    "complex inputs": lambda x: ((x.astype(complex),), {}),
    "unknown keyword": lambda x: ((x,), {"other": 1}),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_are_those_of_two_calls_and_change_nothing(case, monkeypatch):
    layer = bidirectional("lstm", stateful=True)
    x = normal(B, T, F)
    layer(x)
    layer(x)
    before = [bits(s) for s in recorded(layer)]
    args, kwargs = BAD[case](x)
    errors = []
    for native in (True, False):
        if not native:  # a direction whose call is replaced is called
            layer.forward_layer.call = layer.forward_layer.call
        with pytest.raises((ValueError, TypeError)) as error:
            layer(*args, **kwargs)
        errors.append((error.type, str(error.value)))
        assert [bits(s) for s in recorded(layer)] == before
    assert errors[0] == errors[1]


# Changes between calls ----------------------------------------------------------------------------


def other_cell(layer):
    """A member of a stack replaced."""
    cell = GRUCell(U)
    cell.build((None, 4))
    layer.backward_layer.cell.cells[1] = cell


CHANGES = {
    "set_weights": lambda layer: layer.set_weights([w + np.float32(0.25) for w in layer.get_weights()]),
    "forward weight": lambda layer: layer.forward_layer.weights[0].assign_add(layer.weights[0].numpy() + 1),
    "backward weight": lambda layer: layer.backward_layer.weights[2].assign(layer.weights[2].numpy() + 1),
    "merge mode": lambda layer: setattr(layer, "merge_mode", "sum"),
    "no merge": lambda layer: setattr(layer, "merge_mode", None),
    "activation": lambda layer: setattr(layer.backward_layer.cell.cells[0], "activation", activations.relu),
    "softmax": lambda layer: setattr(layer.forward_layer.cell.cells[0], "activation", activations.softmax),
    "member": other_cell,
    "direction": lambda layer: setattr(layer.backward_layer, "go_backwards", False),
    "zeros at masked steps": lambda layer: [setattr(h, "zero_output_for_mask", False) for h in halves(layer)],
}


def halves(layer):
    """Both directions."""
    return layer.forward_layer, layer.backward_layer


@pytest.mark.parametrize("change", CHANGES)
def test_changes_count_from_the_next_call_on(change):
    layer = bidirectional("stack", return_sequences=True)
    x = normal(B, T, F)
    for _ in range(3):
        before = layer(x, mask=MASKS["holes"])
    CHANGES[change](layer)
    got = layer(x, mask=MASKS["holes"])
    assert_same(got, each(layer, x, MASKS["holes"]))
    assert [bits(a) for a in flatten([got])] != [bits(a) for a in flatten([before])]


def test_replaced_methods_and_regularizers_of_a_direction_count():
    layer = bidirectional("lstm")
    x = normal(B, T, F)
    for _ in range(3):
        before = layer(x)
    layer.backward_layer.activity_regularizer = regularizers.L2(1.0)
    np.testing.assert_array_equal(layer(x), before)
    assert len(layer.losses) == 1
    layer.activity_regularizer = regularizers.L2(1.0)
    layer(x)
    assert len(layer.losses) == 2
    layer.forward_layer.call = lambda inputs, **kwargs: np.zeros((B, U), "f")
    got = layer(x)
    assert not got[:, :U].any()
    np.testing.assert_array_equal(got[:, U:], before[:, U:])


def test_another_instruction_set_counts(monkeypatch):
    layer, x = bidirectional("lstm", features=40), normal(B, T, 40)
    for name in (*_core.available_isas(), _core.available_isas()[0]):
        monkeypatch.setenv("RNNPACK_ISA", name)
        layer(x)
        assert_same(layer(x), each(layer, x))
        assert layer.explain().isa == name
