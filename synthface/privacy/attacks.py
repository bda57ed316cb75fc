"""A5: scores by which an attacker guesses who was trained on. Larger means "was"."""

import numpy as np
from numpy.typing import NDArray

from synthface.data.embeddings import Embeddings
from synthface.privacy.gallery import Gallery
from synthface.privacy.person_maxima import person_maxima

Scores = NDArray[np.float64]
_CLOSEST = 1e-6  # a distance below this is a copy


def calibrated(to_synthetic: Scores, to_reference: Scores) -> Scores:
    """Return how much nearer each person is to the synthetic set than to people nobody trained on.

    The log ratio of the distances to the k-th nearest, hence of the two densities around the person up to a factor
    (van Breugel et al., "Membership inference attacks against synthetic data through overfitting detection" (DOMIAS),
    AISTATS 2023): faces that are near to everybody no longer pass for members.

    Args:
        to_synthetic: [P] mean of each person's largest scores against the synthetic set.
        to_reference: [P] the same against the reference, here the placebo.
    """
    ours, theirs = (np.maximum(1 - scores, _CLOSEST) for scores in (to_synthetic, to_reference))
    return np.asarray(np.log(theirs) - np.log(ours), dtype=np.float64)


def count_hits(gallery: Gallery, images: NDArray[np.float32], threshold: float) -> Scores:
    """Return [P] the share of the synthetic images that come as near as a threshold to any photo of each person.

    Hilprecht, Harterich and Bernau, "Monte Carlo and reconstruction membership inference attacks against generative
    models" (PoPETs 2019), section 4.1.
    """
    hits = np.zeros(len(gallery))
    for people, _, maxima in person_maxima(gallery, images):
        hits[people] += np.count_nonzero(maxima >= threshold, axis=1)
    return hits / len(images)


def hit_threshold(gallery: Gallery, images: NDArray[np.float32], share: float) -> float:
    """Return the score that a share of the (person, image) scores of a gallery reaches."""
    maxima = np.concatenate([block.flatten() for _, _, block in person_maxima(gallery, images)])
    kept = max(1, int(share * len(maxima)))
    return float(np.partition(maxima, len(maxima) - kept)[len(maxima) - kept])


def same_number_of_photos(
    first: Embeddings, second: Embeddings, rng: np.random.Generator
) -> tuple[Embeddings, Embeddings]:
    """Cut two sets to people with as many photos as half of either has, and to that many photos each, at random.

    Who has more photos comes nearer to anything; the two must not differ in that.
    """
    counts = [np.unique(item.identities, return_counts=True)[1] for item in (first, second)]
    number = int(min(np.median(count) for count in counts))
    return _cut(first, number, rng), _cut(second, number, rng)


def _cut(embeddings: Embeddings, number: int, rng: np.random.Generator) -> Embeddings:
    shuffled = rng.permutation(len(embeddings))
    shuffled = shuffled[np.argsort(embeddings.identities[shuffled], kind="stable")]
    _, starts, counts = np.unique(embeddings.identities[shuffled], return_index=True, return_counts=True)
    rows = [shuffled[start : start + number] for start, count in zip(starts, counts, strict=True) if count >= number]
    return embeddings.take(np.sort(np.concatenate(rows)))
