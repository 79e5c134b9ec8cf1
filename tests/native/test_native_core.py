"""The native module at its own boundary: dispatch, validation, chunks of time, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from rnnpack import _core

KINDS = {
    "simple_rnn": 1,
    "lstm": 4,
    "gru": 3,
    "gru_reset_before": 3,
    "peephole_lstm": 4,
    "projected_lstm": 4,
}
# Weights that only one kind has.
OWN = {"peephole_lstm": "peepholes", "projected_lstm": "projection_kernel"}


def weights(
    kind: str, features: int, units: int, dtype: Any = np.float32, seed: int = 0
) -> list[NDArray[Any]]:
    """Kernels, bias and the kind's own weights; a projected h has so many units, its gates have more."""
    rng = np.random.default_rng(seed)
    inner = units + 3 if kind == "projected_lstm" else units
    columns = KINDS[kind] * inner
    bias_shape = (2, columns) if kind == "gru" else (columns,)
    arrays = [
        (rng.normal(size=(features, columns)) / np.sqrt(features)).astype(dtype),
        (rng.normal(size=(units, columns)) / np.sqrt(units)).astype(dtype),
        (rng.normal(size=bias_shape) / 10).astype(dtype),
    ]
    if kind == "peephole_lstm":
        arrays.append((rng.normal(size=(3, units)) / 2).astype(dtype))
    if kind == "projected_lstm":
        arrays.append((rng.normal(size=(inner, units)) / np.sqrt(inner)).astype(dtype))
    return arrays


def pack(kind: str, arrays: list[NDArray[Any]], isa: str = "") -> _core.PackedCell:
    own: dict[str, Any] = {OWN[kind]: arrays[3]} if kind in OWN else {}
    return _core.PackedCell(kind, *arrays[:3], "tanh", "sigmoid", isa, **own)


def oracle(kind: str, arrays: list[NDArray[Any]]) -> Any:
    wide = [a.astype(np.float64) for a in arrays]
    own = wide[3] if kind == "peephole_lstm" else wide[3:]
    return reference.CELLS[kind](*wide[:3], "tanh", "sigmoid", *own)


# Dispatch -----------------------------------------------------------------------------------------


def test_the_forced_instruction_set_is_the_one_that_ran() -> None:
    names = _core.available_isas()
    assert names[-1] == "scalar"
    assert names[0] == pack("lstm", weights("lstm", 2, 3)).isa
    for name in names:
        assert pack("lstm", weights("lstm", 2, 3), name).isa == name


def test_instruction_sets_are_really_different_code() -> None:
    """Without FMA the scalar kernels round products, so results differ in the last bits."""
    names = _core.available_isas()
    if len(names) == 1:
        pytest.skip("only the scalar kernels run on this machine")
    arrays = weights("lstm", 64, 64)
    inputs = np.random.default_rng(1).normal(size=(4, 20, 64)).astype(np.float32)
    results = [
        _core.run([pack("lstm", arrays, name)], inputs, None, None, False, False, True, False)[0]
        for name in (names[0], "scalar")
    ]
    assert not np.array_equal(results[0], results[1])
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)


@pytest.mark.parametrize("name", ["avx3", "AVX2", "native", " scalar"])
def test_unknown_instruction_set_names_the_available_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"RNNPACK_ISA\): expected .*scalar.* got "):
        pack("lstm", weights("lstm", 2, 3), name)


# Chunks of time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_long_sequences_cross_chunks_of_projected_steps(kind: str, masked: bool, isa: str) -> None:
    """Stacked, backwards, with rows that start and stop anywhere.

    A chunk projects at most half a megabyte for small cells: about 140 steps of these three rows.
    """
    batch, steps, features, units = 3, 400, 3, 70
    rng = np.random.default_rng(2)
    first, second = weights(kind, features, units), weights("lstm", units, units, seed=1)
    inputs = rng.normal(size=(batch, steps, features)).astype(np.float32)
    mask = rng.random((batch, steps)) > 0.4 if masked else None
    outputs, states = _core.run(
        [pack(kind, first, isa), pack("lstm", second, isa)], inputs, None, mask, False, True, True, False
    )
    layer = reference.Layer(
        (oracle(kind, first), oracle("lstm", second)), return_sequences=True, go_backwards=True
    )
    exact = reference.run(layer, inputs, mask)
    # One step rounds about units + features + 6 activations = 80 times; cells with these weights forget,
    # so the errors of many steps add up to no more than some 30 steps' worth.
    bound = 30 * 80 * np.finfo(np.float32).eps
    np.testing.assert_allclose(outputs, exact.output, atol=bound)
    for state, expected in zip(states, exact.states, strict=True):
        np.testing.assert_allclose(state, expected, atol=bound)


