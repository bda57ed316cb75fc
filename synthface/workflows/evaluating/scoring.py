"""Scores of pairs under one recogniser: cosines, or cosines corrected by the images' quality (QMagFace)."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import DataError
from synthface.data import Embeddings, FaceSet
from synthface.metrics.quality_aware import (
    QualityWeight,
    fit_quality_weight,
    fuse_template,
    pair_quality,
    people_pairs,
)
from synthface.workflows.compute import Compute
from synthface.workflows.embed import embed_faceset
from synthface.workflows.evaluating.pair_list import PairList

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """Scores [N] of a list of pairs, and the quality weight they were made with, if any."""

    scores: Floats
    weight: QualityWeight | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What ``results.json`` says of the scores."""
        return {} if self.weight is None else {"quality_weight": dataclasses.asdict(self.weight)}


@dataclass(frozen=True)
class Scorer:
    """How pairs are scored.

    Attributes:
        faceset: the images.
        pairs: what is compared.
        fit: FaceSet of other people that the quality weight is fitted on; None for cosines.
        bounded: whether quality can only count against a match, as published.
        flip: add the embedding of each image's mirror.
        seed: of the pairs drawn for the fit.
        compute: devices and processes.
    """

    faceset: FaceSet
    pairs: PairList
    fit: FaceSet | None
    bounded: bool
    flip: bool
    seed: int
    compute: Compute

    def __call__(self, recognizer: str) -> Scored:
        """Return the scores under one recogniser."""
        unit, norms = self._things(self._embed(self.faceset, recognizer))
        first, second = self.pairs.rows.T
        cosines: Floats = np.einsum("nd,nd->n", unit[first], unit[second])
        if self.fit is None:
            return Scored(cosines)
        others = self._embed(self.fit, recognizer)
        weight = fit_quality_weight(*people_pairs(others.vectors, _norms(others), others.identities, seed=self.seed))
        weight = dataclasses.replace(weight, bounded=self.bounded)
        return Scored(weight.scores(cosines, pair_quality(norms[first], norms[second])), weight)

    def _embed(self, faceset: FaceSet, recognizer: str) -> Embeddings:
        return embed_faceset(faceset, recognizer, compute=self.compute, flip=self.flip)

    def _things(self, embeddings: Embeddings) -> tuple[Floats, Floats]:
        """Return unit vectors and qualities of what is compared: the images, or templates fused from several."""
        unit, norms = embeddings.vectors.astype(np.float64), _norms(embeddings)
        if self.pairs.templates is None:
            return unit, norms
        # Without quality scores every image of a template counts alike.
        lengths = norms if self.fit is not None else np.ones(len(norms))
        fused, quality = zip(*(fuse_template(unit[t], lengths[t]) for t in self.pairs.templates), strict=True)
        return np.stack(fused), np.array(quality)


def _norms(embeddings: Embeddings) -> Floats:
    if embeddings.norms is None:
        raise DataError("these embeddings have no norms, so they say nothing of quality; embed the images again")
    return embeddings.norms.astype(np.float64)
