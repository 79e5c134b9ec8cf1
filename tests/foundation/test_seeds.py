"""The process-wide random generator."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpack import initializers, random


def test_the_same_seed_gives_the_same_numbers():
    random.set_seed(3)
    first = random.generator().random(4), initializers.GlorotUniform()((2, 2))
    random.set_seed(3)
    second = random.generator().random(4), initializers.GlorotUniform()((2, 2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], random.generator().random(4))


def test_entropy_and_bad_seeds():
    random.set_seed(None)
    first = random.generator().random(4)
    random.set_seed(None)
    assert not np.array_equal(first, random.generator().random(4))
    with pytest.raises(ValueError):
        random.set_seed(-1)


def test_a_generator_is_made_on_first_use(monkeypatch):
    monkeypatch.setattr(random, "_generator", None)
    assert random.generator() is random.generator()
