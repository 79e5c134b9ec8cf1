"""Nested structures and TensorShape."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpack.engine import nest
from rnnpack.engine.nest import TensorShape

Pair = namedtuple("Pair", ["a", "b"])

structures = st.recursive(
    st.integers() | st.none() | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.tuples(inner, inner).map(lambda ab: Pair(*ab))
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(structures)
def test_pack_is_the_inverse_of_flatten(structure):
    flat = nest.flatten(structure)
    assert not any(nest.is_nested(leaf) for leaf in flat)
    packed = nest.pack_sequence_as(structure, flat)
    assert packed == structure
    assert type(packed) is type(structure)


@given(structures)
def test_map_structure_visits_every_leaf_in_order(structure):
    mapped = nest.map_structure(lambda leaf: (leaf,), structure)
    assert [leaf for leaf in nest.flatten(mapped)] == nest.flatten(structure)
    doubled = nest.map_structure(lambda a, b: [a, b].__repr__(), structure, structure)
    assert nest.flatten(doubled) == [repr([leaf, leaf]) for leaf in nest.flatten(structure)]


@given(structures)
def test_a_structure_has_its_own_structure(structure):
    nest.assert_same_structure(structure, structure)


def test_dicts_flatten_in_sorted_key_order_and_keep_their_own_order():
    d = OrderedDict([("b", 1), ("a", 2)])
    assert nest.flatten(d) == [2, 1]
    packed = nest.pack_sequence_as(d, [20, 10])
    assert packed == OrderedDict([("b", 10), ("a", 20)])
    assert type(packed) is OrderedDict
    assert d["a"] == 2


def test_none_arrays_and_shapes_are_leaves():
    array = np.zeros((2, 2))
    shape = TensorShape((2, 3))
    assert nest.flatten((None, [array, shape], ())) == [None, array, shape]
    assert nest.flatten(shape) == [shape]
    assert nest.flatten(()) == []


def test_namedtuple_types_survive():
    packed = nest.map_structure(lambda x: x + 1, Pair(1, [2]))
    assert packed == Pair(2, [3])
    assert type(packed) is Pair


@pytest.mark.parametrize("count", [0, 1, 3])
def test_packing_a_wrong_number_of_leaves_fails(count):
    with pytest.raises(ValueError, match="2 leaves"):
        nest.pack_sequence_as([0, (1,)], range(count))


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        ([1, 2], [1], ValueError),
        ([1, [2]], [1, 2], ValueError),
        (1, [1], ValueError),
        ({"a": 1}, {"b": 1}, ValueError),
        ([1], (1,), TypeError),
        (Pair(1, 2), (1, 2), TypeError),
        ({"a": 1}, [1], TypeError),
    ],
)
def test_different_structures(a, b, error):
    with pytest.raises(error):
        nest.assert_same_structure(a, b)
    with pytest.raises(error):
        nest.map_structure(lambda x, y: None, a, b)


def test_container_types_may_be_ignored():
    nest.assert_same_structure([1, (2,)], (1, [2]), check_types=False)
    with pytest.raises(ValueError, match="differ"):
        nest.assert_same_structure([1, (2,)], (1, [2, 3]), check_types=False)


def test_tensor_shape():
    shape = TensorShape([None, 4, np.int64(5)])
    assert shape.as_list() == [None, 4, 5]
    assert (shape.rank, len(shape), list(shape), shape[1], shape[-1]) == (3, 3, [None, 4, 5], 4, 5)
    assert shape[1:] == TensorShape((4, 5))
    assert shape == (None, 4, 5) == shape
    assert shape == [None, 4, 5]
    assert shape != (4, 5)
    assert shape != 4
    assert hash(shape) == hash(TensorShape(shape))
    assert TensorShape(3) == (3,)
    assert repr(shape) == "TensorShape([None, 4, 5])"


def test_any_object_with_as_list_is_a_shape():
    class Foreign:
        def as_list(self):
            return [7, 8]

    assert nest.is_shape(Foreign())
    assert TensorShape(Foreign()) == (7, 8) == TensorShape((7, 8))
    assert TensorShape((7, 8)) == Foreign()
    assert not nest.is_shape((7, 8))
    assert not nest.is_shape(np.zeros(3))