def test_row_results_do_not_depend_on_the_batch_around_them(isa: str) -> None:
    arrays = weights("gru", 7, 37)
    inputs = np.random.default_rng(3).normal(size=(23, 9, 7)).astype(np.float32)
    cell = pack("gru", arrays, isa)
    together, _ = _core.run([cell], inputs, None, None, False, False, True, False)
    for row in range(23):
        alone, _ = _core.run([cell], inputs[row : row + 1], None, None, False, False, True, False)
        np.testing.assert_array_equal(alone[0], together[row])


def test_masked_rows_are_never_read(isa: str) -> None:
    arrays = weights("gru_reset_before", 4, 6)
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(5, 8, 4)).astype(np.float32)
    mask = rng.random((5, 8)) > 0.5
    cell = pack("gru_reset_before", arrays, isa)
    clean, states = _core.run([cell], inputs, None, mask, False, False, True, False)
    inputs[~mask] = np.nan
    dirty, dirty_states = _core.run([cell], inputs, None, mask, False, False, True, False)
    np.testing.assert_array_equal(clean, dirty)
    np.testing.assert_array_equal(states[0], dirty_states[0])


# Validation ---------------------------------------------------------------------------------------


def call(cells: Any, inputs: Any, states: Any = None, mask: Any = None) -> Any:
    return _core.run(cells, inputs, states, mask, False, False, True, False)


CELL = pack("lstm", weights("lstm", 3, 4))
WIDE = pack("lstm", weights("lstm", 3, 4, np.float64))
X = np.zeros((2, 5, 3), np.float32)
STATE = np.zeros((2, 4), np.float32)
BAD_CALLS: list[tuple[type[Exception], str, tuple[Any, ...]]] = [
    (ValueError, r"cells: expected at least one", ([], X)),
    (TypeError, r"cells: expected PackedCell of dtype float32", ([CELL, WIDE], X)),
    (TypeError, r"cells: expected PackedCell, got <class 'NoneType'>", ([CELL, None], X)),
    (TypeError, r"incompatible function arguments", ({CELL}, X)),
    (ValueError, r"cells: expected cell 1 to read 4 features, it reads 3", ([CELL, CELL], X)),
    (TypeError, r"inputs: expected a NumPy array", ([CELL], X.tolist())),
    (TypeError, r"inputs: expected dtype float32, got float64", ([CELL], X.astype(np.float64))),
    (TypeError, r"inputs: expected dtype float32", ([CELL], X.astype(">f4"))),
    (TypeError, r"inputs: expected dtype float32, got object", ([CELL], X.astype(object))),
    (ValueError, r"inputs: expected 3 dimensions, got shape \(2, 5\)", ([CELL], X[:, :, 0])),
    (ValueError, r"inputs: expected 3 features .*\(2, 5, 2\)", ([CELL], X[:, :, :2])),
    (ValueError, r"inputs: expected at least one timestep, .*\(2, 0, 3\)", ([CELL], X[:, :0])),
    (ValueError, r"states: expected 2 arrays, got 3", ([CELL], X, [STATE] * 3)),
    (ValueError, r"states: expected 2 arrays, got 1", ([CELL], X, [STATE])),
    (ValueError, r"states\[1\]: expected shape \(2, 4\), got \(1, 4\)", ([CELL], X, [STATE, STATE[:1]])),
    (TypeError, r"states\[0\]: expected dtype float32", ([CELL], X, [STATE.astype(int), STATE])),
    (TypeError, r"mask: expected dtype bool, got float64", ([CELL], X, None, np.ones((2, 5)))),
    (ValueError, r"mask: expected shape \(2, 5\), got \(5, 2\)", ([CELL], X, None, np.ones((5, 2), bool))),
]


@pytest.mark.parametrize(("error", "message", "arguments"), BAD_CALLS)
def test_bad_arguments_of_run_name_the_argument(
    error: type[Exception], message: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(error, match=message):
        call(*arguments)


KERNEL, RECURRENT, BIAS = weights("gru", 3, 4)
DOUBLE = KERNEL.astype(np.float64)
BAD_CELLS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (ValueError, r"kind: expected one of simple_rnn, lstm", {"kind": "rnn"}),
    (ValueError, r"activation: expected one of .* got 'softmax'", {"activation": "softmax"}),
    (ValueError, r"recurrent_activation: expected one of", {"recurrent_activation": "no"}),
    (ValueError, r"kernel: expected shape \(3, 12\)", {"kernel": KERNEL[:, :8]}),
    (ValueError, r"recurrent_kernel: expected shape \(4, 12\)", {"recurrent_kernel": RECURRENT[:, :8]}),
    (ValueError, r"recurrent_kernel: .*units >= 1", {"recurrent_kernel": RECURRENT[:0]}),
    (ValueError, r"bias: expected shape \(2, 12\)", {"bias": BIAS[0]}),
    (TypeError, r"bias: expected dtype float32", {"bias": BIAS.astype(np.float64)}),
    (TypeError, r"recurrent_kernel: expected dtype float64", {"kernel": DOUBLE}),
    (ValueError, r"peepholes: expected None for kind 'gru', got an array", {"peepholes": KERNEL}),
    (ValueError, r"projection_kernel: expected None for kind 'gru'", {"projection_kernel": KERNEL}),
]


