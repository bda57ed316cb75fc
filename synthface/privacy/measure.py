"""Everything the audit measures under one recogniser."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synthface.core.seeds import numpy_generator
from synthface.privacy.attacks import calibrated, count_hits, hit_threshold, same_number_of_photos
from synthface.privacy.config import AuditConfig
from synthface.privacy.data_copying_checks import data_copying_checks
from synthface.privacy.evidence import Evidence
from synthface.privacy.excess import excess_checks
from synthface.privacy.flag_checks import flag_check, hub_checks, image_check, placebo_checks, tail_check
from synthface.privacy.flags import raise_alarm
from synthface.privacy.gallery import Gallery, build_gallery
from synthface.privacy.image_alarm import name_image_people
from synthface.privacy.inputs import AuditInputs
from synthface.privacy.linkage import Linkage, measure_linkage
from synthface.privacy.linkage_checks import linkage_checks
from synthface.privacy.membership import Attack, membership_checks
from synthface.privacy.overlap import look_alikes
from synthface.privacy.power import choose_plants, found_plants, split_photos
from synthface.privacy.recognizer_check import recognizer_check
from synthface.privacy.search import Search
from synthface.privacy.uniqueness_checks import uniqueness_checks
from synthface.privacy.verdict import Check
from synthface.privacy.view import View

_MAX_CELLS = 150_000_000  # class-to-person scores held at once: 600 MB
_COUNTED_IMAGES = 20_000  # synthetic images among which hits are counted
_CALIBRATION_PEOPLE, _CALIBRATION_IMAGES = 2000, 5000  # 40 MB of scores


@dataclass
class Measurement:
    """Results of one recogniser, filled role by role.

    Attributes:
        checks: by gate.
        evidence: fields of Evidence.
        flagged: synthetic identities that the alarm names.
        flagged_images: single images that it names.
        look_alikes: indices of (training, hold-out) people that look like one.
        plants_found: whether each planted person was found.
        nearest: nearest photo of each image of a role among the photos of another: score and row in the embeddings.
        queries: rows of the images that were searched, where not all of the role were.
    """

    checks: dict[str, list[Check]] = field(default_factory=dict)
    evidence: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    flagged: list[str] = field(default_factory=list)
    flagged_images: list[str] = field(default_factory=list)
    look_alikes: set[tuple[int, int]] = field(default_factory=set)
    plants_found: NDArray[np.bool_] | None = None
    nearest: dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.int64]]] = field(default_factory=dict)
    queries: dict[str, NDArray[np.int64]] = field(default_factory=dict)


def measure(
    inputs: AuditInputs, recognizer: str, config: AuditConfig, search: Search, *, rounds: int = 1
) -> Measurement:
    """Run every test whose inputs are there.

    Args:
        inputs: of the audit.
        recognizer: under which to measure.
        config: the limits.
        search: compares every query with every photo.
        rounds: which audit of the release this is; each plants other people, or other photos of them.
    """
    view, result = View(inputs, recognizer, config, search), Measurement()
    train, holdout = view.train, view.holdout
    if train is not None:
        result.evidence |= {
            "nearest_train": view.near("train").nearest_score,
            "person_train": view.person_scores("train"),
        }
        result.checks["V5"] = hub_checks(view)
        _link(view, train, result)
    if view.verification is not None and holdout is not None:
        result.checks["V1"] = [recognizer_check(view.verification, len(holdout), config, recognizer)]
        result.evidence |= {"mated": view.verification.mated, "non_mated": view.verification.non_mated}
        result.checks["A7"] = uniqueness_checks(view)
    if train is not None and holdout is not None:
        _compare(view, result)
        _flag(view, train, holdout, result, rounds)
        result.checks["A6"] = data_copying_checks(view)
        result.look_alikes = look_alikes(train, holdout, config.overlap_chance)
        if view.placebo is not None:
            result.checks["V3"] = placebo_checks(view)
    _keep_nearest(view, result)
    return result


def _compare(view: View, result: Measurement) -> None:
    """A2 and A5: training people against hold-out people."""
    config, recognizer = view.config, view.recognizer
    train, holdout = view.person_scores("train"), view.person_scores("holdout")
    result.evidence |= {"nearest_holdout": view.near("holdout").nearest_score, "person_holdout": holdout}
    result.checks["A2"] = excess_checks(train, holdout, config, view.rng("excess"), recognizer)
    result.checks["A5"] = membership_checks(_attacks(view, train, holdout), config, view.rng("membership"), recognizer)
    other = view.inputs.get("train_other", recognizer)
    if other is not None:
        unused = view.inputs.roles["holdout"][recognizer]
        galleries = (
            build_gallery(item, config.images_per_identity)
            for item in same_number_of_photos(other, unused, view.rng("other photos"))
        )
        scores = [
            view.search(gallery, view.synthetic.vectors, config.top_scores).person_top.mean(axis=1)
            for gallery in galleries
        ]
        attack = Attack("", "similarity", scores[0], scores[1])
        result.evidence |= {"other_train": scores[0], "other_holdout": scores[1]}
        result.checks["A5"] += membership_checks(
            [attack], config, view.rng("membership", "other"), recognizer, other_photos=True
        )


def _attacks(view: View, train: NDArray[np.float64], holdout: NDArray[np.float64]) -> list[Attack]:
    """Return the attacks that know the photos: by similarity, calibrated by the placebo, and by counting."""
    attacks = [Attack("", "similarity", train, holdout)]
    if view.placebo is not None:
        ours, theirs = (
            calibrated(scores, view.person_scores(role, "placebo"))
            for role, scores in (("train", train), ("holdout", holdout))
        )
        attacks.append(Attack("calibrated", "how much nearer a person is to the set than to the placebo", ours, theirs))
    assert view.train is not None
    assert view.holdout is not None
    rng = view.rng("counting")
    images = rng.permutation(view.synthetic.vectors)[:_COUNTED_IMAGES]
    some = view.holdout.take(np.sort(rng.permutation(len(view.holdout))[:_CALIBRATION_PEOPLE]))
    level = hit_threshold(some, images[:_CALIBRATION_IMAGES], view.config.count_share)
    ours, theirs = (count_hits(gallery, images, level) for gallery in (view.train, view.holdout))
    return [*attacks, Attack("count", "the number of images near a person", ours, theirs)]


def _flag(view: View, train: Gallery, holdout: Gallery, result: Measurement, rounds: int) -> None:
    """A3 for classes and single images, and V4 by whole people planted as classes."""
    config, classes = view.config, view.classes
    alarm = raise_alarm(classes.templates, train.templates, holdout.templates, view.rng("alarm"))
    flagged = alarm.adjusted <= config.flag_rate
    result.flagged = classes.people[flagged].tolist()
    images, image_rng = view.synthetic.vectors, view.rng("image alarm")
    named = name_image_people(images, train, holdout, config.flag_rate, image_rng, len(classes))
    result.flagged_images = view.synthetic.images[named.person >= 0].tolist()
    result.checks["A3"] = [
        flag_check(int(flagged.sum()), len(classes), alarm, view), image_check(named, view), *tail_check(view)
    ]  # fmt: skip
    rng = numpy_generator(config.seed, "audit", "plants", rounds)  # the same people and photos under every recogniser
    people = choose_plants(train, config, rounds)
    if len(people):
        rows = split_photos(train, people, rng)
        result.plants_found = found_plants(train, holdout.templates, alarm, people, rows, config.flag_rate)


def _link(view: View, train: Gallery, result: Measurement) -> None:
    """A4: classes against the people of their labels."""
    labels, classes, config = view.inputs.labels or {}, view.classes, view.config
    labelled = np.array([k for k, name in enumerate(classes.people.tolist()) if name in labels], dtype=np.int64)
    if len(labelled) < 2 or len(train) < 2:
        return
    rng = view.rng("linkage")
    if len(labelled) * len(train) > _MAX_CELLS:
        labelled = np.sort(rng.permutation(labelled)[: max(2, _MAX_CELLS // len(train))])
    columns = np.searchsorted(train.people, [labels[name] for name in classes.people[labelled].tolist()])
    linkage: Linkage = measure_linkage(
        classes.templates[labelled] @ train.templates.T,
        columns,
        fmr=config.fmr,
        top_pairs=config.top_pairs,
        permutations=config.permutations,
        bootstraps=config.bootstraps,
        rng=rng,
    )
    result.evidence |= {"linked": linkage.linked, "unlinked": linkage.unlinked, "ranks": linkage.ranks}
    result.checks["A4"] = linkage_checks(linkage, len(train), config, rng, view.recognizer)


def _keep_nearest(view: View, result: Measurement) -> None:
    """Keep the nearest photos that searches found anyway: candidates for copies, pairs for the report."""
    for role, queries in view.searched:
        gallery, found = view.gallery(role), view.near(role, queries)
        result.nearest[queries, role] = (found.nearest_score, gallery.rows[found.nearest_row])
        if queries != "synthetic":
            result.queries[queries] = view.probe(queries).rows


def evidence_of(result: Measurement) -> Evidence:
    """Return the arrays behind the figures, without pairs."""
    return Evidence(**result.evidence)  # type: ignore[arg-type]
