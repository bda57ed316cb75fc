"""Meehan's test against scipy, naive sums and simulation; k-means against scipy."""

import numpy as np
import pytest
from scipy import stats
from scipy.cluster.vq import kmeans2, vq

from synthface.privacy import data_copying
from synthface.privacy.cells import k_means, nearest_cell
from synthface.privacy.data_copying import Nearest, RealPeople, authenticity, c_t, calibrate, cell_z
from synthface.privacy.rank_test import clustered_area, clustered_z


def rng(seed=0):
    return np.random.default_rng(seed)


def z_score(first, second):
    """The plain test, of independent values."""
    found = stats.mannwhitneyu(first, second, alternative="greater", method="asymptotic", use_continuity=False)
    return stats.norm.isf(found.pvalue)


@pytest.mark.parametrize("ties", [False, True])
def test_clusters_of_one_give_the_plain_test(ties):
    first, second = rng(3).normal(0.1, 1, 400), rng(4).normal(0, 1, 300)
    if ties:
        first, second = first.round(), second.round()
    alone = clustered_z(first, second, np.arange(400), np.arange(300))
    assert alone == pytest.approx(z_score(first, second), rel=0.02)


def test_cluster_variance_against_loops():
    first, second = rng(5).random(12), rng(6).random(9)
    groups, others = np.repeat([0, 1, 2, 3], 3), np.repeat([0, 1, 2], 3)
    beats = np.array([[float(a > b) for b in second] for a in first])
    area = beats.mean()
    ours = sum((beats[groups == g] - area).mean(axis=1).sum() ** 2 for g in range(4)) * 4 / 3 / 12**2
    theirs = sum((beats[:, others == g] - area).mean(axis=0).sum() ** 2 for g in range(3)) * 3 / 2 / 9**2
    assert clustered_area(first, second, groups, others) == pytest.approx((area, ours + theirs))


def test_z_of_clustered_values_is_standard_normal_and_the_plain_one_is_not():
    clusters, others = np.repeat(np.arange(30), 8), np.repeat(np.arange(40), 5)
    plain, robust = [], []
    for seed in range(300):
        draw = rng(seed)
        first = draw.normal(0, 1, 30)[clusters] + 0.5 * draw.normal(0, 1, 240)
        second = draw.normal(0, 1, 40)[others] + 0.5 * draw.normal(0, 1, 200)
        plain.append(z_score(first, second))
        robust.append(clustered_z(first, second, clusters, others))
    assert np.std(robust) == pytest.approx(1, abs=0.15)
    assert np.std(plain) > 1.8


def test_c_t_against_a_naive_sum():
    scores, fresh = rng(7).random(300), rng(8).random(200)
    cells, fresh_cells = rng(9).integers(0, 4, 300), rng(10).integers(0, 4, 200)
    fresh_cells[fresh_cells == 3] = 0
    fresh_cells[:4] = 3  # too few people in the last cell
    z, share = cell_z(Nearest(scores, cells, np.arange(300)), Nearest(fresh, fresh_cells, np.arange(200)), 4)
    total = weight = 0.0
    for cell in range(3):
        ours, theirs = -scores[cells == cell], -fresh[fresh_cells == cell]
        one = clustered_z(ours, theirs, np.arange(len(ours)), np.arange(len(theirs)))
        assert z[cell] == pytest.approx(one)
        total, weight = total + len(theirs) * one, weight + len(theirs)
    assert c_t(z, share) == pytest.approx(total / weight)
    assert np.isnan(z[3])
    assert share.sum() == pytest.approx(1)
    assert np.isnan(
        c_t(*cell_z(Nearest(scores[:5], cells[:5], np.arange(5)), Nearest(fresh, fresh_cells, np.arange(200)), 4))
    )


def simulate(seed, *, copied=0.0, bunched=0.0, n_people=60):
    """People of both sides, two photos each, and classes that copy training people or bunch in the middle."""
    draw = rng(seed)
    faces = draw.standard_normal((2 * n_people, 16)) + 1.0
    photos = np.repeat(faces, 2, axis=0) + 0.4 * draw.standard_normal((4 * n_people, 16))
    classes = (draw.standard_normal((40, 16)) + 1.0) * (1 - bunched) + bunched
    n_copied = round(copied * 40)
    classes[:n_copied] = faces[:n_copied]
    images = np.repeat(classes, 3, axis=0) + 0.4 * draw.standard_normal((120, 16))

    def scores(queries):
        near = -np.linalg.norm(queries[:, None] - photos[None], axis=2)
        return near.reshape(len(queries), -1, 2).max(axis=2).astype(np.float32)

    in_training = np.arange(2 * n_people) < n_people
    people = RealPeople(scores(photos), np.repeat(np.arange(2 * n_people), 2), np.zeros(4 * n_people, np.int64))
    deals = [draw.permutation(in_training) for _ in range(39)]
    clusters = np.repeat(np.arange(40), 3)
    return calibrate(scores(images), np.zeros(120, np.int64), clusters, people, in_training, 1, deals)


def test_a_set_of_average_faces_violates_meehans_limit_but_shows_no_leak():
    results = [simulate(seed, bunched=0.8) for seed in range(40)]
    assert np.mean([result.c_t < -3 for result in results]) > 0.9
    p = np.array([result.p_values(np.array([result.z]))[0] for result in results])
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_copying_is_found_among_average_faces():
    result = simulate(3, bunched=0.8, copied=0.3)
    assert result.p_values(np.array([result.z]))[0] < 1e-3


def test_p_values_allow_for_few_deals():
    result = data_copying.Calibrated(0.0, 0.0, 0.0, np.zeros(1), n_deals=10)
    assert result.p_values(np.array([-3.0]))[0] == pytest.approx(stats.t.cdf(-3 / np.sqrt(1.1), 9))


def test_authenticity_is_the_share_farther_than_other_people():
    assert authenticity(np.array([0.2, 0.5, 0.9, 0.4]), np.array([0.3, 0.4, 0.8, 0.4])) == 0.5


def test_k_means_is_a_fixed_point_as_good_as_that_of_scipy():
    data = np.concatenate([rng(k).normal(5 * k, 1, (80, 3)) for k in range(4)])
    centres = k_means(data, 4, rng(11))
    owners = nearest_cell(data, centres)
    np.testing.assert_array_equal(owners, vq(data, centres)[0])
    np.testing.assert_allclose(centres, [data[owners == cell].mean(axis=0) for cell in range(4)])
    theirs, codes = kmeans2(data, 4, minit="++", rng=1)
    assert ((data - centres[owners]) ** 2).sum() <= ((data - theirs[codes]) ** 2).sum() * 1.001


def test_k_means_gives_up_cells_that_equal_points_cannot_fill():
    assert len(k_means(np.ones((5, 2)), 3, rng())) == 1
