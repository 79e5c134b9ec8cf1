"""`_core` for CUDA: what it refuses, in the words of the functions for the CPU, and what it computes."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

from rnnpack import _core, cuda
from rnnpack.cuda import memory

pytestmark = pytest.mark.usefixtures("loaded")

B, T, F, U = 2, 3, 4, 5
RANDOM = np.random.default_rng(7)


@pytest.fixture
def loaded(cuda_plugin: None) -> None:
    assert cuda.why_not() is None


def normal(*shape: int, dtype: str = "f4") -> Any:
    return RANDOM.normal(size=shape).astype(dtype)


def weights(kind: str = "lstm", features: int = F, units: int = U, dtype: str = "f4") -> dict[str, Any]:
    """Arguments of `PackedCell` and `CudaCell`, without those that are of one of them alone."""
    gates = {"simple_rnn": 1, "gru": 3}.get(kind, 4)
    outputs = 2 if kind == "projected_lstm" else units
    return {
        "kind": kind,
        "kernel": normal(features, gates * units, dtype=dtype),
        "recurrent_kernel": normal(outputs, gates * units, dtype=dtype),
        "bias": normal(2, gates * units, dtype=dtype)
        if kind == "gru"
        else normal(gates * units, dtype=dtype),
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "peepholes": normal(3, units, dtype=dtype) if kind == "peephole_lstm" else None,
        "projection_kernel": normal(units, 2, dtype=dtype) if kind == "projected_lstm" else None,
    }


def pair(number_format: str = "float32", **sizes: Any) -> tuple[_core.PackedCell, _core.CudaCell]:
    """The same cell for the CPU and for the GPU."""
    given = weights(**sizes, dtype="f8" if number_format == "float64" else "f4")
    return _core.PackedCell(**given), _core.CudaCell(**given, device=0, number_format=number_format)


def cuda_cell(number_format: str = "float32", **sizes: Any) -> _core.CudaCell:
    return pair(number_format, **sizes)[1]


def error(function: Any, *arguments: Any, **keywords: Any) -> tuple[type, str]:
    """The exception's type and text."""
    with pytest.raises((ValueError, TypeError)) as caught:
        function(*arguments, **keywords)
    return caught.type, str(caught.value)


@pytest.mark.parametrize("kind", ["simple_rnn", "lstm", "gru", "peephole_lstm", "projected_lstm"])
@pytest.mark.parametrize("number_format", ["float32", "tf32", "bfloat16", "float16", "float64"])
def test_what_a_cell_says_of_itself(kind: str, number_format: str) -> None:
    packed, made = pair(number_format, kind=kind)
    assert (made.kind, made.number_format, made.device) == (kind, number_format, 0)
    assert (made.input_size, made.units, made.dtype) == (F, U, packed.dtype)
    assert made.output_size == (2 if kind == "projected_lstm" else U)
    assert made.state_count == (2 if "lstm" in kind else 1)
    assert made.nbytes > 0


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("lstm", {"kind": "nonsense"}),
        ("lstm", {"activation": "softmax"}),
        ("lstm", {"recurrent_activation": ""}),
        ("lstm", {"kernel": None}),
        ("lstm", {"kernel": [[1.0]]}),
        ("lstm", {"kernel": normal(F, 4 * U).astype(">f4")}),
        ("lstm", {"kernel": normal(F, 4 * U + 1)}),
        ("lstm", {"kernel": normal(F)}),
        ("lstm", {"recurrent_kernel": normal(U, 3 * U)}),
        ("lstm", {"recurrent_kernel": normal(0, 0)}),
        ("lstm", {"recurrent_kernel": normal(U, 4 * U, 1)}),
        ("lstm", {"recurrent_kernel": normal(U, 4 * U, dtype="f8")}),
        ("lstm", {"bias": normal(U)}),
        ("lstm", {"bias": normal(2, 4 * U)}),
        ("lstm", {"bias": 0.0}),
        ("gru", {"bias": normal(3 * U)}),
        ("lstm", {"peepholes": normal(3, U)}),
        ("lstm", {"projection_kernel": normal(U, 2)}),
        ("peephole_lstm", {"peepholes": None}),
        ("peephole_lstm", {"peepholes": normal(2, U)}),
        ("projected_lstm", {"projection_kernel": None}),
        ("projected_lstm", {"projection_kernel": normal(U, 3)}),
        ("projected_lstm", {"projection_kernel": normal(0, 2)}),
        ("projected_lstm", {"projection_kernel": normal(2)}),
    ],
)
def test_bad_weights_are_refused_as_for_the_cpu(kind: str, changes: dict[str, Any]) -> None:
    given = {**weights(kind), **changes}
    want = error(_core.PackedCell, **given)
    assert error(_core.CudaCell, **given, device=0, number_format="float32") == want


