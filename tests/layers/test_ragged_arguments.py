"""Ragged inputs as arguments: which forms and dtypes are rows, and what is said of those that are not."""

from __future__ import annotations

import numpy as np
import pytest
from contract.contract_cells import DoublingCell, bits, doubling, integers, normal
from contract.contract_oracle import flatten

from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN

LENGTHS = (4, 1, 0, 2)
B, F, U = len(LENGTHS), 3, 5
ROWS = [normal(n, F, seed=r) for r, n in enumerate(LENGTHS)]
VALUES, COUNTS = np.concatenate(ROWS), np.array(LENGTHS)

MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([LSTMCell(4), GRUCell(U)], **k),
    "own": lambda **k: RNN(type("OwnGRU", (GRUCell,), {})(U), **k),
    "custom": lambda **k: RNN(DoublingCell(U), **k),
    "bidirectional": lambda **k: Bidirectional(LSTM(U, **k)),
}


def recorders(layer):
    """The layers that record states."""
    return [layer.forward_layer, layer.backward_layer] if isinstance(layer, Bidirectional) else [layer]


def recorded(layer):
    """The bits of all recorded states."""
    return [bits(s) for part in recorders(layer) for s in flatten(part.states)]


# Forms and dtypes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKE)
def test_both_forms_give_the_same_bits(name):
    layer = MAKE[name](return_sequences=True)
    rows, (values, lengths) = layer(ROWS), layer((VALUES, COUNTS))
    assert bits(np.concatenate(rows)) == bits(values)
    assert lengths.tolist() == list(LENGTHS)
    assert not np.shares_memory(lengths, COUNTS)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u4", "i8", "u8", ">i4"])
def test_lengths_of_every_kind_of_integer(dtype):
    layer = LSTM(U, return_sequences=True)
    want, _ = layer((VALUES, COUNTS))
    np.testing.assert_array_equal(layer((VALUES, COUNTS.astype(dtype)))[0], want)


LAYOUTS = {
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "fortran": np.asfortranarray,
    "gaps": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "read only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "misaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), "u1")[1:].view(a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["lstm", "stack", "bidirectional", "own"])
def test_layout_in_memory_never_changes_a_bit(name, layout):
    layer = MAKE[name](return_sequences=True)
    want = [bits(row) for row in layer(ROWS)]
    assert [bits(row) for row in layer([LAYOUTS[layout](row) for row in ROWS])] == want
    values, _ = layer((LAYOUTS[layout](VALUES), np.repeat(COUNTS, 2)[::2]))
    assert bits(values) == b"".join(want)


