"""All comparisons of a set against a plain double loop."""

import numpy as np
import pytest

from synthface.core.errors import DataError
from synthface.metrics.all_pairs import all_pairs


def test_against_a_double_loop() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(9, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = ["a", "b", "a", "c", "c", "c", "b", "d", "a"]
    mated, non_mated = [], []
    for i in range(9):
        for j in range(i + 1, 9):
            (mated if names[i] == names[j] else non_mated).append(float(vectors[i] @ vectors[j]))
    pairs = all_pairs(vectors, names)
    np.testing.assert_allclose(np.sort(pairs.mated), np.sort(mated), atol=1e-12)
    np.testing.assert_allclose(np.sort(pairs.non_mated), np.sort(non_mated), atol=1e-12)


def test_one_person_alone_has_no_non_mated_pair() -> None:
    with pytest.raises(DataError, match="non-mated"):
        all_pairs(np.eye(3), ["a", "a", "a"])
