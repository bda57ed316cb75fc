from collections import Counter

import pytest

from synthface.core.errors import DataError
from synthface.data.identity_split import split_identities

COUNTS = {f"person {k}": 1 + k % 4 for k in range(400)}


def split(counts=COUNTS, **options):
    return split_identities(counts, **{"holdout": 0.33, "min_images": 2, "seed": 0, **options})


def test_every_identity_has_one_role_and_few_images_mean_placebo():
    roles = split()
    assert set(roles) == set(COUNTS)
    assert {name for name, role in roles.items() if role == "placebo"} == {n for n, c in COUNTS.items() if c < 2}
    assert Counter(roles.values()) == {"placebo": 100, "holdout": 99, "train": 201}


def test_the_seed_decides_and_the_order_does_not():
    assert split() == split(dict(reversed(COUNTS.items())))
    assert split(seed=1) != split(seed=0)


def test_each_identity_is_held_out_as_often_as_any_other():
    counts = {f"p{k}": 2 for k in range(12)}
    n_held_out = Counter(
        name
        for seed in range(600)
        for name, role in split(counts, holdout=0.25, seed=seed).items()
        if role == "holdout"
    )
    # Binomial(600, 1/4): mean 150, standard deviation 10.6.
    assert set(n_held_out) == set(counts)
    assert max(abs(n - 150) for n in n_held_out.values()) < 5 * 10.6


def test_neither_part_is_empty():
    for share in (0.001, 0.999):
        assert set(split({"a": 2, "b": 2}, holdout=share).values()) == {"train", "holdout"}
    with pytest.raises(DataError, match="1 of 2 identities have 2 or more images"):
        split({"a": 2, "b": 1})
