"""Random layers of reduced precision on random sequences: against the oracle, and invariants of bits."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from contract.contract_oracle import flatten
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from precision import oracle
from precision.precision_cases import all_bits, arrays, assert_within, first_states, settle
from property.test_sequence_properties import laid_out, masks

from rnnpack import RNN, GRUCell, LSTMCell, PeepholeLSTMCell, ProjectedLSTMCell, SimpleRNNCell

Way = tuple[str, str]
# `way` is the same for every example of a test.
CHECKED = settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
KINDS = {
    "simple": (SimpleRNNCell, {}),
    "lstm": (LSTMCell, {}),
    "gru": (GRUCell, {}),
    "gru reset before": (GRUCell, {"reset_after": False}),
    "peephole lstm": (PeepholeLSTMCell, {}),
    "projected lstm": (ProjectedLSTMCell, {"projection_units": 19}),
}
LAYOUTS = ("plain", "reversed", "fortran", "gaps", "misaligned", "swapped", "repeated")


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer, its flags, the sizes of a call and how its arrays lie in memory."""

    kinds: tuple[str, ...]
    units: int
    use_bias: bool
    activation: str
    batch: int
    steps: int
    features: int
    flags: dict[str, bool]
    mask: str
    states: float
    layout: str
    seed: int

    def layer(self, precision: str) -> Any:
        """A built layer of different cells of neighbouring sizes."""
        # The weights are replaced, and orthogonal ones take their time.
        common = {"recurrent_initializer": "zeros", "activation": self.activation, "use_bias": self.use_bias}
        cells = []
        for i, kind in enumerate(self.kinds):
            cell, kwargs = KINDS[kind]
            cells.append(cell(self.units + i, **common, **kwargs))
        layer = RNN(cells if len(cells) > 1 else cells[0], return_state=True, **self.flags)
        settle(layer, self.features, self.seed)
        layer.set_precision(precision)
        return layer

    def inputs(self, layer: Any) -> tuple[NDArray[Any], Any, Any]:
        """`(x, mask, states)`; x and mask are time-major when the layer is."""
        generator = np.random.default_rng(self.seed + 1)
        x = generator.standard_normal((self.batch, self.steps, self.features)).astype("f")
        mask = masks(self.mask, self.batch, self.steps, generator)
        if self.flags["time_major"]:
            x, mask = x.swapaxes(0, 1), None if mask is None else mask.T
        x = np.broadcast_to(x[:1], x.shape) if self.layout == "repeated" else laid_out(x, self.layout)
        return x, mask, first_states(layer, self.batch, self.states) if self.states else None

    def call(self, layer: Any, x: Any, mask: Any, states: Any, rows: list[int] | None = None) -> list[Any]:
        """`[y, *flat states]`, of all rows or of some."""
        if rows is not None:
            axis = 1 if self.flags["time_major"] else 0
            x, mask = np.take(x, rows, axis), None if mask is None else np.take(mask, rows, axis)
            states = None if states is None else _take(states, rows)
        return arrays(layer(x, mask=mask, initial_state=states))


def _take(nest: Any, rows: list[int]) -> Any:
    return [_take(n, rows) for n in nest] if isinstance(nest, list) else nest[rows]


FLAGS = ("return_sequences", "go_backwards", "time_major", "zero_output_for_mask", "unroll")
cases = st.builds(
    Case,
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3).map(tuple),
    units=st.integers(1, 70),
    use_bias=st.booleans(),
    activation=st.sampled_from(["tanh", "softsign", "hard_sigmoid", "relu", "linear", "swish", "elu"]),
    batch=st.integers(1, 9),
    steps=st.integers(1, 3),
    features=st.integers(1, 70),
    flags=st.fixed_dictionaries(dict.fromkeys(FLAGS, st.booleans())),
    mask=st.sampled_from(["none", "all", "nothing", "right", "left", "holes"]),
    states=st.sampled_from([0.0, 0.3, 2.0]),
    layout=st.sampled_from(LAYOUTS),
    seed=st.integers(0, 2**16),
)


@settings(CHECKED, max_examples=25)
@given(case=cases)
def test_random_layers_against_the_oracle(way: Way, case: Case) -> None:
    layer = case.layer(way[0])
    x, mask, states = case.inputs(layer)
    got = case.call(layer, x, mask, states)
    assert layer.explain().isa == way[1]
    flat = None if states is None else flatten(states)
    assert_within(got, oracle.run(oracle.reduced_layer(layer, way[0]), x.astype("f"), mask, flat))


