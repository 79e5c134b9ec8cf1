"""Streams as objects: the inputs and `out` that they accept, and those they refuse without a change."""

from __future__ import annotations

import numpy as np
import pytest
from contract.contract_cells import bits, randomise
from stream_cases import MAKE, B, F, T, U, X, begun, held

from rnnpack import LSTM, Bidirectional

# Inputs -------------------------------------------------------------------------------------------

LAYOUTS = {
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "fortran": np.asfortranarray,
    "gaps": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "read only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "misaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), "u1")[1:].view(a.dtype).reshape(a.shape),
    "metadata": lambda a: a.astype(np.dtype(a.dtype, metadata={"unit": "m"})),
    "bytes swapped twice": lambda a: a.astype(a.dtype.newbyteorder().newbyteorder()),
    "float64": lambda a: a.astype("f8"),
    "float16": lambda a: a.astype("f2"),
    "int8": lambda a: a.astype("i1"),
    "int64": lambda a: a.astype("i8"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", MAKE)
def test_layout_and_dtype_of_the_inputs_never_change_a_bit(name, layout):
    layer = MAKE[name]()
    randomise(layer, (None, None, F))
    plain, other = layer.stream(B), layer.stream(B)
    for t in range(T):
        want, got = plain(X[:, t].copy()), other(LAYOUTS[layout](X[:, t]))
        assert (got.dtype, bits(got)) == (want.dtype, bits(want))
    assert held(plain) == held(other)


def record_field(size, fill=0.0):
    """One row out of a record whose size is no multiple of a float's, as records of a file may be."""
    records = np.zeros(1, np.dtype([("values", "f4", (size,)), ("flag", "u1")]))
    records["values"] = fill
    return records["values"]


@pytest.mark.parametrize("name", MAKE)
def test_one_row_out_of_a_record(name):
    layer, stream = begun(name, batch=1)
    other = layer.stream(1)
    other(X[:1, 0] + 1)
    want = other(np.full((1, F), 2, "f"))
    out = record_field(U)
    assert stream(record_field(F, 2), out=out) is out
    assert bits(out) == bits(want)


def test_inputs_of_bools():
    layer = LSTM(U)
    x = X[:, 0] > 0
    np.testing.assert_array_equal(layer.stream(B)(x), layer.stream(B)(x.astype("f")))


@pytest.mark.parametrize("name", MAKE)
def test_the_first_step_builds(name):
    layer = MAKE[name]()
    stream = layer.stream(B)
    for use in (lambda: stream.states, lambda: setattr(stream, "states", [])):
        with pytest.raises(ValueError, match=r"not built.*take a step"):
            use()
    with pytest.raises(ValueError, match=r"`inputs` must have shape \(4, features\), got \(3, 3\)"):
        stream(X[:3, 0])
    assert not layer.built
    stream.reset()
    stream.reset([0])
    got = stream(X[:, 0])
    assert layer.built
    np.testing.assert_array_equal(stream(X[:, 1]), run_two(layer))
    assert got.shape == (B, U)


def run_two(layer):
    """The second output of a new stream."""
    stream = layer.stream(B)
    stream(X[:, 0])
    return stream(X[:, 1])


BAD_INPUTS = {
    "one axis": (X[0, 0], r"`inputs` must have shape \(4, features\), got \(3,\)"),
    "three axes": (
        X[:, :1],
        r"\(4, features\), got \(4, 1, 3\)|expected (ndim=3|shape=\(None, None, 3\))|expects inputs of shape",
    ),
    "rows": (X[:3, 0], r"inputs.*\(4, .*got \(3, 3\)"),
    "no rows": (X[:0, 0], r"inputs.*\(4, .*got \(0, 3\)"),
    "features": (X[:, 0, :2], r"expected shape[ =]\((4|None, None), 3\).*\(4, (1, )?2\)"),
    "complex": (X[:, 0].astype(complex), "`inputs` must hold real numbers.*complex128"),
    "objects": (X[:, 0].astype(object), "`inputs` must hold real numbers.*object"),
    "strings": (X[:, 0].astype(str), "`inputs` must hold real numbers.*<U32"),
    "a list": (X[:, 0].tolist(), "`inputs` must be an array.*got float"),
    "None": (None, "`inputs` must be an array.*got NoneType"),
    "a scalar": (np.float32(1), r"`inputs`.*got \(\)"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
@pytest.mark.parametrize("name", [n for n in MAKE if n != "custom"])
def test_inputs_that_do_not_fit_change_nothing(name, case):
    _, stream = begun(name)
    before, out = held(stream), np.full((B, U), 7, "f")
    inputs, message = BAD_INPUTS[case]
    for given in (None, out):
        with pytest.raises(ValueError, match=message):
            stream(inputs, out=given)
    assert held(stream) == before
    assert (out == 7).all()


@pytest.mark.parametrize("case", [c for c in BAD_INPUTS if c != "features"])
@pytest.mark.parametrize("name", [n for n in MAKE if n != "custom"])
def test_inputs_that_do_not_fit_build_nothing(name, case):
    layer = MAKE[name]()
    stream = layer.stream(B)
    inputs, message = BAD_INPUTS[case]
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            stream(inputs)
    assert not layer.built
    assert stream(X[:, 0]).shape == (B, U)


@pytest.mark.parametrize("size", [0, -1, 2.0, 2.5, "2", None, True, [2]])
def test_batch_sizes_that_are_none(size):
    with pytest.raises(ValueError, match=r"`batch_size` must be a positive integer, got "):
        LSTM(U).stream(size)


def test_more_rows_than_there_is_memory_for():
    layer = LSTM(U)
    layer.build((None, None, F))
    with pytest.raises(MemoryError):
        layer.stream(2**62)


def test_layers_that_cannot_stream():
    with pytest.raises(ValueError, match="go_backwards=True"):
        LSTM(U, go_backwards=True).stream(B)

    class Other(LSTM):
        def call(self, inputs, **kwargs):
            return super().call(inputs, **kwargs)

    with pytest.raises(ValueError, match="Other has a `call`"):
        Other(U).stream(B)
    assert not hasattr(Bidirectional(LSTM(U)), "stream")
    assert LSTM(U).stream(np.int64(B))(X[:, 0]).shape == (B, U)


# out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKE)
def test_out_is_what_is_returned(name):
    layer, stream = begun(name)
    other = layer.stream(B)
    other(X[:, 0] + 1)
    out = np.empty((B, U), "f")
    for t in range(T):
        want = other(X[:, t])
        assert stream(X[:, t], out=out) is out
        assert bits(out) == bits(want)
        assert stream(X[:, t].astype(int), out) is out
        other(X[:, t])
        assert not np.shares_memory(want, out)
    assert held(stream) == held(other)


@pytest.mark.parametrize("name", MAKE)
def test_out_with_a_dtype_object_of_its_own(name):
    _, stream = begun(name)
    out = np.zeros((B, U), np.dtype("f4", metadata={"unit": "m"}))
    assert stream(X[:, 1], out=out) is out
    assert out.any()


def test_out_of_the_first_step():
    out = np.empty((B, U), "f")
    assert LSTM(U).stream(B)(X[:, 0], out=out) is out
    assert np.isfinite(out).all()


@pytest.mark.parametrize("name", MAKE)
def test_out_may_be_rows_of_a_larger_array(name):
    layer, stream = begun(name)
    board = np.full((2 * B, 3 * U), 7, "f")
    stream(X[:, 1], out=board[::2, U : 2 * U])
    other = layer.stream(B)
    other(X[:, 0] + 1)
    assert bits(board[::2, U : 2 * U]) == bits(other(X[:, 1]))
    board[::2, U : 2 * U] = 7
    assert (board == 7).all()


def frozen():
    """An array that cannot be written to."""
    out = np.zeros((B, U), "f")
    out.flags.writeable = False
    return out


BAD_OUTS = {
    "shape": np.zeros((U, B), "f"),
    "too few rows": np.zeros((B - 1, U), "f"),
    "broadcast rows": np.zeros((1, U), "f"),
    "too many axes": np.zeros((1, B, U), "f"),
    "wider": np.zeros((B, U + 1), "f"),
    "float64": np.zeros((B, U)),
    "integers": np.zeros((B, U), int),
    "swapped bytes": np.zeros((B, U), np.dtype("f4").newbyteorder()),
    "read only": frozen(),
    "a list": [[0.0] * U] * B,
    "no array": object(),
}


@pytest.mark.parametrize("case", BAD_OUTS)
@pytest.mark.parametrize("name", MAKE)
def test_an_out_that_does_not_fit_changes_nothing(name, case):
    _, stream = begun(name)
    before = held(stream)
    with pytest.raises(ValueError, match=r"\bout\b"):
        stream(X[:, 1], out=BAD_OUTS[case])
    assert held(stream) == before


@pytest.mark.parametrize("name", ["lstm", "gru", "stack"])
def test_out_must_have_contiguous_rows_and_memory_of_its_own(name):
    _, stream = begun(name)
    before, buffer = held(stream), np.zeros((B, 2 * U), "f")
    for out in (buffer[:, ::2], np.zeros((U, B), "f").T):
        with pytest.raises(ValueError, match=r"out: expected .* contiguous rows"):
            stream(X[:, 1], out=out)
    for inputs, out in ((buffer[:, 3 : 3 + F], buffer[:, :U]), (buffer[:, :F], buffer[:, :U])):
        with pytest.raises(ValueError, match="out: expected memory of its own"):
            stream(inputs, out=out)
    assert held(stream) == before
    assert not buffer.any()


@pytest.mark.parametrize("name", ["lstm", "gru", "stack"])
def test_out_may_not_share_memory_with_inputs_that_are_cast(name):
    _, stream = begun(name)
    buffer = np.zeros(400, "f")
    inputs, out = buffer.view("f8")[: B * F].reshape(B, F), buffer[: B * U].reshape(B, U)
    want = begun(name)[1](inputs.copy())
    try:
        stream(inputs, out=out)
    except ValueError as error:
        assert "out" in str(error)
    else:
        np.testing.assert_array_equal(out, want)
