"""The pairs format: what LFW's file means, and which line is wrong when it is."""

import pytest

from synthface.core.errors import DataError
from synthface.metrics.lfw_pairs import parse_pairs

GOOD = "2\t1\nAda\t1\t4\nAda\t1\tBob\t12\nBob\t2\t3\nBob\t1\tCleo\t1\n"


def test_mated_and_non_mated_pairs_of_each_fold():
    pairs = parse_pairs(GOOD)
    assert [(pair.same, pair.fold) for pair in pairs] == [(True, 0), (False, 0), (True, 1), (False, 1)]
    assert pairs[0].first == ("Ada", "Ada_0001")
    assert pairs[1].second == ("Bob", "Bob_0012")


def test_one_number_means_one_fold():
    assert {pair.fold for pair in parse_pairs("2\nAda 1 2\nBob 1 2\nAda 1 Bob 1\nAda 2 Bob 2")} == {0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line"),
        ("ten\n", "first line"),
        ("1 1 1\n", "first line"),
        ("1\t1\nAda\t1\t2\n", "promises 2"),
        ("1\t1\nAda\t1\t2\nAda\tone\tBob\t2\n", "line 3"),
        ("1\t1\nAda\t1\nAda\t1\tBob\t2\n", "line 2"),
    ],
)
def test_what_is_wrong_is_named(text, message):
    with pytest.raises(DataError, match=message):
        parse_pairs(text, source="pairs.txt")
