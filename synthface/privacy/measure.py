"""Everything the audit measures under one recogniser."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synthface.core.seeds import numpy_generator
from synthface.privacy.config import AuditConfig
from synthface.privacy.evidence import Evidence, NearPair
from synthface.privacy.excess import excess_checks, person_scores
from synthface.privacy.flags import Alarm, raise_alarm
from synthface.privacy.gallery import Gallery, build_gallery
from synthface.privacy.inputs import AuditInputs
from synthface.privacy.linkage import Linkage, measure_linkage
from synthface.privacy.linkage_checks import linkage_checks
from synthface.privacy.membership import membership_checks
from synthface.privacy.overlap import look_alikes
from synthface.privacy.permutation import mean_difference_null, p_value
from synthface.privacy.power import choose_plants, found_plants, split_photos
from synthface.privacy.recognizer_check import recognizer_check, verify
from synthface.privacy.search import SearchResult, search
from synthface.privacy.verdict import Check

_ALL = 1 << 40  # photos a synthetic class may have: no cap
_MAX_CELLS = 150_000_000  # class-to-person scores held at once: 600 MB


@dataclass
class Measurement:
    """Results of one recogniser, filled role by role.

    Attributes:
        checks: by gate.
        evidence: fields of Evidence.
        flagged: synthetic identities that the alarm names.
        look_alikes: indices of (training, hold-out) people that look like one.
        plants_found: whether each planted person was found.
        nearest: best training photo of each synthetic image: score and row in the training embeddings.
    """

    checks: dict[str, list[Check]] = field(default_factory=dict)
    evidence: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    flagged: list[str] = field(default_factory=list)
    look_alikes: set[tuple[int, int]] = field(default_factory=set)
    plants_found: NDArray[np.bool_] | None = None
    nearest: tuple[NDArray[np.float64], NDArray[np.int64]] | None = None


def measure(inputs: AuditInputs, recognizer: str, config: AuditConfig) -> Measurement:
    """Run every test whose inputs are there."""
    result = Measurement()
    photos = config.images_per_identity
    synthetic = inputs.roles["synthetic"][recognizer]
    classes = build_gallery(synthetic, _ALL)
    galleries = {
        role: build_gallery(sets[recognizer], photos) for role, sets in inputs.roles.items() if role != "synthetic"
    }
    train, holdout, placebo = (galleries.get(role) for role in ("train", "holdout", "placebo"))
    if train is not None:
        near_train = search(train, synthetic.vectors, config.top_scores)
        result.nearest = (near_train.nearest_score, train.rows[near_train.nearest_row])
        result.evidence |= {"nearest_train": near_train.nearest_score, "person_train": person_scores(near_train)}
        result.checks["V5"] = [_hub_check(near_train, config, recognizer)]
        _link(result, classes, train, inputs.labels or {}, config, recognizer)
    if holdout is not None:
        verification = verify(holdout, config, _rng(config, "verify", recognizer))
        result.checks["V1"] = [recognizer_check(verification, len(holdout), config, recognizer)]
        result.evidence |= {"mated": verification.mated, "non_mated": verification.non_mated}
    if train is not None and holdout is not None:
        _compare(result, synthetic.vectors, near_train, holdout, config, recognizer)
        _flag(result, classes, train, holdout, config, recognizer)
        result.look_alikes = look_alikes(train, holdout, config.overlap_chance)
    if train is not None and holdout is not None and placebo is not None:
        result.checks["V3"] = [_placebo_check(placebo, train, holdout, config, recognizer)]
    return result


def _rng(config: AuditConfig, *parts: str) -> np.random.Generator:
    return numpy_generator(config.seed, "audit", *parts)


def _compare(
    result: Measurement,
    vectors: NDArray[np.float32],
    near_train: SearchResult,
    holdout: Gallery,
    config: AuditConfig,
    recognizer: str,
) -> None:
    near_holdout = search(holdout, vectors, config.top_scores)
    people = person_scores(near_train), person_scores(near_holdout)
    result.evidence |= {
        "nearest_holdout": near_holdout.nearest_score,
        "person_holdout": people[1],
    }
    result.checks["A2"] = excess_checks(*people, config, _rng(config, "excess", recognizer), recognizer)
    result.checks["A5"] = membership_checks(*people, config, recognizer)


def _flag(
    result: Measurement, classes: Gallery, train: Gallery, holdout: Gallery, config: AuditConfig, recognizer: str
) -> None:
    alarm = raise_alarm(classes.templates, train.templates, holdout.templates, _rng(config, "alarm", recognizer))
    flagged = alarm.adjusted <= config.flag_rate
    result.flagged = classes.people[flagged].tolist()
    result.checks["A3"] = [_flag_check(int(flagged.sum()), len(classes), alarm, config, recognizer)]
    rng = _rng(config, "plants")  # the same people and photos under every recogniser
    people = choose_plants(train, config, rng)
    if len(people):
        rows = split_photos(train, people, rng)
        result.plants_found = found_plants(train, holdout.templates, alarm, people, rows, config.flag_rate)


def _flag_check(flagged: int, n_classes: int, alarm: Alarm, config: AuditConfig, recognizer: str) -> Check:
    return Check(
        recognizer=recognizer,
        key="flagged",
        statistic=f"classes nearer to a training person than look-alikes (false discovery rate {config.flag_rate:.0%})",
        value=flagged,
        rule="<=",
        threshold=0,
        passed=flagged == 0,
        baseline=0.0,
        n=n_classes,
        unit="classes",
        p_value=alarm.p_global,
        need="the flagged classes taken out of the set, and an audit of what is left",
    )


def _link(
    result: Measurement,
    classes: Gallery,
    train: Gallery,
    labels: dict[str, str],
    config: AuditConfig,
    recognizer: str,
) -> None:
    labelled = np.array([k for k, name in enumerate(classes.people.tolist()) if name in labels], dtype=np.int64)
    if len(labelled) < 2 or len(train) < 2:
        return
    rng = _rng(config, "linkage", recognizer)
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
    result.checks["A4"] = linkage_checks(linkage, len(train), config, rng, recognizer)


def _hub_check(result: SearchResult, config: AuditConfig, recognizer: str) -> Check:
    share = float(np.bincount(result.nearest_row).max() / len(result.nearest_row))
    return Check(
        recognizer=recognizer,
        key="hub_share",
        statistic="share of the synthetic images that have one and the same nearest training photo",
        value=share,
        rule="<=",
        threshold=config.max_hub_share,
        passed=share <= config.max_hub_share,
        n=len(result.nearest_row),
        unit="synthetic images",
    )


def _placebo_check(placebo: Gallery, train: Gallery, holdout: Gallery, config: AuditConfig, recognizer: str) -> Check:
    near_train, near_holdout = (
        person_scores(search(gallery, placebo.vectors, config.top_scores)) for gallery in (train, holdout)
    )
    null = mean_difference_null(near_train, near_holdout, config.permutations, _rng(config, "placebo", recognizer))
    excess = float(near_train.mean() - near_holdout.mean())
    # too small an excess is a bias as well: it would hide a leak
    p = min(1.0, 2 * min(p_value(null, excess), p_value(-null, -excess)))
    return Check(
        recognizer=recognizer,
        key="placebo_excess",
        statistic="two-sided permutation p of the same excess with placebo people in the place of the synthetic set",
        value=p,
        rule=">",
        threshold=config.placebo_alpha,
        passed=p > config.placebo_alpha,
        baseline=float(near_train.mean()),
        control=float(near_holdout.mean()),
        n=len(train) + len(holdout),
        unit="people",
        need="a hold-out drawn at random from the pool of training people, with as many photos each, or a recogniser "
        f"trained on neither: {recognizer} finds the two different before any synthetic image is looked at",
    )


def near_pairs(
    inputs: AuditInputs, results: dict[str, Measurement], recognizer: str, limit: int
) -> tuple[NearPair, ...]:
    """Return the nearest (synthetic image, training photo) pairs, one for each (class, person), best first."""
    nearest = results[recognizer].nearest
    if nearest is None:
        return ()
    scores, rows = nearest
    synthetic, train = inputs.roles["synthetic"], inputs.roles["train"]
    names, people = synthetic[recognizer].identities, train[recognizer].identities
    pairs: list[NearPair] = []
    seen: set[tuple[str, str]] = set()
    for image in np.argsort(-scores, kind="stable"):
        key = (str(names[image]), str(people[rows[image]]))
        if key in seen:
            continue
        seen.add(key)
        by_recognizer = {
            name: float(
                synthetic[name].vectors[image].astype(np.float64) @ train[name].vectors[rows[image]].astype(np.float64)
            )
            for name in inputs.recognizers
        }
        same = None if not inputs.labels else inputs.labels.get(key[0]) == key[1]
        pairs.append(NearPair(int(image), int(rows[image]), by_recognizer, same))
        if len(pairs) == limit:
            break
    return tuple(pairs)


def evidence_of(result: Measurement, pairs: tuple[NearPair, ...]) -> Evidence:
    """Return the arrays behind the figures."""
    return Evidence(**result.evidence, pairs=pairs)  # type: ignore[arg-type]
