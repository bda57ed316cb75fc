"""V5: images without a face are listed, and too many of them withhold a PASS."""

import pytest

from synthface.privacy import Acquisition, AuditConfig, audit
from synthface.privacy.acquisition import unaudited_check

LIMITS = AuditConfig(permutations=99, bootstraps=20, min_holdout=30)


@pytest.mark.parametrize(("missed", "passed"), [(0, True), (20, True), (21, False)])
def test_two_percent_may_show_no_face(missed, passed):
    check = unaudited_check(Acquisition(tuple(f"{k}.png" for k in range(missed)), 0.004), 1000, LIMITS)
    assert check.passed is passed
    assert check.value == missed / 1000
    assert check.interval[0] <= check.value <= check.interval[1]
    assert check.control == 0.004
    assert bool(check.need) is not passed


def test_where_nobody_looked_it_is_undecided():
    check = unaudited_check(None, 1000, LIMITS)
    assert check.passed is None
    assert "not checked" in check.statistic
    assert "detect" in check.need


@pytest.fixture(scope="module")
def gates(make_pool):
    """V5 and the result of one release, for several findings of the detector."""
    pool = make_pool(9, n_train=60, n_holdout=40, n_placebo=40)
    release = pool.release(pool.world.people(40), per_class=5, prefix="new")
    sets = {"synthetic": release, "train": pool.train, "holdout": pool.holdout, "placebo": pool.placebo}
    images = release["one"].images.tolist()
    findings = {"unknown": None, "few": Acquisition((images[3],)), "many": Acquisition(tuple(images[::-1][:30]))}
    return images, {key: audit(**sets, config=LIMITS, acquisition=finding) for key, finding in findings.items()}


def test_too_many_withhold_a_pass_and_a_few_warn_of_nothing(gates):
    images, verdicts = gates
    assert verdicts["many"].gates["V5"].kind == "validity"
    assert verdicts["many"].gates["V5"].passed is False
    assert "unaudited" in verdicts["many"].gates["V5"].text
    assert any("without a face taken out" in need for need in verdicts["many"].needs)
    assert verdicts["few"].gates["V5"].kind == "warning"
    assert verdicts["few"].unaudited == (images[3],)
    assert verdicts["many"].unaudited == tuple(sorted(images[-30:]))
    assert verdicts["unknown"].unaudited is None


def test_the_claim_says_when_faces_were_not_looked_for(gates):
    _, verdicts = gates
    assert "every image shows a face was not checked" in verdicts["unknown"].claim
    assert "not checked" not in verdicts["few"].claim


def test_every_claim_tells_what_the_alarm_finds(gates):
    _, verdicts = gates
    recall = next(check for check in verdicts["few"].gates["V4"].checks if check.key == "recall")
    assert f"finds {recall.value:.1%} [{recall.interval[0]:.1%}, " in verdicts["few"].claim
    assert f"of {recall.n} training people planted" in verdicts["few"].claim
