"""Any layer, any call: what hypothesis makes up agrees with the float64 oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from cuda_oracle import FULL, NAMES, assert_pair_right, assert_right
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from precision.precision_cases import MAKE, first_states, settle

from rnnpack import GRU, LSTM, Bidirectional, SimpleRNN

pytestmark = pytest.mark.usefixtures("cuda_plugin")

sizes = st.integers(1, 18)
bounded = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _masks(batch: int, steps: int) -> st.SearchStrategy[Any]:
    cells = st.lists(st.booleans(), min_size=batch * steps, max_size=batch * steps)
    return st.none() | cells.map(lambda values: np.array(values).reshape(batch, steps))


def _on_cuda(layer: Any, features: int, number_format: str) -> Any:
    settle(layer, features)
    layer.device = "cuda"
    layer.set_precision("full" if number_format in FULL else number_format)
    return layer


@st.composite
def calls(draw: st.DrawFn) -> tuple[Any, Any, Any, Any]:
    """A layer, inputs, a mask and states."""
    batch, steps, features = draw(sizes), draw(st.integers(1, 4)), draw(sizes)
    name, number_format = draw(st.sampled_from(list(MAKE))), draw(st.sampled_from(NAMES))
    names = ("return_sequences", "return_state", "go_backwards", "time_major", "zero_output_for_mask")
    flags = {one: draw(st.booleans()) for one in names}
    units = {} if name == "stack" else {"units": draw(sizes)}
    dtype = number_format if number_format in FULL else "float32"
    layer = _on_cuda(MAKE[name](dtype=dtype, **units, **flags), features, number_format)
    mask = draw(_masks(batch, steps))
    x = normal(batch, steps, features, seed=draw(st.integers(0, 99)), dtype=dtype)
    states = None
    if draw(st.booleans()):
        states = first_states(layer, batch)
    if flags["time_major"]:
        x, mask = x.swapaxes(0, 1), None if mask is None else mask.T
    return layer, x, mask, states


@bounded
@given(calls())
def test_calls(call: tuple[Any, Any, Any, Any]) -> None:
    layer, x, mask, states = call
    assert_right(layer, layer(x, mask=mask, initial_state=states), x, mask, states)


@bounded
@given(st.data())
def test_two_directions(data: st.DataObject) -> None:
    batch, steps, features = data.draw(sizes), data.draw(st.integers(1, 4)), data.draw(sizes)
    flags = {name: data.draw(st.booleans()) for name in ("return_sequences", "return_state", "time_major")}
    kinds = st.sampled_from([LSTM, GRU, SimpleRNN])
    mode = data.draw(st.sampled_from(["concat", "sum", "mul", "ave", None]))
    units = data.draw(sizes)
    other = units if mode in ("sum", "mul", "ave") else data.draw(sizes)
    layer = Bidirectional(
        data.draw(kinds)(units, **flags),
        mode,
        backward_layer=data.draw(kinds)(other, go_backwards=True, **flags),
    )
    _on_cuda(layer, features, data.draw(st.sampled_from([one for one in NAMES if one != "float64"])))
    x, mask = normal(batch, steps, features), data.draw(_masks(batch, steps))
    if flags["time_major"]:
        x, mask = x.swapaxes(0, 1), None if mask is None else mask.T
    assert_pair_right(layer, layer(x, mask=mask), x, mask)


@bounded
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12).filter(any),
    st.sampled_from(list(MAKE)),
    st.booleans(),
)
def test_each_ragged_row_gives_what_it_gives_alone(lengths: list[int], name: str, backwards: bool) -> None:
    layer = MAKE[name](return_sequences=True, return_state=True, go_backwards=backwards)
    _on_cuda(layer, 3, "float32")
    rows = [normal(length, 3, seed=seed) for seed, length in enumerate(lengths)]
    outputs, *states = layer(rows)
    states = flatten(states)
    for index, row in enumerate(rows):
        if len(row) == 0:
            assert outputs[index].shape[0] == 0
            assert not any(one[index].any() for one in states)
            continue
        alone = flatten(layer(row[None]))
        found = [outputs[index][None], *(one[index : index + 1] for one in states)]
        assert [bits(one) for one in found] == [bits(one) for one in alone]
