"""From the options to the vectors that are inverted."""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from synthface.core.errors import ConfigError, DataError
from synthface.data import Embeddings, FaceSet
from synthface.workflows.embed import embed_faceset

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from inversion.targets.target_set import TargetSet
    from synthface.recognition.catalogue import WeightFile
    from synthface.workflows.invert import Options

logger = logging.getLogger(__name__)
_LEAST_FALSE_MATCHES = 10  # a threshold that rests on fewer is not measured


@dataclass(frozen=True)
class Chosen:
    """What is inverted, and what to note about it.

    Attributes:
        targets: the vectors with their names.
        origin: one of photos, embeddings, centres, interpolation, sample.
        shows_real_people: whether images of the targets may be likenesses of real people.
        facts: what is known about them, for results.json; names nobody.
        centres: [C, D] all class centres, where that is what the targets are.
        sources: identities of the real people whom the targets are or are made of; None where their names are unknown.
    """

    targets: "TargetSet"
    origin: str
    shows_real_people: bool
    facts: dict[str, Any] = field(default_factory=dict)
    centres: "NDArray[np.float32] | None" = None
    sources: frozenset[str] | None = frozenset()


def choose_targets(options: "Options", faceset: FaceSet | None, weights: "WeightFile", dimension: int) -> Chosen:
    """Read what --faces, --embeddings or --centres name, and choose from it or make something of it.

    Raises:
        DataError: a file is missing, damaged, or was made by another recogniser.
        ConfigError: nobody is left, or so many new people do not fit.
    """
    from inversion.targets.target_set import TargetSet, choose_people, choose_rows

    everything, prefix = _collection(options, faceset, weights, dimension)
    if options.interpolate:
        return _between(options, everything, named=prefix is None)
    if options.sample is not None:
        return _new_people(options, everything, weights)
    real = faceset is None or faceset.kind != "synthetic"
    if prefix is None and options.photos_per_person is not None:
        rows = choose_people(
            everything.identities,
            options.limit,
            options.seed,
            photos=options.photos_per_person,
            skip=options.skip_people,
        )
    else:
        rows = choose_rows(len(everything), options.limit, options.seed)
    if prefix is not None:  # an array: nothing is known of who is who
        targets = TargetSet.of_array(everything.vectors, prefix=prefix, norms=everything.norms).take(rows)
    else:
        targets = TargetSet.of_collection(everything, rows)
    origin = "photos" if faceset is not None else "centres" if options.centres else "embeddings"
    centres = everything.vectors if options.centres else None
    sources = frozenset(targets.identities.tolist()) if prefix is None else None
    return Chosen(targets.repeated(options.per_identity), origin, real, centres=centres, sources=sources)


def _collection(
    options: "Options", faceset: FaceSet | None, weights: "WeightFile", dimension: int
) -> tuple[Embeddings, str | None]:
    """Return all there is to choose from; and for arrays without names, what to call their rows."""
    from inversion.targets.target_file import read_array

    if faceset is not None:
        return embed_faceset(faceset, options.recognizer, compute=options), None
    if options.embeddings is not None and _is_ours(options.embeddings):
        embeddings = Embeddings.load(options.embeddings, flag="--embeddings")
        made_by = embeddings.info.get("recognizer_sha256", weights.sha256)
        if made_by != weights.sha256:
            maker = embeddings.info.get("recognizer", "another recogniser")
            raise DataError(
                f"--embeddings {options.embeddings} were made by {maker}, not by {weights.name}; give that to "
                "--recognizer"
            )
        return embeddings, None
    path, flag = (options.embeddings, "--embeddings") if options.embeddings else (options.centres, "--centres")
    assert path is not None
    raw = read_array(path, flag=flag, dimension=dimension)
    prefix = "class" if options.centres else "row"
    names = np.array([f"{prefix}-{row:06d}" for row in range(len(raw))])
    norms = np.linalg.norm(raw, axis=1)
    return Embeddings(raw / norms[:, None], names, names, norms), prefix


def _is_ours(path: "Path") -> bool:
    """Say whether a file is one that 'synthface embed' writes; damaged archives are left to its reader."""
    if path.suffix != ".npz":
        return False
    try:
        with np.load(path, allow_pickle=False) as file:
            return {"vectors", "identities", "images"} <= set(file.files)
    except Exception:  # noqa: BLE001 (whatever numpy or zipfile say, the reader says it better)
        return True


def _between(options: "Options", everything: Embeddings, *, named: bool) -> Chosen:
    from inversion.targets.interpolation import endpoint, great_circle, rows_named
    from inversion.targets.target_set import TargetSet

    first, second = (endpoint(everything, name) for name in options.interpolate)
    ends = np.concatenate([rows_named(everything, name) for name in options.interpolate])
    sources = frozenset(everything.identities[ends].tolist()) if named else None
    points = great_circle(first, second, options.between)
    targets = TargetSet.of_array(points, prefix="step")
    angle = float(np.degrees(np.arccos(np.clip(first @ second, -1, 1))))
    facts = {"angle_degrees": round(angle, 2)}
    return Chosen(targets.repeated(options.per_identity), "interpolation", True, facts, sources=sources)


def _new_people(options: "Options", everything: Embeddings, weights: "WeightFile") -> Chosen:
    from inversion.targets.packing import pack_people
    from inversion.targets.population import Population
    from inversion.targets.target_set import TargetSet

    assert options.sample is not None
    threshold, origin = distinct_threshold(everything, weights, options.distinct_fmr)
    population = Population.fit(everything.vectors, everything.identities)
    packing = pack_people(population, options.sample, threshold, real=everything.vectors, seed=options.seed)
    facts = {
        "distinct_fmr": options.distinct_fmr,
        "threshold": threshold,
        "threshold_from": origin,
        "people": options.sample,
        "candidates": packing.n_candidates,
        "pushed_apart": packing.n_pushed,
        "closest_pair": packing.closest_pair,
        "closest_real": packing.closest_real,
        "real_embeddings": len(everything),
        "shrinkage": population.shrinkage,
    }
    logger.info(
        "%d people from %d candidates, %d of them pushed apart; threshold %.3f",
        options.sample,
        packing.n_candidates,
        packing.n_pushed,
        threshold,
    )
    targets = TargetSet.of_array(packing.vectors, prefix="new", collection=everything)
    return Chosen(targets.repeated(options.per_identity), "sample", False, facts)


def distinct_threshold(everything: Embeddings, weights: "WeightFile", fmr: float) -> tuple[float, str]:
    """Return the threshold from the collection's own cross-identity pairs, or where they are few from the table."""
    from inversion.scoring.cross_identity import cross_identity_thresholds
    from synthface.workflows.generating.real_thresholds import shipped_threshold

    found = cross_identity_thresholds(everything.vectors, everything.identities, {"asked": fmr})["asked"]
    if found is not None and found.n_non_mated * fmr >= _LEAST_FALSE_MATCHES:
        return found.value, f"{found.n_non_mated:,} cross-identity pairs"
    try:
        return shipped_threshold(weights.name, weights.sha256, fmr, side=112), "the shipped table"
    except ConfigError:
        raise ConfigError(
            f"--distinct-fmr {fmr:g}: {len(everything):,} real embeddings are too few to measure it, and no table "
            f"knows it for {weights.name}; give more, or a larger rate"
        ) from None
