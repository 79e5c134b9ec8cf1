"""Variables: immutable snapshots, versions, casting rules, mixed precision, copies."""

from __future__ import annotations

import copy
import operator
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnpack.variable import Variable


def make(**kwargs):
    return Variable(np.arange(6.0).reshape(2, 3), name="layer/kernel", dtype="float32", **kwargs)


def test_construction_copies_and_casts():
    source = np.arange(3)
    v = Variable(source, dtype="float64", trainable=False, constraint=abs, regularizer=sum)
    source[:] = 9
    np.testing.assert_array_equal(v.value, [0.0, 1.0, 2.0])
    assert (v.dtype, v.shape, v.ndim, v.size, len(v)) == (np.float64, (3,), 1, 3, 3)
    assert (v.trainable, v.constraint, v.regularizer, v.version) == (False, abs, sum, 0)


def test_non_native_byte_order_is_stored_natively():
    v = Variable(np.array([1.5], ">f4"))
    assert v.dtype.isnative
    assert v.value.dtype.isnative
    assert v[0] == 1.5


def test_value_is_read_only_and_numpy_is_a_writable_copy():
    v = make()
    with pytest.raises(ValueError, match="read-only"):
        v.value[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(v)[0, 0] = 1
    out = v.numpy()
    out[0, 0] = 99
    assert v.value[0, 0] == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.assign(np.ones((2, 3))),
        lambda v: v.assign_add(np.ones((2, 3))),
        lambda v: v.assign_sub(np.ones((2, 3))),
        lambda v: v.__setitem__((0, slice(None)), 7),
    ],
)
def test_every_change_bumps_the_version_and_leaves_snapshots_alone(change):
    v = make()
    snapshot = v.value
    before = snapshot.copy()
    change(v)
    assert v.version == 1
    assert v.value is not snapshot
    np.testing.assert_array_equal(snapshot, before)
    assert not np.array_equal(v.value, before)
    assert v.value.dtype == np.float32
    assert not v.value.flags.writeable


def test_assignment_results():
    v = make()
    start = v.numpy()
    assert v.assign_add(np.full((2, 3), 2)) is v
    np.testing.assert_array_equal(v.value, start + 2)
    v.assign_sub(np.full((2, 3), 0.5))
    np.testing.assert_array_equal(v.value, start + 1.5)
    v[1] = [True, False, True]
    np.testing.assert_array_equal(v.value[1], [1, 0, 1])
    v.assign(Variable(start))
    np.testing.assert_array_equal(v.value, start)


def test_assign_copies():
    v = make()
    source = np.ones((2, 3), np.float32)
    v.assign(source)
    source[:] = 5
    np.testing.assert_array_equal(v.value, np.ones((2, 3)))


@pytest.mark.parametrize("shape", [(3, 2), (3,), (1, 3), (), (2, 3, 1)])
@pytest.mark.parametrize("method", ["assign", "assign_add", "assign_sub"])
def test_wrong_shape_names_the_variable_and_changes_nothing(shape, method):
    v = make()
    value = v.value
    with pytest.raises(ValueError, match=r"layer/kernel.*\(2, 3\)"):
        getattr(v, method)(np.ones(shape))
    assert v.value is value
    assert v.version == 0


@pytest.mark.parametrize(
    "bad",
    [
        np.ones((2, 3), complex),
        np.full((2, 3), "1"),
        np.full((2, 3), None),
        np.zeros((2, 3), "m8[s]"),
        [[1, 2], [3]],
        [[1, 2, 3], object()],
    ],
)
def test_values_that_do_not_cast_are_refused(bad):
    v = make()
    with pytest.raises(ValueError, match="layer/kernel"):
        v.assign(bad)
    with pytest.raises(ValueError, match="layer/kernel"):
        v[:] = bad
    assert v.version == 0


def test_variables_hold_real_numbers():
    for bad in ([1j], ["a"], [None], np.zeros(1, "m8[s]")):
        with pytest.raises(ValueError, match="real numbers"):
            Variable(bad, name="w")


