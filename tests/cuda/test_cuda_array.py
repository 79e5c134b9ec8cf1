"""`rnnpack.cuda.Array`: values come back as they went, in place for other libraries, and are released."""

from __future__ import annotations

import copy
import gc
import pickle

import numpy as np
import pytest
from contract.contract_cells import normal
from foreign_arrays import Exchanged, Own, refuse_copies

from rnnpack import LSTM, _core, cuda
from rnnpack.cuda import memory

pytestmark = pytest.mark.usefixtures("cuda_plugin")

U = 6
X = normal(3, 5, 4)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int64", "bool", "uint8"])
def test_an_array_comes_back_as_it_went(dtype):
    values = np.arange(24).reshape(2, 3, 4) % 2 if dtype == "bool" else np.arange(24).reshape(2, 3, 4)
    array = Own.holding(values.astype("f4" if dtype == "bfloat16" else dtype), dtype)
    np.testing.assert_array_equal(array.numpy(), values)
    assert (array.shape, array.ndim, array.size, len(array)) == ((2, 3, 4), 3, 24, 2)
    assert array.nbytes == 24 * memory.ITEM_SIZES[dtype]
    assert array.__dlpack_device__() == (2, 0)
    assert repr(array) == f"<rnnpack.cuda.Array {dtype} of shape (2, 3, 4) on cuda:0>"
    address, shape, strides, code, place = _core.read_dlpack(array.__dlpack__())
    assert (address, shape, place) == (array.address, (2, 3, 4), (2, 0))
    assert strides in (None, (12, 4, 1))
    assert code[1:] == (8 * memory.ITEM_SIZES[dtype], 1)
    if dtype == "bfloat16":
        assert not hasattr(array, "__cuda_array_interface__")
    else:
        interface = array.__cuda_array_interface__
        assert np.dtype(interface["typestr"]) == dtype
        assert (interface["data"], interface["stream"]) == ((array.address, False), 1)
    for copied in (copy.deepcopy(array), pickle.loads(pickle.dumps(array))):
        np.testing.assert_array_equal(copied, values)


def test_bfloat16_is_rounded_to_nearest_even():
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x7F7FFFFF, 0xFF800000, 0x7F800001, 1], np.uint32)
    got = memory._rounded_to_bfloat16(bits.view(np.float32))
    assert [hex(one) for one in got.tolist()] == [
        hex(one) for one in (0x3F80, 0x3F82, 0x3F81, 0x7F80, 0xFF80, 0x7FC0, 0)
    ]


def test_memory_goes_back_when_the_last_holder_is_gone(monkeypatch):
    released, release = [], _core.cuda_release

    def note(number, address, stream):
        released.append(address)
        release(number, address, stream)

    monkeypatch.setattr(_core, "cuda_release", note)
    array = cuda.Array((2, 3), "float32", 0)
    address = array.address
    capsule = array.__dlpack__()
    del array
    gc.collect()
    assert released == []
    del capsule
    gc.collect()
    assert released == [address]


def test_a_consumer_is_ordered_after_the_array_and_nobody_waits(monkeypatch):
    array, orders = Own.holding(X), []
    refuse_copies(monkeypatch)
    monkeypatch.setattr(_core, "cuda_order", lambda *streams: orders.append(streams))
    for stream, handle in ((None, 0), (1, 0), (0, 0), (7, 7)):
        array.__dlpack__(stream=stream)
        assert orders.pop() == (0, 0, handle)
    array.__dlpack__(stream=-1)
    assert orders == []
    for others in ({"copy": True}, {"dl_device": (1, 0)}):
        with pytest.raises(BufferError):
            array.__dlpack__(**others)


def test_results_reach_other_producers_by_their_own_from_dlpack():
    Exchanged.made.clear()
    result = LSTM(U)(Exchanged.holding(X))
    assert type(result) is Exchanged
    assert [type(one) for one in Exchanged.made] == [cuda.Array]