@pytest.mark.parametrize(("error", "message", "changed"), BAD_CELLS)
def test_bad_arguments_of_packed_cell_name_the_argument(
    error: type[Exception], message: str, changed: dict[str, Any]
) -> None:
    good = {"kind": "gru", "kernel": KERNEL, "recurrent_kernel": RECURRENT, "bias": BIAS}
    names = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    with pytest.raises(error, match=message):
        _core.PackedCell(**{**good, **names, **changed})


BAD_OWN: list[tuple[type[Exception], str, str, Any]] = [
    (TypeError, r"peepholes: expected a NumPy array, got .*NoneType", "peephole_lstm", None),
    (TypeError, r"peepholes: expected dtype float32, got float64", "peephole_lstm", np.zeros((3, 4))),
    (ValueError, r"peepholes: expected shape \(3, 4\), got \(4, 3\)", "peephole_lstm", np.zeros((4, 3), "f")),
    (ValueError, r"peepholes: expected shape \(3, 4\), got \(12,\)", "peephole_lstm", np.zeros(12, "f")),
    (TypeError, r"projection_kernel: expected a NumPy array", "projected_lstm", None),
    (TypeError, r"projection_kernel: expected dtype float32", "projected_lstm", np.zeros((7, 4))),
    (ValueError, r"recurrent_kernel: expected shape \(4, 24\)", "projected_lstm", np.zeros((6, 4), "f")),
    *(
        (ValueError, r"projection_kernel: expected shape \(units, 4\) with units >= 1", "projected_lstm", bad)
        for bad in (np.zeros((7, 3), "f"), np.zeros((0, 4), "f"), np.zeros(4, "f"), np.zeros((7, 4, 1), "f"))
    ),
]


@pytest.mark.parametrize(("error", "message", "kind", "own"), BAD_OWN)
def test_bad_weights_of_one_kind_name_the_argument(
    error: type[Exception], message: str, kind: str, own: Any
) -> None:
    with pytest.raises(error, match=message):
        pack(kind, [*weights(kind, 3, 4)[:3], own])


def test_sizes_of_a_projected_cell() -> None:
    cell = pack("projected_lstm", weights("projected_lstm", 2, 4))
    assert (cell.input_size, cell.units, cell.output_size, cell.state_count) == (2, 7, 4, 2)
    x, h, c = np.zeros((2, 5, 2), "f"), np.zeros((2, 4), "f"), np.zeros((2, 7), "f")
    outputs, states = call([cell], x, [h, c])
    assert (outputs.shape, [s.shape for s in states]) == ((2, 5, 4), [(2, 4), (2, 7)])
    for bad in ([c, c], [h, h], [c, h]):
        with pytest.raises(ValueError, match=r"states\[[01]\]: expected shape \(2, [47]\)"):
            call([cell], x, bad)
    with pytest.raises(ValueError, match=r"cells: expected cell 1 to read 4 features, it reads 7"):
        call([cell, pack("lstm", weights("lstm", 7, 3))], x)


def test_outputs_too_large_to_address_are_refused_before_any_allocation() -> None:
    cell = pack("simple_rnn", weights("simple_rnn", 1, 300))
    endless = np.broadcast_to(np.zeros(1, np.float32), (2**30, 2**30, 1))
    with pytest.raises(ValueError, match=r"inputs: .* too large to address"):
        call([cell], endless)


def test_odd_but_legal_arrays_give_the_same_bits(isa: str) -> None:
    cell = pack("lstm", weights("lstm", 3, 4), isa)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(4, 6, 3)).astype(np.float32)
    states = [rng.normal(size=(4, 4)).astype(np.float32) for _ in range(2)]
    expected = call([cell], x, states)

    misaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    assert not misaligned.flags.aligned
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.zeros((4, 6, 6), np.float32)
    wide[:, :, ::2] = x
    variants = {
        "misaligned": misaligned,
        "read-only": read_only,
        "negative": np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        "last axis strided": wide[:, :, ::2],
        "Fortran": np.asfortranarray(x),
    }
    for name, array in variants.items():
        before = array.copy()
        outputs, final = call([cell], array, [np.asfortranarray(s) for s in states])
        np.testing.assert_array_equal(outputs, expected[0], err_msg=name)
        np.testing.assert_array_equal(final[1], expected[1][1], err_msg=name)
        np.testing.assert_array_equal(array, before, err_msg=name)
    constant = np.broadcast_to(x[:1, :1], x.shape)  # zero strides
    np.testing.assert_array_equal(call([cell], constant)[0], call([cell], constant.copy())[0])