@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", "?", "f2", "f8"])
@pytest.mark.parametrize("layer_dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["lstm", "own", "bidirectional"])
def test_numbers_of_other_kinds_are_cast_to_the_dtype_of_the_layer(name, layer_dtype, dtype):
    cells = {"own": lambda: RNN(type("OwnGRU", (GRUCell,), {})(U, dtype=layer_dtype), dtype=layer_dtype)}
    layer = cells.get(name, lambda: MAKE[name](dtype=layer_dtype))()
    rows = [np.abs(integers(n, F, seed=n)).astype(dtype) for n in LENGTHS]
    for _ in range(2):
        got = layer(rows)
        assert got.dtype == np.dtype(layer_dtype)
        assert bits(got) == bits(layer([row.astype(layer_dtype) for row in rows]))
    assert bits(layer((np.concatenate(rows), COUNTS))) == bits(got)


def test_rows_may_have_several_dtypes():
    layer = LSTM(U)
    rows = [np.ones((2, F), "i4"), np.ones((3, F), "f8"), np.ones((1, F), "f4")]
    np.testing.assert_array_equal(layer(rows), layer([row.astype("f4") for row in rows]))


@pytest.mark.parametrize("name", MAKE)
def test_a_single_row_is_a_batch_of_one(name):
    layer = MAKE[name](return_sequences=True)
    (row,) = layer([ROWS[0]])
    np.testing.assert_array_equal(row, layer(ROWS[0][None])[0])


@pytest.mark.parametrize("name", ["lstm", "stack", "bidirectional"])
def test_lists_that_begin_with_a_dense_array_still_hold_states(name):
    layer = MAKE[name](return_state=True)
    x = normal(B, 4, F)
    _, *states = layer(x)
    flat = [bits(a) for a in flatten(layer(x, initial_state=states))]
    assert [bits(a) for a in flatten(layer([x, *states]))] == flat
    assert [bits(a) for a in flatten(layer([x]))] == [bits(a) for a in flatten(layer(x))]


def test_inputs_stay_as_they_are():
    layer = Bidirectional(LSTM(U, return_sequences=True))
    before = bits(VALUES), bits(COUNTS)
    values, lengths = layer((VALUES, COUNTS))
    values[:] = 7
    lengths[:] = 7
    assert (bits(VALUES), bits(COUNTS)) == before
    np.testing.assert_array_equal(layer(ROWS)[0][0], layer(ROWS[0][None])[0, 0])


def test_nan_stays_in_its_row():
    layer = LSTM(U, return_sequences=True)
    want = layer(ROWS)
    bad = [ROWS[0], np.full_like(ROWS[1], np.nan), *ROWS[2:]]
    got = layer(bad)
    assert np.isnan(got[1]).all()
    assert [bits(got[r]) for r in (0, 2, 3)] == [bits(want[r]) for r in (0, 2, 3)]


@pytest.mark.parametrize("return_sequences", [False, True])
def test_features_of_several_axes_for_cells_that_take_them(return_sequences):
    class Cell(DoublingCell):
        def call(self, inputs, states):
            return super().call(inputs.reshape(len(inputs), -1), states)

    layer = RNN(Cell(U), return_sequences=return_sequences)
    values = integers(sum(LENGTHS), 2, 3)
    got = layer((values, COUNTS))
    for r, row in enumerate(np.split(values, np.cumsum(COUNTS)[:-1])):
        flat = row.reshape(1, len(row), 6)
        if return_sequences:
            want = doubling(flat, units=U)[0][0] if len(row) else np.zeros((0, U))
            np.testing.assert_array_equal(np.split(got[0], np.cumsum(COUNTS)[:-1])[r], want)
        else:
            np.testing.assert_array_equal(got[r], doubling(flat, units=U)[1][0] if len(row) else np.zeros(U))


def test_constants_reach_a_cell_with_every_row():
    class Cell(DoublingCell):
        def call(self, inputs, states, constants=None):
            return super().call(inputs + constants[0], states)

    layer = RNN(Cell(U))
    rows = [integers(n, F, seed=n) for n in LENGTHS]
    got = layer(rows, constants=np.full((B, 1), 2, "f"))
    for r, row in enumerate(rows):
        want = doubling(row[None] + 2, units=U)[1][0] if len(row) else np.zeros(U)
        np.testing.assert_array_equal(got[r], want)


@pytest.mark.parametrize("mode", [False, True, None])
def test_the_training_mode_reaches_the_cell(mode):
    class Cell(DoublingCell):
        def call(self, inputs, states, training=None):
            self.training = training
            return super().call(inputs, states)

    layer = RNN(Cell(U))
    layer(ROWS, training=mode)
    assert bool(layer.cell.training) is bool(mode)


# Errors -------------------------------------------------------------------------------------------

BAD = {
    "mask": ((ROWS, {"mask": np.ones((B, 4), bool)}), "`mask` must be None with ragged"),
    "no timestep": (([row[:0] for row in ROWS], {}), "`inputs` must have at least one.* 4 empty"),
    "no timestep, pair": (((VALUES[:0], 0 * COUNTS), {}), "`inputs` must have at least one.* 4 empty"),
    "features of one row": (
        ([*ROWS[:3], ROWS[3][:, :2]], {}),
        r"`inputs`.*same features: row 0 has shape \(4, 3\), item 3 is of shape \(2, 2\)",
    ),
    "axes of one row": (([*ROWS[:3], ROWS[3][0]], {}), r"`inputs`.* item 3 is of shape \(3,\)"),
    "a list as a row": (([*ROWS[:3], ROWS[3].tolist()], {}), "`inputs`.* item 3 is a list"),
    "None as a row": (([*ROWS[:3], None], {}), "`inputs`.* item 3 is a NoneType"),
    "a list for the pair": (([VALUES, COUNTS], {}), r"`inputs` as a list.* item 1 is of shape \(4,\)"),
    "sum of lengths": (((VALUES, COUNTS + 1), {}), "`inputs`.*add up to the 7 timesteps.* got 11"),
    "too short lengths": (((VALUES, COUNTS[:1]), {}), "`inputs`.*add up to the 7 timesteps.* got 4"),
    "a negative length": (((VALUES, np.array([4, -1, 2, 2])), {}), r"`inputs`.*integers of at least 0.*-1"),
    "lengths of floats": (((VALUES, COUNTS.astype("f")), {}), "`inputs`.*integers.* got float32"),
    "lengths of bools": (((VALUES[:4], np.ones(4, bool)), {}), "`inputs`.*integers.* got bool"),
    "complex numbers": (([r.astype(complex) for r in ROWS], {}), "`inputs` must hold real.*complex128"),
    "objects": (([r.astype(object) for r in ROWS], {}), "`inputs` must hold real.*object"),
    "strings": (((VALUES.astype(str), COUNTS), {}), "`inputs` must hold real.*<U32"),
    "states of other rows": (
        (ROWS, {"initial_state": [np.ones((3, U), "f")] * 2}),
        r"`initial_state`.*got shapes \[\(3, 5\), \(3, 5\)\], expected \[\(4, 5\), \(4, 5\)\]",
    ),
    "one state": ((ROWS, {"initial_state": [np.ones((B, U), "f")]}), "2 states but was passed 1"),
}
# The messages about states are those of a cell with two.
CASES = [
    (name, case)
    for name in ("lstm", "own", "bidirectional")
    for case in BAD
    if name == "lstm" or "state" not in case
]


@pytest.mark.parametrize(("name", "case"), CASES)
@pytest.mark.parametrize("stateful", [False, True])
def test_errors_name_the_argument_and_change_nothing(name, case, stateful):
    ((inputs, kwargs), message) = BAD[case]
    unbuilt, layer = MAKE[name](stateful=stateful), MAKE[name](stateful=stateful)
    layer(ROWS)
    before, weights = recorded(layer) if stateful else [], [bits(w) for w in layer.get_weights()]
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            layer(inputs, **kwargs)
        with pytest.raises(ValueError, match=message):
            unbuilt(inputs, **kwargs)
    assert [bits(w) for w in layer.get_weights()] == weights
    assert not unbuilt.built
    if stateful:
        assert recorded(layer) == before
        assert any(any(b) for b in before)


@pytest.mark.parametrize("name", MAKE)
def test_a_batch_without_rows_has_no_timestep(name):
    layer = MAKE[name]()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"`inputs` must have at least one timestep.*\(0, 0, 3\)"):
            layer((VALUES[:0], COUNTS[:0]))
        layer(ROWS)


