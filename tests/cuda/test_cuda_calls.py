"""Calls with NumPy arrays on CUDA against the float64 oracle: whatever the contract lets a caller pass."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from cuda_cases import (
    CELLS,
    LAYOUTS,
    MASKS,
    assert_within,
    direction,
    first_states,
    laid_out,
    masks,
    oracle,
    oracle_of_rows,
    with_random_weights,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnpack import RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells

pytestmark = pytest.mark.usefixtures("cuda_plugin")

B, T, F, U = 3, 4, 5, 6
CHECKED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
MODES = ("concat", "sum", "mul", "ave", None)


def pair(first, second, mode="concat", precisions=("full", "full"), **flags):
    """Both directions, of cells `(kind, units)` each, with random weights."""
    forward = direction(first, precisions[0], **flags)
    backward = direction(second, precisions[1], go_backwards=True, **flags)
    layer = Bidirectional(forward, mode, backward_layer=backward, dtype=flags.get("dtype"), device="cuda")
    layer.forward_layer.set_precision(precisions[0])  # wrappers make their forward layer anew
    return layer


# Everything at once.


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer and a call of it."""

    cells: tuple
    backward: tuple | None
    mode: str | None
    precisions: tuple
    dtype: str
    batch: int
    steps: int
    features: int
    return_sequences: bool
    return_state: bool
    go_backwards: bool
    time_major: bool
    zero_output_for_mask: bool
    mask: str
    with_states: bool
    layout: str
    seed: int

    def layer(self):
        """The layer, built, with random weights."""
        names = ("return_sequences", "return_state", "time_major", "dtype")
        flags = {name: getattr(self, name) for name in names}
        precisions = self.precisions if self.dtype == "float32" else ("full", "full")
        if self.backward is None:
            flags |= {name: getattr(self, name) for name in ("go_backwards", "zero_output_for_mask")}
            layer = direction(self.cells, precisions[0], **flags)
        else:
            layer = pair(self.cells, self.backward, self.mode, precisions, **flags)
        return with_random_weights(layer, self.features, self.seed)


CELL = st.tuples(st.sampled_from(sorted(CELLS)), st.integers(1, 20))
STACK = st.lists(CELL, min_size=1, max_size=3).map(tuple)
LENGTHS = st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any)
PRECISION = st.sampled_from(["full", "full", "tf32", "bfloat16", "float16"])


@st.composite
def cases(draw):
    """Layers of one direction or two; merged by element, both have the same number of outputs."""
    cells, backward = draw(STACK), draw(st.none() | STACK)
    mode = draw(st.sampled_from(MODES))
    if backward is not None and mode in ("sum", "mul", "ave"):
        last = draw(st.sampled_from(sorted(CELLS)))
        # A projection has half as many outputs as units, and one more.
        units = (2 * cells[-1][1], cells[-1][1] + 1) if last == "projected_lstm" else (cells[-1][1],) * 2
        first = (*cells[:-1], ("gru", units[1]))
        cells, backward = first, (*backward[:-1], (last, units[0]))
    return Case(
        cells=cells,
        backward=backward,
        mode=mode,
        precisions=draw(st.tuples(PRECISION, PRECISION)),
        dtype=draw(st.sampled_from(["float32", "float32", "float64", "float16"])),
        batch=draw(st.integers(1, 5)),
        steps=draw(st.integers(1, 4)),
        features=draw(st.integers(1, 20)),
        return_sequences=draw(st.booleans()),
        return_state=draw(st.booleans()),
        go_backwards=draw(st.booleans()),
        time_major=draw(st.booleans()),
        zero_output_for_mask=draw(st.booleans()),
        mask=draw(st.sampled_from(MASKS)),
        with_states=draw(st.booleans()),
        layout=draw(st.sampled_from(LAYOUTS)),
        seed=draw(st.integers(0, 2**16)),
    )


@CHECKED
@given(case=cases())
def test_random_layers_and_calls(case):
    layer = case.layer()
    x = normal(case.batch, case.steps, case.features, seed=case.seed, dtype=case.dtype)
    mask = masks(case.mask, case.batch, case.steps, case.seed)
    if mask is not None:  # whatever stands at masked steps
        x = np.where(mask[..., None], x, np.nan).astype(case.dtype)
    states = first_states(layer, case.batch, case.seed) if case.with_states else None
    if case.time_major:
        x, mask = x.swapaxes(0, 1), None if mask is None else mask.T
    want = oracle(layer, x, mask, states)
    given_states = None if states is None else mapped(lambda one: laid_out(one, case.layout), states)
    given_x = laid_out(x, case.layout)
    before = bits(given_x)
    result = layer(given_x, mask=mask, initial_state=given_states)
    assert_within(layer, result, want)
    assert bits(given_x) == before
    # A call of the same numbers in plain arrays gives the same bits.
    assert_same(layer(np.ascontiguousarray(x), mask=mask, initial_state=states), result)


