"""QMagFace scores: the formula, its limits, its fit against a naive search, and templates."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from synthface.core.errors import DataError
from synthface.metrics.quality_aware import (
    CosinesAndQualities,
    QualityWeight,
    fit_quality_weight,
    fuse_template,
    pair_quality,
    people_pairs,
)
from synthface.metrics.verification import tmr_at_fmr

R100 = QualityWeight(alpha=0.077428, beta=0.125926)  # the authors' fit for MagFace's R100


def test_score_is_the_formula():
    assert R100.scores([0.3], [25.0])[0] == pytest.approx(0.3 + (0.125926 * 0.3 - 0.077428) * 25)
    assert R100.scores([0.3], [25.0])[0] == pytest.approx(-0.69, abs=0.005)
    s = np.linspace(-1, 1, 201)
    np.testing.assert_array_equal(QualityWeight().scores(s, np.full(201, 30.0)), s)
    np.testing.assert_array_equal(R100.scores(s, np.zeros(201)), s)
    above = s > R100.alpha / R100.beta
    np.testing.assert_array_equal(R100.scores(s, np.full(201, 30.0))[above], s[above])
    assert R100.alpha / R100.beta == pytest.approx(0.615, abs=1e-3)
    assert (np.diff(R100.scores(s, np.full(201, 30.0))) > 0).all()
    assert (np.diff(R100.scores(np.full(50, 0.2), np.linspace(0, 50, 50))) <= 0).all()


def test_without_the_bound_quality_can_count_for_a_match():
    weight = QualityWeight(alpha=-0.02, beta=0.01, bounded=False)
    assert weight.scores([0.3], [10.0])[0] == pytest.approx(0.3 + (0.003 + 0.02) * 10)
    assert QualityWeight(alpha=-0.02, beta=0.01).scores([0.3], [10.0])[0] == 0.3


def test_people_pairs_are_of_the_right_kind_and_nobody_fills_the_list():
    generator = np.random.default_rng(0)
    labels = np.array([0] * 30 + [1, 1, 2, 3, 3, 3])
    unit = generator.normal(size=(36, 8))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    norms = 1.0 + np.arange(36)  # tells which image the quality is of
    mated, others = people_pairs(unit, norms, labels, per_identity=5, non_mated=400)
    assert len(mated.cosines) == 5 + 1 + 3
    known = {(a, b): unit[a] @ unit[b] for a in range(36) for b in range(a + 1, 36)}
    for pairs, same in ((mated, True), (others, False)):
        for cosine, quality in zip(pairs.cosines, pairs.qualities, strict=True):
            lower = int(quality) - 1
            partners = [b for b in range(lower + 1, 36) if (labels[lower] == labels[b]) == same]
            assert min(abs(known[lower, b] - cosine) for b in partners) < 1e-12
    assert len({*np.round(others.cosines, 12)}) > 80
    with pytest.raises(DataError, match="two identities"):
        people_pairs(unit, norms, np.arange(36))


def test_pair_quality_is_that_of_the_worse_image():
    np.testing.assert_array_equal(pair_quality([1, 5, 3], [2, 4, 3]), [1, 4, 3])
    np.testing.assert_array_equal(pair_quality([1, 5], [2, 4]), pair_quality([2, 4], [1, 5]))


def test_templates_weigh_by_length():
    generator = np.random.default_rng(0)
    raw = generator.normal(size=(5, 8))
    a = np.linalg.norm(raw, axis=1)
    f = sum(a_i * x_i for a_i, x_i in zip(a, raw, strict=True))
    unit, quality = fuse_template(raw / a[:, None], a)
    np.testing.assert_allclose(unit, f / np.linalg.norm(f))
    assert quality == pytest.approx((a**2).sum() / a.sum())
    one, q = fuse_template(raw[:1] / a[:1, None], a[:1])
    np.testing.assert_allclose(one * q, raw[0])
    for u, norms in ((raw, a[:2]), (raw[:0], a[:0]), (raw, 0 * a)):
        with pytest.raises(DataError):
            fuse_template(u, norms)


def _pairs(n, mean, generator):
    """Blurred pictures look alike: at low quality strangers score higher and mates lower."""
    q = generator.uniform(5, 30, n)
    pull = (30 - q) / 25
    cosines = mean * (1 - 0.3 * pull) + (0.25 * pull if mean == 0 else 0) + generator.normal(0, 0.12, n)
    return CosinesAndQualities(cosines, q)


@pytest.mark.parametrize("legacy", [False, True])
def test_fit_is_the_naive_search(legacy):
    generator = np.random.default_rng(1)
    mated, non_mated = _pairs(300, 0.6, generator), _pairs(3000, 0.0, generator)
    squash = (lambda v: 1 / (1 + np.exp(-v))) if legacy else (lambda v: v)
    top = max(mated.qualities.max(), non_mated.qualities.max())
    points = []
    for fmr in np.logspace(-5, -2, 50):
        if fmr * 3000 < 1:
            continue
        best = None
        for omega in sorted(np.linspace(-0.5, 0.5, 20) / top, key=abs):
            wrong = np.sort(squash(non_mated.cosines) + omega * non_mated.qualities)[::-1]
            allowed = int(np.floor(fmr * len(wrong) + 1e-9))
            t = np.nextafter(wrong[allowed], np.inf)  # as many as allowed pass
            missed = (squash(mated.cosines) + omega * mated.qualities < t).mean()
            if best is None or missed < best[0]:
                best = (missed, omega, t)
        points.append(best[1:])
    omega, t = np.array(points).T
    line = LinearRegression().fit(t[:, None], omega)
    found = fit_quality_weight(mated, non_mated, legacy_sigmoid=legacy)
    assert found.beta == pytest.approx(line.coef_[0], rel=0.05, abs=2e-3)
    assert found.alpha == pytest.approx(-line.intercept_, rel=0.05, abs=2e-3)


def test_fit_helps_on_other_pairs_where_quality_tells():
    generator = np.random.default_rng(2)

    def draw(n, mated):
        q = generator.uniform(5, 30, n)
        mean = 0.25 + 0.02 * (30 - q) if not mated else 0.55 + 0.02 * (30 - q)
        return CosinesAndQualities(mean + generator.normal(0, 0.08, n), q)

    weight = fit_quality_weight(draw(2000, True), draw(20000, False))
    mated, non_mated = draw(2000, True), draw(20000, False)
    plain = tmr_at_fmr(mated.cosines, non_mated.cosines, 1e-3)
    aware = tmr_at_fmr(
        weight.scores(mated.cosines, mated.qualities), weight.scores(non_mated.cosines, non_mated.qualities), 1e-3
    )
    assert weight.beta != 0
    assert aware >= plain


def test_too_few_pairs_are_refused():
    generator = np.random.default_rng(0)
    with pytest.raises(DataError, match="50 non-mated"):
        fit_quality_weight(_pairs(30, 0.6, generator), _pairs(50, 0.0, generator))
