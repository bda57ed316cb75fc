"""Pairs of any labelled set: no identity in two folds, no pair twice, and LFW's format there and back."""

import numpy as np
import pytest

from synthface.core.errors import DataError
from synthface.metrics.disjoint_pairs import disjoint_pairs
from synthface.metrics.lfw_pairs import Pair, format_pairs, parse_pairs

LABELS = np.concatenate([np.repeat(np.arange(40), 6), np.repeat(np.arange(40, 50), 60), np.arange(50, 90)])


def test_no_identity_is_in_two_folds_and_no_pair_comes_twice() -> None:
    drawn = disjoint_pairs(LABELS, folds=5, pairs=80)
    owners = LABELS[drawn.rows]
    assert np.array_equal(owners[:, 0] == owners[:, 1], drawn.same)
    assert [int(drawn.same[drawn.folds == fold].sum()) for fold in range(5)] == [80] * 5
    people = [set(owners[drawn.folds == fold].ravel()) for fold in range(5)]
    assert sum(map(len, people)) == len(set().union(*people))
    assert len({frozenset(pair) for pair in drawn.rows.tolist()}) == len(drawn.rows) == 800


def test_identities_with_many_images_do_not_fill_the_list() -> None:
    drawn = disjoint_pairs(LABELS, folds=5, pairs=40)
    owners = LABELS[drawn.rows[drawn.same][:, 0]]
    assert 0.1 < np.mean((owners >= 40) & (owners < 50)) < 0.35  # 10 of 50 identities, but 97 % of all mated pairs


def test_the_seed_decides() -> None:
    one, same, other = (disjoint_pairs(LABELS, folds=2, pairs=20, seed=seed).rows for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_every_mated_pair_can_be_asked_for_and_not_one_more() -> None:
    labels = np.repeat(np.arange(8), 3)
    drawn = disjoint_pairs(labels, folds=2, pairs=12)
    assert len({frozenset(pair) for pair in drawn.rows[drawn.same].tolist()}) == 24
    with pytest.raises(DataError, match=r"fold 1 of 2 has 12 mated and .* ask for 12, the most that all folds have"):
        disjoint_pairs(labels, folds=2, pairs=13)


def test_the_most_that_can_be_asked_for_is_that_of_the_poorest_fold() -> None:
    labels = np.concatenate([np.repeat(np.arange(7), 3), np.repeat(7, 2), np.repeat(8, 9)])  # one fold has the pair
    with pytest.raises(DataError) as refused:
        disjoint_pairs(labels, folds=3, pairs=300)
    most = int(str(refused.value).split("ask for ")[1].split(",")[0])
    assert len(disjoint_pairs(labels, folds=3, pairs=most).rows) == 3 * 2 * most
    with pytest.raises(DataError, match=f"ask for {most},"):
        disjoint_pairs(labels, folds=3, pairs=most + 1)
    with pytest.raises(DataError, match=r"fold 1 of 3 has 1 mated and 0 non-mated pairs.*: give more people"):
        disjoint_pairs([0, 0, 1, 1], folds=3)


def test_the_format_there_and_back() -> None:
    drawn = disjoint_pairs(LABELS, folds=3, pairs=10)
    names = [(f"p{label}", f"p{label}_{row:04d}") for row, label in enumerate(LABELS)]
    pairs = [
        Pair(names[a], names[b], same=bool(same), fold=int(fold))
        for (a, b), same, fold in zip(drawn.rows, drawn.same, drawn.folds, strict=True)
    ]
    text = format_pairs(pairs)
    assert text.splitlines()[0] == "3\t10"
    assert parse_pairs(text) == pairs


@pytest.mark.parametrize("stem", ["p_1", "00001", "q_0001"])
def test_what_the_format_cannot_name_is_refused(stem: str) -> None:
    pairs = [Pair(("p", "p_0001"), ("p", stem), True, 0), Pair(("p", "p_0001"), ("q", "q_0001"), False, 0)]
    with pytest.raises(DataError, match=stem):
        format_pairs(pairs)
    with pytest.raises(DataError, match="folds"):
        format_pairs(pairs[::-1])
