"""Groups of people and classes: who is in which, and that one leaking group is seen and the others are not."""

import numpy as np
import pytest

from synthface.privacy.grouping import NOT_STATED, by_attribute, by_count, by_thirds
from synthface.privacy.slices import slice_classes, slice_people


def test_identities_are_grouped_by_their_number_of_images():
    names = np.array(["c"] * 7 + ["a"] + ["b"] * 4 + ["d"] * 120)
    grouping = by_count("photos", [names, np.array(["x", "x"])])
    assert grouping.of[0].tolist() == ["1", "3 to 4", "5 to 9", "100 or more"]
    assert grouping.of[1].tolist() == ["2"]
    assert grouping.groups[:3] == ("1", "2", "3 to 4")


def test_thirds_are_of_all_sets_together_and_of_means_over_images():
    names = [np.array(["b", "b", "a", "c"]), np.array(["x", "y", "z"])]
    values = [np.array([0.0, 1.0, 0.1, 0.9]), np.array([0.2, 0.6, 0.8])]
    grouping = by_thirds("quality", names, values)
    assert grouping.of[0].tolist() == ["lowest third", "middle third", "highest third"]
    assert grouping.of[1].tolist() == ["lowest third", "middle third", "highest third"]


def test_who_is_not_in_the_table_is_not_stated():
    grouping = by_attribute("glasses", [np.array(["b", "a", "a"]), np.array(["z"])], {"a": "yes", "z": "no", "q": "?"})
    assert grouping.groups == ("no", "yes", NOT_STATED)
    assert [part.tolist() for part in grouping.of] == [["yes", NOT_STATED], ["no"]]


def test_the_group_that_leaks_is_seen_and_the_other_is_not():
    rng = np.random.default_rng(0)
    groups = tuple(np.array(["leaks", "does not"])[np.arange(n) % 2] for n in (300, 200))
    scores = (rng.normal(size=300) + 1.0 * (groups[0] == "leaks"), rng.normal(size=200))
    leaks, other = slice_people("one", "group", ("leaks", "does not", "nobody's"), groups, scores, 0.95)
    wins = scores[0][groups[0] == "leaks"][:, None] > scores[1][groups[1] == "leaks"]
    assert leaks.auc == pytest.approx(wins.mean())
    assert leaks.interval[0] > 0.65
    assert other.interval[0] < 0.5 < other.interval[1]
    assert (leaks.n_train, leaks.n_holdout) == (150, 100)


def test_below_ten_people_there_is_no_area():
    groups = (np.array(["a"] * 30), np.array(["a"] * 9))
    (row,) = slice_people("one", "group", ("a",), groups, (np.arange(30.0), np.arange(9.0)), 0.95)
    assert (row.n_train, row.n_holdout, row.auc, row.interval) == (30, 9, None, None)


def test_flagged_classes_are_counted_with_an_interval():
    group_of = np.array(["a"] * 59 + ["b"] * 4)
    flagged = np.arange(63) >= 61
    a, b = slice_classes("group", ("a", "b", "c"), group_of, flagged, 0.95)
    assert (a.n, a.flagged, b.n, b.flagged) == (59, 0, 4, 2)
    assert a.interval == pytest.approx((0, 1 - 0.05 ** (1 / 59)))  # none of 59: at most 5 %
    assert b.interval[0] < 0.5 < b.interval[1]
