"""The emulator runs kernels as a GPU does, and finds the errors that a GPU would punish.

The kernels are in ``emulator/self_test.cu``.
"""

from __future__ import annotations

from ctypes import c_double, c_float, c_int64, c_size_t, c_void_p

import numpy as np
import pytest
from cuda_functions import (
    ILLEGAL_ADDRESS,
    INVALID_CONFIGURATION,
    INVALID_HANDLE,
    INVALID_VALUE,
    LAUNCH_FAILURE,
    MISALIGNED,
    Cuda,
)

ORDERS = ("forward", "backward", "1", "2", "3")
# As `enum class error` in self_test.cu counts.
ERRORS = (
    *("missed_barrier", "two_barriers", "missing_lane", "product_without_warp", "before_memory"),
    *("behind_memory", "misaligned", "shared_index", "null_pointer", "returned_early"),
)


@pytest.fixture(params=ORDERS)
def any_order(request: pytest.FixtureRequest, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", request.param)
    return str(request.param)


def test_sixteen_bit_floats_round_to_nearest_even(cuda: Cuda) -> None:
    random = np.random.default_rng(1).normal(scale=1e3, size=200).astype(np.float32)
    special = (
        0.0,
        -0.0,
        1 + 2**-11,
        1 + 3 * 2**-11,
        2**-14,
        3e-5,
        6e-8,
        2**-25,
        3 * 2**-25,
        65519.0,
        65520.0,
        np.inf,
        -np.inf,
    )
    with np.errstate(over="ignore"):  # beyond the largest half
        for value in (*random.tolist(), *special):
            assert cuda.half_of(c_float(value)) == np.float16(value).view(np.uint16)
    for bits in range(0, 1 << 16, 7):
        half = np.uint16(bits).view(np.float16)
        assert np.isnan(half) or cuda.from_half(bits) == half
    assert np.isnan(cuda.from_half(0x7FFF))
    assert cuda.bfloat16_of(c_float(1 + 2**-8)) == 0x3F80
    assert cuda.bfloat16_of(c_float(1 + 3 * 2**-8)) == 0x3F82
    assert cuda.bfloat16_of(c_float(-1 - 2**-8 - 2**-20)) == 0xBF81
    assert cuda.bfloat16_of(c_float(3.4e38)) == 0x7F80
    assert cuda.half_of(c_float(np.nan)) == cuda.bfloat16_of(c_float(np.nan)) == 0x7FFF
    assert cuda.from_half(0x3C01) == 1 + 2**-10
    assert cuda.from_bfloat16(0xBF81) == -1 - 2**-7


@pytest.mark.parametrize("kind, bits", [("bf16", 8), ("f16", 11), ("tf32", 11)])
def test_tensor_core_products(cuda: Cuda, any_order: str, kind: str, bits: int) -> None:
    """Small whole numbers make every product and sum exact, so that any fragment out of its place shows."""
    depth = 8 if kind == "tf32" else 16
    rng = np.random.default_rng(2)
    most = 2 ** min(bits, 9)
    a = rng.integers(-most, most, (16, depth)).astype(np.float32)
    b = rng.integers(-most, most, (depth, 8)).astype(np.float32)
    d = rng.integers(-99, 99, (16, 8)).astype(np.float32)
    memory = cuda.put(d)
    cuda("start_product", ("bf16", "f16", "tf32").index(kind), cuda.put(a), cuda.put(b), memory)
    np.testing.assert_array_equal(cuda.get(memory, (16, 8)), d + a @ b)


def test_tensor_cores_ignore_the_lower_bits_of_tf32(cuda: Cuda) -> None:
    a = np.full((16, 8), np.float32(1 + 2**-10 + 2**-11 + 2**-23))
    b = np.eye(8, dtype=np.float32)
    memory = cuda.put(np.zeros((16, 8), np.float32))
    cuda("start_product", 2, cuda.put(a), cuda.put(b), memory)
    np.testing.assert_array_equal(cuda.get(memory, (16, 8)), np.full((16, 8), 1 + 2**-10))


def test_barrier(cuda: Cuda, any_order: str) -> None:
    values = np.arange(192, dtype=np.float32)
    to = cuda.put(np.zeros(192, np.float32))
    cuda("start_reverse", True, 3, cuda.put(values), to)
    np.testing.assert_array_equal(cuda.get(to, (3, 64)), values.reshape(3, 64)[:, ::-1])


def test_a_race_gives_other_results_in_other_orders(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(order: str) -> bytes:
        monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", order)
        to = cuda.put(np.zeros(192, np.float32))
        cuda("start_reverse", False, 3, values, to)
        return cuda.get(to, (192,)).tobytes()

    values = cuda.put(np.arange(192, dtype=np.float32))
    assert len({run(order) for order in ("forward", "backward", "1")}) == 3


def test_blocks_run_in_other_orders(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def last(order: str) -> float:
        monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", order)
        to = cuda.put(np.zeros(1, np.float32))
        cuda("start_last_block", 50, to)
        return float(cuda.get(to, (1,))[0])

    assert (last("forward"), last("backward")) == (49, 0)
    assert len({last(str(seed)) for seed in range(8)}) > 2
    monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", "sideways")
    assert cuda.start_last_block(2, cuda.put(np.zeros(1, np.float32))) == INVALID_VALUE


def test_shuffles(cuda: Cuda, any_order: str) -> None:
    values = np.random.default_rng(3).normal(size=32).astype(np.float32)
    down, xors, broadcast = (cuda.make("cudaMalloc", c_size_t(256)) for _ in range(3))
    cuda("start_shuffles", cuda.put(values), down, xors, broadcast)
    np.testing.assert_array_equal(cuda.get(down, (32,)), np.append(values[3:], values[29:]))
    sums = cuda.get(xors, (32,), np.float64)
    np.testing.assert_allclose(sums, values.astype(np.float64).sum(), rtol=0, atol=1e-13)
    assert len(set(sums)) == 1
    np.testing.assert_array_equal(cuda.get(broadcast, (32,), np.int32), np.arange(32) // 8 * 80 + 20)


@pytest.mark.parametrize(
    "name, code, text",
    [
        ("missed_barrier", LAUNCH_FAILURE, "for ever"),
        ("two_barriers", LAUNCH_FAILURE, "different barriers, self_test.cu:"),
        ("missing_lane", LAUNCH_FAILURE, "one that is not there, at self_test.cu:"),
        ("product_without_warp", LAUNCH_FAILURE, "without all lanes"),
        ("before_memory", ILLEGAL_ADDRESS, "before the beginning of an allocation of 256 bytes on device 0"),
        ("behind_memory", ILLEGAL_ADDRESS, "behind the end of an allocation of 256 bytes on device 0"),
        ("misaligned", MISALIGNED, "not aligned"),
        ("shared_index", ILLEGAL_ADDRESS, "index 64 lies outside"),
        ("null_pointer", ILLEGAL_ADDRESS, "null pointer"),
    ],
)
def test_errors_of_kernels_are_found(
    cuda: Cuda, any_order: str, monkeypatch: pytest.MonkeyPatch, name: str, code: int, text: str
) -> None:
    monkeypatch.setenv("RNNPACK_EMULATOR_CHECK", "1")
    memory = cuda.put(np.zeros(64, np.float32))
    cuda("start_wrong", ERRORS.index(name), memory, 64)
    error = cuda.cudaStreamSynchronize(None)
    assert error == code
    assert text in cuda.text(error)
    cuda("cudaStreamSynchronize", None)  # said once; the emulator lives on
    assert cuda.cudaFree(memory) == (ILLEGAL_ADDRESS if "memory" in name else 0)
    if "memory" in name:  # the guard bytes are still wrong, and a caller may not look at cudaFree's result
        assert cuda.cudaStreamSynchronize(None) == ILLEGAL_ADDRESS


def test_threads_that_returned_count_as_arrived(cuda: Cuda, any_order: str) -> None:
    memory = cuda.put(np.zeros(64, np.float32))
    cuda("start_wrong", ERRORS.index("returned_early"), memory, 64)
    assert cuda.get(memory, (64,)).sum() == 7


def test_launches_that_no_gpu_takes(cuda: Cuda) -> None:
    memory = cuda.put(np.zeros(64, np.float32))
    assert cuda.start_add(memory, 0, c_float(1), None) == INVALID_CONFIGURATION
    assert cuda.start_add(memory, 1025, c_float(1), None) == INVALID_CONFIGURATION
    assert cuda.cudaPeekAtLastError() == cuda.cudaGetLastError() == INVALID_CONFIGURATION
    assert cuda.cudaGetLastError() == 0
    assert cuda.start_add(memory, 1, c_float(1), c_void_p(memory.value)) == INVALID_HANDLE


def test_double_values_are_shuffled_whole(cuda: Cuda) -> None:
    """32 values whose sum is wrong in single precision."""
    values = np.float32(1) + np.arange(32, dtype=np.float32) * np.float32(2**-23)
    xors = cuda.make("cudaMalloc", c_size_t(256))
    others = [cuda.make("cudaMalloc", c_size_t(256)) for _ in range(2)]
    cuda("start_shuffles", cuda.put(values), others[0], xors, others[1])
    sums = cuda.get(xors, (32,), c_double)
    assert float(sums[0]) == values.astype(np.float64).sum() != float(values.sum())


def _end(cuda: Cuda) -> str:
    """What the checks say when everything has run."""
    error = cuda.cudaStreamSynchronize(None)
    return cuda.text(error) if error else ""


def test_checks_let_correct_kernels_be(checked_cuda: Cuda) -> None:
    values, to = (checked_cuda.put(np.ones(256, np.float32)) for _ in range(2))
    checked_cuda("start_reverse", True, 4, values, to)
    checked_cuda("start_exchange", 2, values, to)
    checked_cuda("start_reverse", True, 4, to, values)  # kernels of a stream come one after the other
    checked_cuda("start_spread", True, 3, values, to)
    checked_cuda("start_product", 0, values, values, to)
    checked_cuda("start_shuffles", values, to, checked_cuda.put(np.zeros(32)), checked_cuda.put(np.zeros(32)))
    checked_cuda("start_sum", values, c_int64(192), to, None)
    assert _end(checked_cuda) == ""


@pytest.mark.parametrize("order", ORDERS)
def test_races_are_found_in_any_order(
    checked_cuda: Cuda, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", order)
    values, to = (checked_cuda.put(np.zeros(192, np.float32)) for _ in range(2))
    checked_cuda("start_reverse", False, 1, values, to)
    assert "a race for 1 bytes of shared memory" in _end(checked_cuda)
    for kind in (0, 1):
        checked_cuda("start_exchange", kind, values, to)
        assert "a race for 1 bytes of shared memory" in _end(checked_cuda)
    checked_cuda("start_spread", False, 3, values, to)
    assert "a race for 1 bytes of shared memory" in _end(checked_cuda)
    checked_cuda("start_last_block", 2, to)
    assert "a race for 1 bytes at 0 of an allocation of 768 bytes" in _end(checked_cuda)
    checked_cuda("start_reverse", True, 2, values, values)  # each block its own part
    assert _end(checked_cuda) == ""
    next_part = c_void_p((values.value or 0) + 256)
    checked_cuda("start_reverse", True, 2, values, next_part)
    assert "a race for 1 bytes at" in _end(checked_cuda)


def test_accesses_outside_of_device_memory_are_found(checked_cuda: Cuda) -> None:
    memory, total = checked_cuda.put(np.zeros(8, np.float32)), checked_cuda.put(np.zeros(1, np.float32))
    checked_cuda("start_sum", memory, c_int64(9), total, None)  # too far by one value
    assert "a read from 4 bytes at 32 of an allocation of 32 bytes" in _end(checked_cuda)
    host = np.zeros(8, np.float32)
    checked_cuda("start_sum", c_void_p(host.ctypes.data), c_int64(8), total, None)
    assert "a read from" in _end(checked_cuda)
    checked_cuda("start_sum", memory, c_int64(8), c_void_p(host.ctypes.data), None)
    assert "a write to" in _end(checked_cuda)
    checked_cuda("cudaFree", memory)
    checked_cuda("start_add", memory, 8, c_float(1), None)
    assert "a read from" in _end(checked_cuda)
