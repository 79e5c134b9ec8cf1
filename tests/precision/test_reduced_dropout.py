"""Dropout in training: the masks of full precision from the same seed, applied before numbers are rounded."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten, reference_layer
from precision import oracle
from precision.precision_cases import MAKE, PRECISIONS, assert_near, first_states, settle

import rnnpack
from rnnpack import RNN, Bidirectional, GRUCell, LSTMCell, PeepholeLSTMCell, ProjectedLSTMCell, SimpleRNNCell

B, T, F, U, SEED = 3, 3, 6, 5, 11
GATES = {LSTMCell: 4, PeepholeLSTMCell: 4, ProjectedLSTMCell: 4, GRUCell: 3, SimpleRNNCell: 1}
OWN = {cell: type("Own" + cell.__name__, (cell,), {}) for cell in GATES}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lstm": (LSTMCell, {}),
    "gru": (GRUCell, {}),
    "gru reset before": (GRUCell, {"reset_after": False}),
    "simple": (SimpleRNNCell, {}),
    "peephole lstm": (PeepholeLSTMCell, {}),
    "projected lstm": (ProjectedLSTMCell, {"projection_units": 3}),
}
Way = tuple[str, str]


def both(kinds: list[str], rates: tuple[float, float], implementation: int, **flags: Any) -> tuple[Any, Any]:
    """The same layer, native and on Python cells, which show their masks after a call."""
    layers = []
    for own in (False, True):
        cells = []
        for kind in kinds:
            cell, kwargs = KINDS[kind]
            more = {} if cell is SimpleRNNCell else {"implementation": implementation}
            made = OWN[cell] if own else cell
            cells.append(made(U, dropout=rates[0], recurrent_dropout=rates[1], **kwargs, **more))
        layer = RNN(cells if len(cells) > 1 else cells[0], return_sequences=True, return_state=True, **flags)
        layers.append(settle(layer, F))
    return layers[0], layers[1]


def trained(layer: Any, x: Any, **kwargs: Any) -> Any:
    """A call in training mode, from the seed."""
    rnnpack.set_seed(SEED)
    return layer(x, training=True, **kwargs)


def dropped(layer: Any, precision: str, sample: int) -> Any:
    """The oracle of one sample of the Python layer's last call."""
    cells = []
    for cell in oracle.members(layer):
        count = GATES[type(cell).__base__] if getattr(cell, "implementation", 1) == 1 else 1
        weights = cell.get_weights()
        found = []
        for mask_of, size in (
            (cell.get_dropout_mask_for_cell, len(weights[0])),
            (cell.get_recurrent_dropout_mask_for_cell, len(weights[1])),
        ):
            masks = mask_of(np.ones((B, size), "f"), True, count)
            masks = masks if isinstance(masks, list | tuple) or masks is None else [masks]
            found.append(None if masks is None else np.stack([m[sample] for m in masks]))
        cells.append(oracle.reduced(cell, precision, dropout=(found[0], found[1])))
    return dataclasses.replace(reference_layer(layer), cells=tuple(cells))


@pytest.mark.parametrize("implementation", [1, 2])
@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.75), (0.5, 0.5), (0.3, 0.2)])
@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), ["lstm", "gru reset before"]], ids="+".join)
def test_masks_are_applied_before_numbers_are_rounded(
    way: Way, kinds: list[str], rates: tuple[float, float], implementation: int
) -> None:
    """Also on states beyond 1, and on those that a factor takes there."""
    native, python = both(kinds, rates, implementation)
    native.set_precision(way[0])
    x, mask = normal(B, T, F), np.random.default_rng(1).random((B, T)) < 0.8
    for scale in (None, 0.8):
        states = None if scale is None else first_states(native, B, scale)
        trained(python, x, mask=mask, initial_state=states)
        result = trained(native, x, mask=mask, initial_state=states)
        for b in range(B):
            first = None if states is None else [s[b : b + 1] for s in flatten(states)]
            want = oracle.run(dropped(python, way[0], b), x[b : b + 1], mask[b : b + 1], first)
            assert_near([a[b : b + 1] for a in flatten(result)], want, 1.0)
    assert native.explain(training=True).isa == way[1]
    assert native.explain(training=True).precision == way[0]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", MAKE)
def test_the_same_is_drawn_as_in_full_precision(name: str, precision: str) -> None:
    layer = settle(MAKE[name](), F)
    for cell in oracle.members(layer):
        cell.dropout, cell.recurrent_dropout = 0.5, 0.25
    x, after = normal(B, T, F), []
    plain = {}
    for chosen in ("full", precision):
        layer.set_precision(chosen)
        plain[chosen] = bits(layer(x))
        trained(layer, x)
        after.append(rnnpack.random.generator().random())
        assert bits(trained(layer, x)) == bits(trained(layer, x)) != plain[chosen]
        assert bits(layer(x)) == plain[chosen]
    assert after[0] == after[1]
    assert plain["full"] != plain[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_both_directions_draw_as_their_halves_do(precision: str) -> None:
    one = RNN(GRUCell(U, dropout=0.5, recurrent_dropout=0.5, implementation=1), return_sequences=True)
    both_ways = settle(Bidirectional(one, merge_mode=None), F)
    both_ways.set_precision(precision)
    x = normal(B, T, F)
    forward, backward = trained(both_ways, x)
    rnnpack.set_seed(SEED)
    halves = [half(x, training=True) for half in (both_ways.forward_layer, both_ways.backward_layer)]
    assert bits(forward) == bits(halves[0])
    assert bits(backward) == bits(halves[1][:, ::-1])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_factor_may_take_states_beyond_one(precision: str) -> None:
    """h = 1 doubled is 2: what counts is the row that is multiplied."""
    layer = RNN(SimpleRNNCell(4, activation="softsign", use_bias=False, recurrent_dropout=0.5))
    layer.build((None, None, 1))
    layer.set_weights([np.zeros((1, 4)), np.eye(4)])
    layer.set_precision(precision)
    h = np.array([[1.0, 0.3, 0.007, -0.6]], "f")
    for seed in range(20):
        rnnpack.set_seed(seed)
        got = layer(np.zeros((1, 1, 1), "f"), initial_state=h, training=True)[0].astype(float)
        row = got / (1 - np.abs(got))
        kept = 2 * h[0].astype(float) * (np.abs(row) > 0.01)
        if precision == "int8":
            top = max(1.0, np.abs(kept).max())
            want = np.rint(kept / top * 127) * top / 127
        else:
            want = oracle.bfloat16(kept)
        small = np.abs(h[0]) < 0.01  # it may be dropped or not
        np.testing.assert_allclose(row[~small], want[~small], rtol=1e-5, atol=0)