@CHECKED
@given(case=cases, data=st.data())
def test_rows_in_any_order_and_number_have_the_same_bits(way: Way, case: Case, data: st.DataObject) -> None:
    layer = case.layer(way[0])
    x, mask, states = case.inputs(layer)
    rows = data.draw(st.lists(st.integers(0, case.batch - 1), min_size=1, max_size=12))
    want = case.call(layer, x, mask, states)
    got = case.call(layer, x, mask, states, rows)
    axis = 1 if case.flags["time_major"] and case.flags["return_sequences"] else 0
    assert all_bits(got) == all_bits([np.take(want[0], rows, axis), *(s[rows] for s in want[1:])])


@CHECKED
@given(case=cases)
def test_layouts_masks_of_ones_and_unroll_never_change_a_bit(way: Way, case: Case) -> None:
    layer = case.layer(way[0])
    x, mask, states = case.inputs(layer)
    want = all_bits(case.call(layer, x, mask, states))
    plain = np.ascontiguousarray(x).astype("f")
    assert all_bits(case.call(layer, plain, mask, states)) == want
    assert all_bits(case.call(layer, x.astype("float64"), mask, states)) == want
    other = dataclasses.replace(case, flags={**case.flags, "unroll": not case.flags["unroll"]})
    assert all_bits(case.call(other.layer(way[0]), x, mask, states)) == want
    if mask is None:
        assert all_bits(case.call(layer, x, np.ones(x.shape[:2], bool), states)) == want


@CHECKED
@given(case=cases)
def test_what_stands_at_masked_steps_does_not_matter(way: Way, case: Case) -> None:
    """Neither NaN, nor a number that would be the range of its row."""
    layer = case.layer(way[0])
    x, mask, states = case.inputs(layer)
    if mask is None:
        mask = np.random.default_rng(case.seed).random(x.shape[:2]) < 0.5
    want = all_bits(case.call(layer, x, mask, states))
    for dirt in (np.nan, 1e30, np.inf):
        dirty = np.where(mask[..., None], x, np.float32(dirt)).astype("f")
        assert all_bits(case.call(layer, dirty, mask, states)) == want


@CHECKED
@given(case=cases)
def test_time_major_and_backwards_are_other_orders_of_the_same(way: Way, case: Case) -> None:
    layer = case.layer(way[0])
    x, mask, states = case.inputs(layer)
    want = case.call(layer, x, mask, states)
    turned = dataclasses.replace(case, flags={**case.flags, "go_backwards": not case.flags["go_backwards"]})
    axis = 0 if case.flags["time_major"] else 1
    back = None if mask is None else np.flip(mask, axis)
    assert all_bits(turned.call(turned.layer(way[0]), np.flip(x, axis), back, states)) == all_bits(want)
    swapped = dataclasses.replace(case, flags={**case.flags, "time_major": not case.flags["time_major"]})
    got = swapped.call(swapped.layer(way[0]), x.swapaxes(0, 1), None if mask is None else mask.T, states)
    got[0] = got[0].swapaxes(0, 1) if case.flags["return_sequences"] else got[0]
    assert all_bits(got) == all_bits(want)


@CHECKED
@given(case=cases, cut=st.integers(1, 2), powers=st.tuples(st.integers(-20, 20), st.integers(-20, 20)))
def test_calls_continue_and_powers_of_two_scale(
    way: Way, case: Case, cut: int, powers: tuple[int, int]
) -> None:
    """Inputs times 2^n with kernels times 2^-n are the same numbers on a grid 2^n as wide."""
    flags = {**case.flags, "go_backwards": False, "time_major": False, "return_sequences": True}
    case = dataclasses.replace(case, flags=flags, steps=case.steps + 2)
    layer = case.layer(way[0])
    x, mask, states = case.inputs(layer)
    first = layer(x[:, :cut], mask=None if mask is None else mask[:, :cut], initial_state=states)
    rest = layer(x[:, cut:], mask=None if mask is None else mask[:, cut:], initial_state=first[1:])
    want = case.call(layer, x, mask, states)
    assert all_bits(rest[1:]) == all_bits(want[1:])
    factor = np.float32(2.0 ** powers[0])
    scaled = case.layer(way[0])
    kernel, *others = scaled.get_weights()
    scaled.set_weights([kernel / factor, *others])
    assert all_bits(case.call(scaled, x.astype("f") * factor, mask, states)) == all_bits(want)