def test_bad_devices_and_formats() -> None:
    given = weights()
    assert "number_format" in error(_core.CudaCell, **given, device=0, number_format="int8")[1]
    assert "device: expected" in error(_core.CudaCell, **given, device=-1, number_format="float32")[1]
    with pytest.raises(RuntimeError, match="device"):
        _core.CudaCell(**given, device=9999, number_format="float32")
    wide = {"kernel": np.zeros((0, 1 << 22), "f4"), "recurrent_kernel": np.zeros((1, 1 << 22), "f4")}
    wide |= {"projection_kernel": np.zeros((1 << 20, 1), "f4"), "bias": None}
    with pytest.raises(ValueError, match=r"units: at most .* got 1048576"):
        _core.CudaCell(**{**weights("projected_lstm"), **wide}, device=0, number_format="float32")
    with pytest.raises(TypeError, match="expected dtype float64"):
        _core.CudaCell(**given, device=0, number_format="float64")
    with pytest.raises(TypeError, match="expected dtype float32"):
        _core.CudaCell(**weights(dtype="f8"), device=0, number_format="tf32")


ORDINARY: dict[str, Any] = {
    "inputs": normal(B, T, F),
    "states": None,
    "mask": None,
    "time_major": False,
    "go_backwards": False,
    "return_sequences": True,
    "zero_output_for_mask": False,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": normal(B, T, F + 1)},
        {"inputs": normal(B, F)},
        {"inputs": normal(B, 0, F)},
        {"inputs": normal(B, T, F, dtype="f8")},
        {"inputs": None},
        {"states": [normal(B, U)]},
        {"states": [normal(B, U)] * 3},
        {"states": [normal(B, U), normal(B, U + 1)]},
        {"states": [normal(B + 1, U), normal(B, U)]},
        {"states": [normal(B, U), normal(B, U, dtype="f8")]},
        {"states": [None, None]},
        {"mask": np.ones((T, B), bool)},
        {"mask": np.ones((B, T), "u1")},
        {"mask": [[True]]},
        {"inputs": normal(T, F), "row_splits": np.array([0, 2])},
        {"inputs": normal(T, F), "row_splits": np.array([1, 3])},
        {"inputs": normal(T, F), "row_splits": np.array([0, 2, 1, 3])},
        {"inputs": normal(T, F), "row_splits": np.array([0, 4])},
        {"inputs": normal(T, F), "row_splits": np.array([0, 3], "i4")},
        {"inputs": normal(T, F), "row_splits": np.array([], "i8")},
        {"inputs": normal(B, T, F), "row_splits": np.array([0, 3])},
        {"inputs": normal(T, F), "row_splits": np.array([0, 3]), "mask": np.ones((1, T), bool)},
        {"inputs": normal(0, F), "row_splits": np.array([0, 0])},
    ],
)
def test_runs_refuse_what_the_cpu_refuses(changes: dict[str, Any]) -> None:
    packed, made = pair()
    given = {**ORDINARY, **changes}
    assert error(_core.cuda_run, [made], **given) == error(_core.run, [packed], **given)
    both = {**given, "forward_states": given["states"], "backward_states": None, "concatenate": True}
    del both["states"]
    want = error(_core.run_bidirectional, [packed], [packed], **both)
    assert error(_core.cuda_run_bidirectional, [made], [made], **both) == want


def test_stacks_that_do_not_fit() -> None:
    packed, made = pair()
    for function, cells in ((_core.run, [packed, packed]), (_core.cuda_run, [made, made])):
        text = error(function, cells, **ORDINARY)
        assert text == (ValueError, "cells: expected cell 1 to read 5 features, it reads 4")
    for cells in ([], [packed], [None], [made, packed]):
        assert "CudaCell" in error(_core.cuda_run, cells, **ORDINARY)[1]
    tf32, double = cuda_cell("tf32", features=U), cuda_cell("float64", features=U)
    text = error(_core.cuda_run, [made, tf32], **ORDINARY)
    assert text == (ValueError, "cells: expected all of one number format, got float32 and tf32")
    assert error(_core.cuda_run, [made, double], **ORDINARY)[0] is TypeError


def test_directions_may_differ_in_format_but_not_in_dtype() -> None:
    (packed, made), tf32, double = pair(), cuda_cell("tf32"), cuda_cell("float64")
    given = {**ORDINARY, "forward_states": None, "backward_states": None, "concatenate": False}
    del given["states"]
    outputs, *_ = _core.cuda_run_bidirectional([made], [tf32], **given)
    want, *_ = _core.run_bidirectional([packed], [packed], **given)
    np.testing.assert_allclose(outputs[0], want[0], rtol=1e-5, atol=1e-5)
    alone, *_ = _core.cuda_run([tf32], **{**ORDINARY, "go_backwards": True})
    # Either may sum in another order; the products are of the same rounded values.
    np.testing.assert_allclose(outputs[1], alone[:, ::-1], rtol=1e-5, atol=1e-5)
    assert error(_core.cuda_run_bidirectional, [made], [double], **given)[0] is TypeError
    other = cuda_cell(features=F + 1)
    assert (
        "backward_cells: expected 4 input" in error(_core.cuda_run_bidirectional, [made], [other], **given)[1]
    )


