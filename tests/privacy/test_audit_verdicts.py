"""The audit on simulated people: it finds planted leaks, stays quiet on clean releases, and says what it lacks."""

import json

import numpy as np
import pytest

from synthface.core.errors import AuditError, ConfigError, DataError
from synthface.privacy import Acquisition, AuditConfig, Embeddings, audit

FAST = {"permutations": 2999, "bootstraps": 200}
SMALL = AuditConfig(**FAST, min_holdout=50)


@pytest.fixture
def pool(make_pool):
    return make_pool(7)


def run(pool, synthetic, config=SMALL, **changes):
    roles = {"train": pool.train, "holdout": pool.holdout, "placebo": pool.placebo} | changes
    return audit(synthetic=synthetic, config=config, **{k: v for k, v in roles.items() if v is not None})


def half_of_photos(sets):
    """Split each person's photos in two: (posing, rest)."""
    names = sets["one"].identities
    position = np.array([np.count_nonzero(names[:row] == name) for row, name in enumerate(names)])
    first = position % 2 == 1
    return tuple({k: e.take(rows) for k, e in sets.items()} for rows in (first, ~first))


def test_other_photos_of_training_people_fail(pool):
    posing, rest = half_of_photos(pool.train)
    verdict = run(pool, posing, train=rest)
    assert verdict.verdict == "FAIL"
    assert all(verdict.gates[name].passed is False for name in ("A2", "A3", "A4", "A5"))
    hits = next(check for check in verdict.gates["A4"].checks if check.key == "rank1_hits")
    assert hits.value > 0.9 * hits.n
    assert verdict.claim.startswith("Real people can be found again")


def test_clean_release_of_a_large_pool_passes(make_pool, with_images):
    pool = make_pool(4, n_train=600, n_holdout=600, n_placebo=100)
    release = pool.release(pool.world.people(600), per_class=2)
    config = AuditConfig(**FAST, max_residual=0.03, max_membership_tpr=0.06)  # the defaults need thousands a side
    unseen = run(pool, release, config, **with_images(pool, release))
    assert unseen.verdict == "INCONCLUSIVE"  # nobody has looked for faces
    assert unseen.gates["V5"].kind == "validity"
    assert any("the face detector" in need for need in unseen.needs)
    looked_at = {**with_images(pool, release), "acquisition": Acquisition(())}
    classes = pool.release(pool.world.people(600), per_class=2, prefix="class")
    unexplained = run(pool, classes, config, **{**looked_at, **with_images(pool, classes)}, label_map_missing=True)
    assert unexplained.verdict == "INCONCLUSIVE"
    assert any("record of its training set" in need for need in unexplained.needs)
    verdict = run(pool, release, config, **looked_at)
    assert verdict.verdict == "PASS", verdict.needs
    assert verdict.needs == ()
    assert "0 of 600 classes flagged" in verdict.claim
    assert verdict.gates["A8"].applicable is False


def test_without_images_copies_are_not_looked_for_and_nothing_passes(pool):
    verdict = run(pool, pool.release(pool.world.people(50), prefix="new"))
    assert verdict.gates["A1"].passed is None
    assert verdict.gates["V4"].passed is None
    assert any("trained on, as images" in need for need in verdict.needs)
    assert any("images to plant" in need for need in verdict.needs)


def test_one_leaked_class_among_many_is_named(pool):
    faces = pool.world.people(60)
    faces[17] = pool.train_faces[17]
    verdict = run(pool, pool.release(faces, prefix="new"))
    assert verdict.flagged == ("new00017",)
    assert verdict.gates["A3"].passed is not True
    assert verdict.verdict != "PASS"