@CHECKED
@given(
    case=cases(),
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any),
    as_list=st.booleans(),
)
def test_random_layers_on_ragged_rows(case, lengths, as_list):
    case = dataclasses.replace(case, time_major=False)
    layer = case.layer()
    rows = [normal(n, case.features, seed=case.seed + r, dtype=case.dtype) for r, n in enumerate(lengths)]
    states = first_states(layer, len(rows), case.seed) if case.with_states else None
    values = laid_out(np.concatenate(rows), case.layout)
    result = layer(rows if as_list else (values, np.array(lengths)), initial_state=states)
    assert_within(layer, values_only(layer, result), oracle_of_rows(layer, rows, states))


def mapped(function, nest):
    """A nest of lists with a function applied to its arrays."""
    return [mapped(function, one) for one in nest] if isinstance(nest, list) else function(nest)


def assert_same(result, want):
    """Two nests hold the same bits."""
    for one, other in zip(flatten(result), flatten(want), strict=True):
        assert one.shape == other.shape
        assert bits(one) == bits(other)


def values_only(layer, result):
    """A ragged result with the rows of its sequences one after the other."""
    if not layer.return_sequences:
        return result
    outputs = 2 if getattr(layer, "merge_mode", "") is None else 1
    results = result if layer.return_state or outputs == 2 else [result]
    joined = [np.concatenate(one) if isinstance(one, list) else one[0] for one in results[:outputs]]
    return [*joined, *results[outputs:]]


# One thing at a time.


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", CELLS)
def test_masks(kind, mask, sequences):
    flags = {"return_sequences": sequences, "return_state": True}
    bit = masks(mask, B, T, 3)
    x = normal(B, T, F)
    if bit is not None:
        x[~bit] = np.nan
    for zero in (False, True):
        layer = with_random_weights(direction([(kind, U)], zero_output_for_mask=zero, **flags), F)
        states = first_states(layer, B)
        want = oracle(layer, x, bit, states)
        assert_within(layer, layer(x, mask=bit, initial_state=states), want)
        if bit is None:
            continue
        for form in (
            bit[..., None],
            bit.astype("int64") * 7,
            bit.astype("float64") / 2,
            laid_out(bit, "gaps"),
        ):
            assert_within(layer, layer(x, mask=form, initial_state=states), want)


def test_strides_of_zero():
    """One timestep, one row or one feature repeated."""
    layer = with_random_weights(direction([("lstm", U)], return_sequences=True), F)
    for shape in ((B, 1, F), (1, T, F), (B, T, 1), (1, 1, 1)):
        x = np.broadcast_to(normal(*shape), (B, T, F))
        assert_within(layer, layer(x), oracle(layer, x))
    bit = np.broadcast_to(np.array([[True], [False], [True]]), (B, T))
    assert_within(layer, layer(x, mask=bit), oracle(layer, x, bit))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sequences", [False, True])
def test_directions_of_different_cells_and_precisions(mode, sequences):
    flags = {"return_sequences": sequences, "return_state": True}
    other = "lstm"
    for precisions in (("full", "full"), ("bfloat16", "full"), ("tf32", "float16")):
        first, second = [("gru", 7), ("simple_rnn", U)], [(other, U)]
        layer = with_random_weights(pair(first, second, mode, precisions, **flags), F)
        assert layer.precision == "+".join(sorted(set(precisions)))
        x, bit = normal(B, T, F), masks("holes", B, T, 1)
        x[~bit] = np.nan
        assert_within(layer, layer(x, mask=bit), oracle(layer, x, bit))
        states = first_states(layer, B)
        assert_within(layer, layer(x, mask=bit, initial_state=states), oracle(layer, x, bit, states))


def test_stacks_of_every_form():
    """A list, a tuple, a StackedRNNCells: the same numbers, states in the structure of the cells."""
    for wrap in (list, tuple, StackedRNNCells):
        cells = [LSTMCell(5), GRUCell(9), SimpleRNNCell(3)]
        layer = RNN(wrap(cells), return_state=True, return_sequences=True, device="cuda")
        with_random_weights(layer, F)
        x = normal(B, T, F)
        result = layer(x)
        assert_within(layer, result, oracle(layer, x))
        assert [type(one) for one in result[1:]] == [list, np.ndarray, np.ndarray]
    one = with_random_weights(RNN([LSTMCell(4)], return_state=True, device="cuda"), F)
    assert_within(one, one(x), oracle(one, x))
    assert len(one(x)) == 2


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("form", ["list", "pair"])
def test_rows_without_timesteps_in_between(form, both):
    lengths = [0, 3, 0, 0, 5, 1, 0]
    rows = [normal(n, F, seed=r) for r, n in enumerate(lengths)]
    given_rows = rows if form == "list" else (np.concatenate(rows), np.array(lengths, "int32"))
    for sequences in (False, True):
        flags = {"return_sequences": sequences, "return_state": True}
        cells = [("lstm", U), ("gru", 3)]
        layer = pair(cells, [("gru", 4), ("lstm", U)], **flags) if both else direction(cells, **flags)
        with_random_weights(layer, F)
        for states in (None, first_states(layer, len(rows))):
            result = layer(given_rows, initial_state=states)
            assert_within(layer, values_only(layer, result), oracle_of_rows(layer, rows, states))
    with pytest.raises(ValueError, match="at least one timestep"):
        layer([np.zeros((0, F), "float32")] * 2)