def call(*stacks: Any, **changes: Any) -> _core.CudaCall:
    """A call on addresses that nothing is at: not to be run."""
    parts = {"inputs": (4096, F, T * F, 1), "initial": None, "final": None, "outputs": (4096, U, T * U)}
    parts |= {name: changes.pop(name) for name in list(changes) if name in parts}
    directions = [(cells, *parts.values(), False, index == 1) for index, cells in enumerate(stacks)]
    given = {"batch": B, "timesteps": T, "element": "float32", "mask": None, "return_sequences": True}
    return _core.CudaCall(**{**given, "zero_output_for_mask": False, "directions": directions, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timesteps": 0}, "timesteps: expected at least one"),
        ({"element": "int8"}, "element"),
        ({"inputs": (0, 1, 1, 1)}, "inputs: expected an address, got 0"),
        ({"outputs": (0, 1, 1)}, "outputs: expected an address, got 0"),
        ({"mask": (0, 1, 1)}, "mask: expected an address, got 0"),
        ({"initial": [4096]}, "initial states: expected 2 addresses, got 1"),
        ({"initial": []}, "initial states: expected 2 addresses, got 0"),
        ({"final": [4096] * 3}, "final states: expected 2 addresses, got 3"),
        ({"final": [4096, 0]}, "final states: expected addresses, got 0"),
        ({"row_splits": 4096}, "expected batch strides of zero with row_splits"),
        ({"row_splits": 4096, "inputs": (4096, F, 0, 1)}, "expected batch strides of zero with row_splits"),
        ({"row_splits": 4096, "mask": (4096, 1, 1)}, "mask: expected None with row_splits"),
        ({"directions": []}, "directions: expected one or two, got 0"),
        ({"batch": 2**62}, "too large to address"),
        ({"element": "float64"}, "expected CudaCell of dtype float64"),
    ],
)
def test_calls_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    cell = cuda_cell()
    with pytest.raises((ValueError, TypeError), match=message):
        call([cell], **changes)
    for name in ("batch", "timesteps"):
        with pytest.raises(TypeError):
            call([cell], **{name: -1})


def test_cells_of_a_call_that_do_not_fit() -> None:
    cell, tf32 = cuda_cell(), cuda_cell("tf32", features=U)
    for stacks, message in (
        ([[cell, tf32]], "one number format, got float32 and tf32"),
        ([[cell]] * 3, "directions: expected one or two, got 3"),
        ([[cell], [cuda_cell("float64")]], "expected CudaCell of dtype float32"),
        ([[cell], []], "expected at least one CudaCell"),
        ([[_core.PackedCell(**weights())]], "expected CudaCell"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            call(*stacks)
    call([cell], [cuda_cell("tf32")])


def test_workspaces_and_empty_batches() -> None:
    one = call([cuda_cell()])
    if one.workspace_bytes:
        with pytest.raises(ValueError, match=f"address of {one.workspace_bytes} bytes, got 0"):
            one.run(0, 0)
    with pytest.raises(ValueError, match="aligned to 256"):
        one.run(4096 + 128, 0)
    empty = call([cuda_cell()], batch=0, inputs=(0, 0, 0, 0), outputs=(0, 0, 0))
    assert empty.workspace_bytes == 0
    empty.run(0, 0)


def test_a_call_in_place_gives_what_the_cpu_gives() -> None:
    packed, made = pair()
    x = ORDINARY["inputs"]
    want, final = _core.run([packed], **ORDINARY)
    arrays = {name: cuda.Array(shape, "float32", 0) for name, shape in (("x", x.shape), ("y", want.shape))}
    states = [cuda.Array((B, U), "float32", 0) for _ in final]
    memory.upload(0, arrays["x"].address, x, "float32", 0)
    places = {"inputs": (arrays["x"].address, F, T * F, 1), "outputs": (arrays["y"].address, U, T * U)}
    one = call([made], **places, final=[state.address for state in states])
    space = cuda.Array((max(one.workspace_bytes, 1),), "uint8", 0)
    one.run(space.address, 0)
    for got, values in zip([arrays["y"], *states], [want, *final], strict=True):
        np.testing.assert_allclose(got.numpy(), values, rtol=1e-5, atol=1e-5)


def test_many_threads_share_cells() -> None:
    packed, made = pair()
    want, _ = _core.run([packed], **ORDINARY)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                outputs, _ = _core.cuda_run([made], **ORDINARY)
                np.testing.assert_allclose(outputs, want, rtol=1e-5, atol=1e-5)
                cuda_cell()
        except BaseException as caught:
            failures.append(caught)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert failures == []
