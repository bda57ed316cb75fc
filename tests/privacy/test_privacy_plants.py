"""Planted leaks at embedding level: found where they are, not where they are not, and counted each by itself."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from synthface.privacy import AuditConfig, Embeddings, audit
from synthface.privacy.claim import claim_of
from synthface.privacy.gate_texts import TITLES, text_of
from synthface.privacy.image_alarm import name_people
from synthface.privacy.plant_search import search_plants
from synthface.privacy.plants import KINDS, Plant, PlantOutcome, Plants
from synthface.privacy.signatures import SIDE, ImageSignatures
from synthface.privacy.validity import power_checks
from synthface.privacy.verdict import Gate


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def noise_signatures(embeddings, rng):
    return ImageSignatures(embeddings.images, rng.uniform(0, 255, (len(embeddings), SIDE, SIDE)))


@pytest.fixture(scope="module")
def planted(make_pool):
    """A pool, a release of new people, and plants: photos as they are, strangers, and classes of withheld photos."""
    pool = make_pool(3, n_train=120, n_holdout=120)
    rng = np.random.default_rng(5)
    release = pool.world.photos(pool.world.people(60), 6, [f"new{k}" for k in range(60)])
    names = pool.train["one"].identities
    people, counts = np.unique(names, return_counts=True)
    many = people[counts >= 4][:8]
    withheld = {name: np.flatnonzero(names == name)[:2] for name in many.tolist()}
    taken = np.concatenate(list(withheld.values()))
    copied = rng.permutation(np.setdiff1d(np.arange(len(names)), taken))[:10]
    rows = np.concatenate([copied, taken])
    strangers = pool.world.photos(pool.world.people(10), 1, ["x"] * 10)
    sets = {
        name: Embeddings(
            np.concatenate([pool.train[name].vectors[rows], strangers[name].vectors]),
            [*names[rows], *["x"] * 10],
            [f"plant{k}" for k in range(len(rows) + 10)],
        )
        for name in ("one", "two")
    }
    plants = [Plant("verbatim", str(names[row]), (k,)) for k, row in enumerate(copied)]
    plants += [Plant("morph-25", str(names[copied[k]]), (len(rows) + k,)) for k in range(10)]  # nothing of the person
    for k, (name, own) in enumerate(withheld.items()):
        first = 10 + 2 * k
        plants.append(Plant("class-100", name, tuple(range(first, first + len(own)))))
        plants.append(Plant("class-5", name, (first,), tuple(range(6 * k, 6 * k + 5))))
    photos = noise_signatures(pool.train["one"], rng)
    hidden = frozenset(pool.train["one"].images[taken].tolist())
    return pool, release, Plants(sets, noise_signatures(sets["one"], rng), tuple(plants), hidden), photos


def outcomes(planted, **changes):
    pool, release, plants, photos = planted
    config = AuditConfig(**changes)
    found = search_plants(plants, release, pool.train, pool.holdout, photos, config)
    return {outcome.kind: outcome for outcome in found}


def test_what_is_there_is_found_and_what_is_not_is_not(planted):
    found = outcomes(planted)
    assert (found["verbatim"].n, found["verbatim"].found) == (10, 10)
    assert (found["morph-25"].n, found["morph-25"].found) == (10, 0)
    assert found["class-100"].found >= 7
    assert found["class-100"].n == found["class-5"].n == 8
    assert all(max(item.by_recognizer.values()) <= item.found <= item.n for item in found.values())


def test_nobody_is_found_in_photos_of_the_wrong_person(planted):
    pool, release, plants, photos = planted
    people = [plant.person for plant in plants.plants]
    wrong = tuple(Plant(plant.kind, people[k - 1], plant.rows) for k, plant in enumerate(plants.plants[:10]))
    found = search_plants(
        Plants(plants.sets, plants.signatures, wrong, plants.withheld),
        release, pool.train, pool.holdout, photos, AuditConfig(),
    )  # fmt: skip
    assert found[0].found == 0


def test_a_copy_that_no_recogniser_sees_is_found_by_its_picture(planted):
    pool, release, plants, photos = planted
    row = next(row for row, image in enumerate(pool.train["one"].images.tolist()) if image not in plants.withheld)
    pictures = plants.signatures.pictures.copy()
    stranger = len(pictures) - 1
    pictures[stranger] = photos.pictures[row]
    copy = Plants(
        plants.sets,
        ImageSignatures(plants.signatures.images, pictures),
        (Plant("morph-25", str(pool.train["one"].identities[row]), (stranger,)),),
        plants.withheld,
    )
    (outcome,) = search_plants(copy, release, pool.train, pool.holdout, photos, AuditConfig())
    assert (outcome.found, outcome.as_copies, set(outcome.by_recognizer.values())) == (1, 1, {0})


def test_a_plant_is_found_or_not_whatever_else_is_planted(planted):
    """Plants must not help each other over the false discovery rate, nor tell what chance looks like."""
    pool, release, plants, photos = planted
    together = search_plants(plants, release, pool.train, pool.holdout, photos, AuditConfig())
    alone = dict.fromkeys(plant.kind for plant in plants.plants)
    for plant in plants.plants:
        one = Plants(plants.sets, plants.signatures, (plant,), plants.withheld)
        (outcome,) = search_plants(one, release, pool.train, pool.holdout, photos, AuditConfig())
        alone[plant.kind] = (alone[plant.kind] or 0) + outcome.found
    assert alone == {outcome.kind: outcome.found for outcome in together}


def test_strangers_are_hardly_ever_named():
    named = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        strangers, train, holdout = (unit(rng.standard_normal((n, 32))) for n in (300, 200, 200))
        named += int((name_people(strangers, train, holdout, 0.05, rng).person >= 0).any())
    assert named <= 4  # one run in twenty may name somebody


def test_a_training_photo_in_the_release_is_flagged_with_those_who_named_it(planted):
    pool, release, _, _ = planted
    leaky = {}
    for name, embeddings in release.items():
        vectors = embeddings.vectors.copy()
        vectors[17] = pool.train[name].vectors[4]
        leaky[name] = Embeddings(vectors, embeddings.identities, embeddings.images)
    sets = {"train": pool.train, "holdout": pool.holdout, "placebo": pool.placebo}
    config = AuditConfig(permutations=999, bootstraps=50)
    verdict = audit(synthetic=leaky, **sets, config=config)
    assert verdict.flagged_images[str(release["one"].images[17])] == ("one", "two")
    assert len(verdict.flagged_images) <= 2
    assert verdict.gates["A3"].passed is None  # one image of one class among 60: suspicious, never passed
    assert not audit(synthetic=release, **sets, config=config).flagged_images


def test_interval_is_clopper_and_pearsons():
    from scipy.stats import beta

    outcome = PlantOutcome("verbatim", 59, 57, {})
    low, high = outcome.interval(0.95)
    assert low == pytest.approx(beta.ppf(0.05, 57, 3))
    assert high == pytest.approx(beta.ppf(0.95, 58, 2))
    assert PlantOutcome("verbatim", 59, 59, {}).interval(0.95)[0] == pytest.approx(0.05 ** (1 / 59))


@pytest.mark.parametrize(
    ("kind", "n", "found", "passed"),
    [
        ("verbatim", 59, 59, True),
        ("verbatim", 59, 58, False),
        ("verbatim", 58, 58, None),  # one too few to plant
        ("class-100", 59, 59, True),
        ("class-100", 59, 54, None),  # 54 of 59 may well be nine in ten
        ("class-100", 59, 30, False),
        ("class-100", 40, 9, False),  # too few, but more would not help
        ("class-100", 20, 20, None),
    ],
)
def test_too_few_plants_leave_the_gate_undecided_and_unfound_ones_fail_it(kind, n, found, passed):
    *count, check = power_checks({}, [PlantOutcome(kind, n, found, {})], AuditConfig())
    assert check.passed is passed
    assert bool(check.need) == (passed is not True)
    assert kind not in check.need.split("(")[0]  # words, not the key
    assert len(count) == (n < 59 and passed is None)
    if passed is False:
        assert check.need.startswith("recognisers that find planted leaks better")


@pytest.mark.parametrize(
    ("n", "found", "passed"),
    [(59, 59, True), (58, 58, None), (59, 54, None), (59, 30, False), (5, 0, False), (5, 5, None)],
)
def test_people_planted_by_their_embeddings_are_judged_likewise(n, found, passed):
    measured = SimpleNamespace(plants_found=np.arange(n) < found)
    check = next(check for check in power_checks({"one": measured}, [], AuditConfig()) if check.key == "recall")
    assert check.passed is passed
    assert bool(check.need) == (passed is not True)


def test_too_few_planted_people_are_shown_as_what_decides():
    measured = SimpleNamespace(plants_found=np.ones(40, bool))
    first = power_checks({"one": measured}, [], AuditConfig())[0]
    assert (first.statistic, first.value, first.rule, first.threshold) == ("planted people, 59 needed", 40, ">=", 59)
    assert first.passed is None
    assert "too few" not in text_of("V4", None, measured=True)


def test_the_claim_tells_of_both_ways_of_planting_people():
    measured = SimpleNamespace(plants_found=np.ones(40, bool))
    planted = [PlantOutcome("class-100", 40, 9, {})]
    checks = tuple(power_checks({"one": measured}, planted, AuditConfig()))
    gates = {name: Gate(id=name, title="", kind="leak", passed=None, text="") for name in TITLES}
    gates["V4"] = replace(gates["V4"], checks=checks)
    claim = claim_of("INCONCLUSIVE", gates, ("a hold-out", "b"), 50, "names", AuditConfig())
    assert "of 40 training people planted by embeddings of their other photos" in claim
    assert "22.5% [12.3%, 36.0%] of 40 planted as classes of images" in claim
    assert "it needs 2 things, first a hold-out;" in claim


def test_the_words_of_a_report_without_training_photos_claim_nothing_of_them():
    assert "no training photo that was given" in text_of("V5", True, measured=True)
    assert "images themselves" not in text_of("A1", None, measured=False)


def test_kinds_ask_for_what_the_protocol_asks():
    assert {key for key, kind in KINDS.items() if kind.demand == "all"} == {"verbatim", "recompressed"}
    assert {key for key, kind in KINDS.items() if kind.demand == "most"} == {"class-100"}
    assert all(0 < kind.strength <= 1 for kind in KINDS.values())