@pytest.mark.parametrize("both", [False, True])
def test_stateful_layers(both):
    """Each call starts where the last one ended; reset_states forgets it, or sets it."""
    flags = {"stateful": True, "return_state": True, "return_sequences": True}
    cells = [("lstm", U), ("peephole_lstm", 4)]
    layer = pair(cells, cells, **flags) if both else direction(cells, **flags)
    with_random_weights(layer, F, batch=B)
    x, bit = normal(B, 3 * T, F), masks("holes", B, 3 * T, 5)
    states = None
    for begin in (0, T, 2 * T):
        part, mask = x[:, begin : begin + T], bit[:, begin : begin + T]
        want = oracle(layer, part, mask, states)
        result = layer(part, mask=mask)
        assert_within(layer, result, want)
        states = result[1:]
    with pytest.raises(ValueError, match=r"batch|shape"):
        layer(x[:1])
    assert_within(layer, layer(x, mask=bit), oracle(layer, x, bit, states))
    layer.reset_states()
    assert_within(layer, layer(x), oracle(layer, x))
    layer.reset_states()
    given_states = first_states(layer, B)
    assert_within(layer, layer(x, initial_state=given_states), oracle(layer, x, None, given_states))
    if not both:
        layer.reset_states(given_states)
        assert_within(layer, layer(x), oracle(layer, x, None, given_states))


def test_states_that_were_returned_belong_to_the_caller():
    layer = with_random_weights(direction([("lstm", U)], stateful=True, return_state=True), F, batch=B)
    x = normal(B, T, F)
    _, *states = layer(x)
    want = oracle(layer, x, None, [one.copy() for one in states])
    for one in states:
        one[...] = np.nan
    assert_within(layer, layer(x), want)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("time_major", [False, True])
def test_layouts_of_all_arrays(layout, time_major):
    layer = with_random_weights(
        direction([("gru", U)], return_sequences=True, return_state=True, time_major=time_major), F
    )
    x, bit, states = normal(B, T, F), masks("holes", B, T, 2), first_states(layer, B)
    if time_major:
        x, bit = x.swapaxes(0, 1), bit.T
    want = layer(np.ascontiguousarray(x), mask=np.ascontiguousarray(bit), initial_state=states)
    assert_within(layer, want, oracle(layer, x, bit, states))
    spread = [laid_out(one, layout) for one in states]
    assert_same(layer(laid_out(x, layout), mask=laid_out(bit, layout), initial_state=spread), want)


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16", "float64"])
def test_inputs_of_other_dtypes_are_cast(dtype):
    layer = with_random_weights(direction([("gru", U)], return_state=True), F)
    x = (3 * normal(B, T, F)).astype(dtype)
    assert_within(layer, layer(x), oracle(layer, x.astype("float32")))


def test_sizes_beyond_one_block_and_chunk():
    """More rows than a warp takes, more units than a block, more timesteps than a chunk."""
    for kind, units, batch, steps, features in (
        ("lstm", 70, 2, 3, 65),
        ("gru", 33, 70, 2, 9),
        ("gru_reset_before", 9, 2, 150, 3),
        ("simple_rnn", 130, 17, 2, 40),
    ):
        flags = {"return_sequences": True, "return_state": True}
        layer = with_random_weights(direction([(kind, units)], **flags), features, scale=0.1)
        x, bit = normal(batch, steps, features), masks("holes", batch, steps, 3)
        assert_within(layer, layer(x, mask=bit), oracle(layer, x, bit))


def test_an_empty_batch():
    for sequences in (False, True):
        layer = with_random_weights(
            pair([("lstm", U)], [("gru", 4)], return_sequences=sequences, return_state=True), F
        )
        output, *states = layer(np.zeros((0, T, F), "float32"))
        assert output.shape == ((0, T, U + 4) if sequences else (0, U + 4))
        assert [one.shape for one in states] == [(0, U), (0, U), (0, 4)]
    for shape in ((B, 0, F), (0, 0, F)):
        with pytest.raises(ValueError, match="`inputs`"):
            layer(np.zeros(shape, "float32"))


def test_wrong_arguments_change_nothing():
    layer = with_random_weights(direction([("lstm", U)], stateful=True), F, batch=B)
    x = normal(B, T, F)
    layer(x)
    before = [bits(one) for one in layer.states]
    for arguments in (
        {"mask": np.ones((B, T + 1), bool)},
        {"mask": np.ones((1, T), bool)},
        {"mask": np.ones((B, T, 2), bool)},
        {"initial_state": [normal(B, U)]},
        {"initial_state": [normal(B, U + 1), normal(B, U)]},
        {"initial_state": [normal(1, U), normal(1, U)]},
    ):
        if "initial_state" in arguments:
            layer.reset_states()
            before = [bits(one) for one in layer.states]
        with pytest.raises(ValueError, match=r"`mask`|`initial_state`|state"):
            layer(x, **arguments)
        assert [bits(one) for one in layer.states] == before
    with pytest.raises(ValueError, match=r"shape|features|axis"):
        layer(normal(B, T, F + 1))