def test_weak_linkage_at_the_strength_of_sface_fails(pool):
    # A seventh of each face is the training person's: mated templates .1 to .2, as in SFace's histograms
    faces = 0.15 * pool.train_faces + pool.world.people(len(pool.train_faces))
    verdict = run(pool, pool.release(faces))
    linked, unlinked = (getattr(verdict.evidence["one"], name) for name in ("linked", "unlinked"))
    assert 0.05 < linked.mean() - unlinked.mean() < 0.2
    assert verdict.verdict == "FAIL"
    assert verdict.gates["A4"].passed is False


def test_placebo_people_in_place_of_the_set_never_fail(pool, make_pool):
    names = pool.placebo["one"].identities
    for seed in range(3):
        chosen = np.isin(names, np.random.default_rng(seed).permutation(np.unique(names))[:50])
        posing = {k: e.take(chosen) for k, e in pool.placebo.items()}
        rest = {k: e.take(~chosen) for k, e in pool.placebo.items()}
        verdict = run(pool, posing, placebo=rest)
        assert verdict.verdict != "FAIL", verdict.claim


def test_nothing_but_a_synthetic_set_is_inconclusive_and_says_what_to_give(pool):
    verdict = run(pool, pool.release(pool.world.people(5)), train=None, holdout=None, placebo=None)
    assert verdict.verdict == "INCONCLUSIVE"
    text = " ".join(verdict.needs)
    assert all(word in text for word in ("trained on", "hold-out", "placebo"))
    assert all(gate.passed is None for gate in verdict.gates.values() if gate.applicable)


@pytest.mark.parametrize(("missing", "gate"), [("holdout", "V2"), ("placebo", "V3")])
def test_a_missing_control_withholds_a_pass(pool, missing, gate):
    verdict = run(pool, pool.release(pool.world.people(50), prefix="new"), **{missing: None})
    assert verdict.verdict == "INCONCLUSIVE"
    assert verdict.gates[gate].passed is None
    assert any(missing.replace("holdout", "hold-out") in need for need in verdict.needs)


def test_label_linkage_fails_without_any_hold_out(pool):
    posing, rest = half_of_photos(pool.train)
    verdict = run(pool, posing, train=rest, holdout=None, placebo=None)
    assert verdict.verdict == "FAIL"
    assert verdict.gates["A4"].passed is False


def test_one_recogniser_is_not_enough_for_a_pass(pool):
    one = {role: getattr(pool, role)["one"] for role in ("train", "holdout", "placebo")}
    verdict = run(pool, pool.release(pool.world.people(50))["one"], **one)
    assert verdict.gates["V1"].passed is False
    assert "2 recognisers" in verdict.gates["V1"].needs[0]


def test_a_recogniser_that_sees_nothing_is_out(pool):
    def noise(embeddings, seed):
        vectors = np.random.default_rng(seed).standard_normal((len(embeddings), 64))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embeddings(vectors, embeddings.identities, embeddings.images)

    sets = {"synthetic": pool.release(pool.world.people(50))}
    sets |= {role: getattr(pool, role) for role in ("train", "holdout", "placebo")}
    blind = {role: {"one": e["one"], "noise": noise(e["one"], k)} for k, (role, e) in enumerate(sets.items())}
    verdict = audit(**blind, config=SMALL)
    good = [check.recognizer for check in verdict.gates["V1"].checks if check.passed]
    assert good == ["one"]
    assert verdict.verdict == "INCONCLUSIVE"


def test_a_biased_comparison_is_caught_by_the_placebo_and_cannot_fail(pool):
    # a recogniser that knew the training people: their embeddings all lean one way, and so does every other face
    def lean(embeddings, amount):
        vectors = embeddings.vectors.astype(np.float64).copy()
        vectors[:, 0] += amount
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embeddings(vectors, embeddings.identities, embeddings.images)

    amounts = {"synthetic": 0.3, "placebo": 0.3, "train": 0.3, "holdout": 0.0}
    sets = {"synthetic": pool.release(pool.world.people(50), prefix="new")}
    sets |= {role: getattr(pool, role) for role in ("train", "holdout", "placebo")}
    biased = {role: {k: lean(e, amounts[role]) for k, e in by.items()} for role, by in sets.items()}
    verdict = audit(**biased, config=SMALL)
    assert verdict.gates["V3"].passed is False
    assert verdict.gates["A2"].passed is None
    assert verdict.verdict == "INCONCLUSIVE"