def test_batch_of_zero_rows_gives_empty_arrays(isa: str) -> None:
    cell = pack("lstm", weights("lstm", 3, 4), isa)
    outputs, states = call([cell], np.zeros((0, 5, 3), np.float32), None, np.zeros((0, 5), bool))
    assert outputs.shape == (0, 5, 4)
    assert [s.shape for s in states] == [(0, 4), (0, 4)]


# The process around the kernels -------------------------------------------------------------------


def test_the_callers_floating_point_mode_survives() -> None:
    """Kernels flush denormals; the caller's own arithmetic must not."""
    cell = pack("lstm", weights("lstm", 3, 4))
    call([cell], np.zeros((1, 2, 3), np.float32))
    denormal = np.full(8, 1e-40, np.float32)
    assert np.all(denormal * np.float32(1.0) > 0)


def test_ctrl_c_stops_a_long_native_call() -> None:
    """Run in a process of its own: the signal must reach the main thread while the kernels hold it."""
    program = """
        import signal, time
        import numpy as np
        from rnnpack import _core
        units, steps = 256, 60_000
        eye = np.zeros((units, 4 * units), np.float32)
        cell = _core.PackedCell("lstm", eye[:1], eye, None, "tanh", "sigmoid", "")
        inputs = np.zeros((16, steps, 1), np.float32)
        start = time.monotonic()
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            _core.run([cell], inputs, None, None, False, False, False, False)
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - start)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    word, seconds = done.stdout.split()
    assert word == "interrupted"
    assert float(seconds) < 3, "a whole call would take several seconds more"


class FreshCells:
    """A sequence that makes its items anew each time: nobody but the callee holds them."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> _core.PackedCell:
        if index > 0:
            raise IndexError
        return pack("lstm", weights("lstm", 1, 256))


def run_with_handler(cells: Any, handler: Any) -> Any:
    """A native call of half a second or so that is interrupted by `handler` in the middle."""
    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        return call(cells, np.zeros((16, 8000, 1), np.float32))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_cells_live_as_long_as_the_call() -> None:
    expected = call([pack("lstm", weights("lstm", 1, 256))], np.ones((2, 3, 1), np.float32))
    fresh = call(FreshCells(), np.ones((2, 3, 1), np.float32))
    np.testing.assert_array_equal(fresh[0], expected[0])
    cells = [pack("lstm", weights("lstm", 1, 256))]
    outputs, _ = run_with_handler(cells, lambda *_: cells.clear())
    assert cells == [] and np.all(np.isfinite(outputs))


def test_signal_handlers_run_in_the_callers_floating_point_mode() -> None:
    seen: list[float] = []
    denormal = np.array([1e-40], np.float32)
    cell = pack("lstm", weights("lstm", 1, 256))
    run_with_handler([cell], lambda *_: seen.append(float((denormal * np.float32(1))[0])))
    assert seen and seen[0] > 0


def test_no_rows_cost_no_time_however_long_the_sequence(isa: str) -> None:
    cell = pack("simple_rnn", weights("simple_rnn", 1, 2), isa)
    outputs, states = _core.run(
        [cell], np.empty((0, 2**50, 1), np.float32), None, None, False, False, False, False
    )
    assert outputs.shape == (0, 2)
    assert states[0].shape == (0, 2)


def test_other_python_threads_run_while_kernels_do() -> None:
    """The lock is released: a thread counts on while one long call runs."""
    import threading

    cell = pack("lstm", weights("lstm", 1, 128))
    inputs = np.zeros((64, 300, 1), np.float32)
    ticks = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        before = ticks
        call([cell], inputs)
        during = ticks - before
    finally:
        stop.set()
        thread.join()
    assert during >= 2


def test_environment_variable_reaches_the_kernels() -> None:
    program = "import rnnpack; print(rnnpack.LSTM(3).explain())"
    for name in _core.available_isas():
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "RNNPACK_ISA": name},
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"/{name}/" in done.stdout


def test_a_cell_without_weights_cannot_be_made() -> None:
    """Reading one would read memory that was never written."""
    for make in (_core.PackedCell.__new__, object.__new__, _core.PackedCell.__mro__[1].__new__):
        with pytest.raises(TypeError):
            make(_core.PackedCell)
    with pytest.raises(TypeError):
        type("Derived", (_core.PackedCell,), {})