def test_floats_do_not_go_into_integer_variables():
    v = Variable([1, 2], name="steps", dtype="int32")
    with pytest.raises(ValueError, match="steps"):
        v.assign([1.5, 2.5])
    v.assign(np.array([3, 4], np.int64))
    assert v.dtype == np.int32
    assert v.value.tolist() == [3, 4]


def test_setitem_that_does_not_broadcast_changes_nothing():
    v = make()
    with pytest.raises(ValueError, match="broadcast"):
        v[0] = [1, 2]
    assert v.version == 0


BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
]  # fmt: skip


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
@given(
    a=hnp.arrays(np.float64, (2, 3), elements=st.floats(0.5, 4)),
    b=hnp.arrays(np.float64, (2, 3), elements=st.floats(0.5, 4)),
)
def test_operators_equal_those_of_arrays(op, a, b):
    v, w = Variable(a), Variable(b)
    expected = op(a, b)
    for result in (op(v, b), op(a, w), op(v, w)):
        assert type(result) is np.ndarray
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(op(2.0, v), op(2.0, a))


def test_matmul_unary_and_indexing():
    a = np.arange(6.0).reshape(2, 3)
    v = Variable(a)
    np.testing.assert_array_equal(v @ a.T, a @ a.T)
    np.testing.assert_array_equal(a.T @ v, a.T @ a)
    np.testing.assert_array_equal(np.dot(a.T, v), a.T @ a)
    np.testing.assert_array_equal(-v, -a)
    np.testing.assert_array_equal(abs(-v), a)
    np.testing.assert_array_equal(+v, a)
    np.testing.assert_array_equal(v.T, a.T)
    np.testing.assert_array_equal(v[:, 1:], a[:, 1:])
    assert v.astype("int32").dtype == np.int32


def test_scalars():
    v = Variable(2.5)
    assert (float(v), int(v), bool(v)) == (2.5, 2, True)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(make())


def test_array_protocol():
    v = make()
    assert v.__array__() is v.value
    assert v.__array__(copy=True) is not v.value
    assert v.__array__("float32") is v.value
    assert v.__array__("float64").dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        v.__array__("float64", copy=False)


def test_hash_is_identity():
    v, w = make(), make()
    assert {v: 1, w: 2}[v] == 1
    assert "layer/kernel" in repr(v)
    assert "(2, 3)" in repr(v)


def test_mixed_precision_reads_the_compute_dtype_and_keeps_the_stored_one():
    v = Variable(np.array([1 / 3, 2 / 3]), dtype="float32", compute_dtype="float16")
    assert (v.dtype, v.value.dtype, v.numpy().dtype) == (np.float32, np.float32, np.float32)
    assert np.asarray(v).dtype == np.float16
    assert (v + np.float16(1)).dtype == np.float16
    assert v[0] == np.float16(1 / 3)
    assert np.asarray(v) is np.asarray(v)
    assert not v.operand.flags.writeable
    v.assign([0.1, 0.2])
    np.testing.assert_array_equal(np.asarray(v), np.array([0.1, 0.2], np.float16))
    np.testing.assert_array_equal(v.value, np.array([0.1, 0.2], np.float32))
    v.assign_add([0.0001, 0])
    assert v.value[0] == np.float32(0.1) + np.float32(0.0001)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies_are_independent_and_read_only(clone):
    v = Variable([1.0, 2.0], name="w", dtype="float32", compute_dtype="float16", trainable=False)
    v.assign([3.0, 4.0])
    twin = clone(v)
    assert (twin.name, twin.version, twin.trainable) == ("w", 1, False)
    assert not twin.value.flags.writeable
    assert not twin.operand.flags.writeable
    twin.assign([5.0, 6.0])
    np.testing.assert_array_equal(v.value, [3, 4])
    np.testing.assert_array_equal(twin.operand, np.array([5, 6], np.float16))


def test_readers_never_see_a_torn_value():
    v = Variable(np.zeros(4096))
    torn = []
    done = threading.Event()

    def read():
        while not done.is_set():
            version, value = v.version, v.value
            # The value may be newer than the version read before it, never older.
            if value[0] != value[-1] or value[0] < version:
                torn.append((version, value[0], value[-1]))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(1, 300):
        v.assign(np.full(4096, float(i)))
    done.set()
    for thread in threads:
        thread.join()
    assert torn == []