def test_fewer_photos_of_training_people_would_hide_a_leak_and_withhold_a_pass(pool):
    first = np.unique(pool.train["one"].identities, return_index=True)[1]
    train = {name: embeddings.take(first) for name, embeddings in pool.train.items()}
    verdict = run(pool, pool.release(pool.world.people(50), prefix="new"), train=train)
    assert verdict.gates["V3"].passed is False
    assert verdict.gates["A2"].checks[0].p_value > 0.5  # heard, though it says nothing
    assert verdict.verdict == "INCONCLUSIVE"


def test_somebody_in_training_and_hold_out_is_noticed(pool):
    def doubled(train, holdout):
        rows = np.flatnonzero(train.identities == "train00005")[::2]
        turned = train.vectors[rows] + np.float32(1e-3)  # other photos of the same person
        turned /= np.linalg.norm(turned, axis=1, keepdims=True)
        return Embeddings(
            np.concatenate([holdout.vectors, turned]),
            np.concatenate([holdout.identities, np.full(len(rows), "somebody")]),
            np.concatenate([holdout.images, train.images[rows]]),
        )

    holdout = {name: doubled(pool.train[name], pool.holdout[name]) for name in pool.train}
    verdict = run(pool, pool.release(pool.world.people(50), prefix="new"), holdout=holdout)
    assert verdict.gates["V2"].passed is False
    assert verdict.overlap == (("train00005", "somebody"),)


def test_labels_lead_from_other_names_to_training_people(pool):
    faces = 0.4 * pool.train_faces + pool.world.people(len(pool.train_faces))
    release = pool.release(faces, prefix="class")
    assert not run(pool, release).gates["A4"].applicable
    labels = {f"class{k:05d}": f"train{k:05d}" for k in range(len(faces))}
    roles = {"train": pool.train, "holdout": pool.holdout, "placebo": pool.placebo}
    verdict = audit(synthetic=release, **roles, config=SMALL, labels=labels)
    assert verdict.gates["A4"].passed is False
    assert verdict.verdict == "FAIL"


def test_the_result_is_json_and_the_same_every_time(pool):
    release = pool.release(pool.world.people(20))
    first, second = (json.dumps(run(pool, release).to_json(), allow_nan=False) for _ in range(2))
    assert first == second
    value = json.loads(first)
    assert value["config_sha256"] == run(pool, release).config_sha256
    assert "evidence" not in value


def test_contradictory_inputs_are_refused(pool):
    release = pool.release(pool.world.people(5))
    one = release["one"]
    with pytest.raises(AuditError, match="in both train and holdout"):
        run(pool, release, holdout=pool.train)
    with pytest.raises(AuditError, match="same recognisers"):
        run(pool, {"other": one})
    narrow = Embeddings(one.vectors[:, :1] / np.abs(one.vectors[:, :1]), one.identities, one.images)
    with pytest.raises(AuditError, match="64 dimensions under one, synthetic has 1"):
        run(pool, {"one": narrow, "two": one})
    with pytest.raises(AuditError, match="other images"):
        run(pool, {"one": one, "two": one.take(np.arange(len(one))[::-1])})
    broken = one.vectors.copy()
    broken[3, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        Embeddings(broken, one.identities, one.images)
    one.vectors[3, 0] = np.nan  # past the first check
    with pytest.raises(AuditError, match="NaN"):
        run(pool, release)


def test_limits_are_checked():
    with pytest.raises(ConfigError, match="alpha"):
        AuditConfig(alpha=0.0)
    with pytest.raises(ConfigError, match="permutations"):
        AuditConfig(permutations=0)
    assert AuditConfig.strict().max_residual < AuditConfig().max_residual
