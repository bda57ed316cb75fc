"""Do the labels of the training photos belong to the people on them? Swapped ones would hide every leak."""

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import AuditError
from synthface.data.embeddings import Embeddings
from synthface.privacy.config import AuditConfig
from synthface.privacy.gallery import Gallery, build_gallery
from synthface.privacy.inputs import AuditInputs

_FEWEST_PEOPLE, _MOST_PEOPLE = 20, 500
_WORKS = 0.8  # share of hold-out photos that a recogniser must know again before its word is taken
_SWAPPED = 0.5  # of that share


def check_people(inputs: AuditInputs, config: AuditConfig) -> None:
    """Refuse training photos that do not show the people of their labels.

    Each photo is looked up among the people of its set, its own person being represented by the person's other photos.
    Where the hold-out's photos find their person and the training set's do not, labels are wrong; a recogniser that
    fails on both is V1's business. All recognisers must agree.

    Raises:
        AuditError: naming the set and the shares.
    """
    for role in ("train", "train_other"):
        if role not in inputs.roles or "holdout" not in inputs.roles:
            continue
        shares = [
            (_found_again(inputs, role, name, config), _found_again(inputs, "holdout", name, config))
            for name in inputs.recognizers
        ]
        if all(ours is not None and control is not None for ours, control in shares) and all(
            control >= _WORKS and ours < _SWAPPED * control  # type: ignore[operator]
            for ours, control in shares
        ):
            ours, control = shares[0]
            raise AuditError(
                f"the identities of {role} do not match its people: {ours:.0%} of its photos find their own person "
                f"again, {control:.0%} of the hold-out's do ({inputs.recognizers[0]}); labels were swapped, or are "
                "of another set"
            )


def _found_again(inputs: AuditInputs, role: str, recognizer: str, config: AuditConfig) -> float | None:
    """Return the share of photos nearest to their own person, among as many people in every role; or None."""
    real = [sets for name, sets in inputs.roles.items() if name != "synthetic"]
    size = min(_MOST_PEOPLE, *(len(np.unique(sets[recognizer].identities)) for sets in real))
    if role == "train_other":
        known = build_gallery(inputs.roles["train"][recognizer], config.images_per_identity)
        return _rank_one(inputs.roles[role][recognizer], known, size)
    return _rank_one_among(build_gallery(inputs.roles[role][recognizer], config.images_per_identity), size)


def _rank_one_among(gallery: Gallery, size: int) -> float | None:
    """Return the share of photos, of people with two or more, whose own other photos match better than anybody."""
    eligible = np.flatnonzero(gallery.counts >= 2)[:size]
    if len(eligible) < _FEWEST_PEOPLE:
        return None
    people = gallery.take(eligible)
    vectors = people.vectors.astype(np.float64)
    sums = np.add.reduceat(vectors, people.starts, axis=0)
    scores = vectors @ people.templates.T.astype(np.float64)
    rest = sums[people.owners] - vectors
    own = np.einsum("nd,nd->n", vectors, rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-12))
    rows = np.arange(len(vectors))
    scores[rows, people.owners] = -np.inf
    return float(np.mean(own > scores.max(axis=1)))


def _rank_one(photos: Embeddings, known: Gallery, size: int) -> float | None:
    """Return the share of photos that find their own person among known people."""
    people = np.unique(photos.identities)[:size]
    if len(people) < _FEWEST_PEOPLE:
        return None
    chosen = np.isin(photos.identities, people)
    columns = np.flatnonzero(np.isin(known.people, people))
    scores = photos.vectors[chosen] @ known.templates[columns].T
    truth: NDArray[np.int64] = np.searchsorted(known.people[columns], photos.identities[chosen])
    return float(np.mean(scores.argmax(axis=1) == truth))
