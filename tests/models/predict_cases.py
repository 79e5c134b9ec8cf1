"""Rows, padded arrays, tolerances and what is looked at in the tests of `predict`."""

from __future__ import annotations

import numpy as np

from rnnpack import GRUCell

F = 3


def rows_of(lengths, features=F, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, features)).astype("f") for length in lengths]


def padded(rows, length=None, value=0.0):
    array = np.full((len(rows), length or max(map(len, rows)), *rows[0].shape[1:]), value, "f")
    for target, row in zip(array, rows, strict=True):
        target[: len(row)] = row
    return array


def close(got, want, terms=64):
    """Equal up to the rounding of `terms` products, whose sums a library may order by the batch's shape.

    Values of these models are of the order of 1, each passes through some layers that add up to `terms`
    products of such values and have slopes of at most 1: every sum errs by at most terms * eps / 2.
    """
    if isinstance(want, (list, tuple)):
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            close(one, other, terms)
        return
    assert got.shape == want.shape and got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=0, atol=4 * terms * np.finfo("f").eps)


class WithConstants(GRUCell):
    """Adds the mean over time of its constants."""

    def call(self, inputs, states, constants=None):
        output, new = super().call(inputs, states)
        return output + constants[0].mean(axis=1), new