@pytest.mark.parametrize("lengths", [np.array([2**63 - 1, 2**63 - 1, 9]), np.array([2**64 - 1, 8], "u8")])
def test_lengths_whose_sum_wraps_around_do_not_add_up(lengths):
    layer = LSTM(U)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"`inputs`.*(add up to the 7 timesteps|integers of at least 0)"):
            layer((VALUES, lengths))
        layer(ROWS)


@pytest.mark.parametrize("flag", ["unroll", "time_major"])
@pytest.mark.parametrize("name", MAKE)
def test_layers_that_cannot_take_rows_say_so(name, flag):
    layer = MAKE[name](**{flag: True})
    for inputs in (ROWS, (VALUES, COUNTS)):
        with pytest.raises(ValueError, match=f"ragged rows.*{flag}=False"):
            layer(inputs)
    assert not layer.built
    assert layer(normal(B, 4, F)).shape[1] in (U, 2 * U)


@pytest.mark.parametrize("name", [n for n in MAKE if n != "custom"])
def test_rows_that_the_weights_do_not_fit(name):
    layer = MAKE[name](stateful=True)
    layer(ROWS)
    before = recorded(layer)
    with pytest.raises(ValueError, match=r"expected shape=\(4, None, 3\), found shape=\(4, 3, 2\)"):
        layer([normal(n, 2) for n in (3, 1, 0, 2)])
    with pytest.raises(ValueError, match=r"expected shape=\(4, None, 3\), found shape=\(3, 4, 3\)"):
        layer(ROWS[:3])
    assert recorded(layer) == before


@pytest.mark.parametrize("name", [n for n in MAKE if n != "custom"])
def test_keywords_that_dense_calls_refuse_are_refused(name):
    layer = MAKE[name]()
    layer(ROWS)
    with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
        layer(ROWS, foo=1)
    if name in ("lstm", "gru", "simple"):
        with pytest.raises(TypeError, match="unexpected keyword argument 'constants'"):
            layer(ROWS, constants=[np.ones(2)])


def test_an_interrupted_cell_leaves_the_recorded_states():
    class Cell(DoublingCell):
        fails = False

        def call(self, inputs, states):
            if self.fails:
                raise RuntimeError("inside")
            return super().call(inputs, states)

    layer = RNN(Cell(U), stateful=True)
    layer(ROWS)
    before = recorded(layer)
    layer.cell.fails = True
    with pytest.raises(RuntimeError, match="inside"):
        layer(ROWS)
    assert recorded(layer) == before


def test_lists_of_numbers_are_not_rows():
    layer = LSTM(U)
    for bad in ([], [ROWS[0].tolist()], ROWS[0].tolist(), (VALUES, list(LENGTHS))):
        with pytest.raises(ValueError, match="`inputs`"):
            layer(bad)
    assert not layer.built
