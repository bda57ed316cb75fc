"""Embeddings made elsewhere, compared image by image with the sets of an audit."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from synthface.core.errors import AuditError, DataError
from synthface.data import Embeddings, FaceSet
from synthface.workflows.auditing.inputs import FaceSets, Sets, flag_of, via_size


def check_embeddings(embeddings: Embeddings, faceset: FaceSet, name: str) -> None:
    """Refuse embeddings that are not of this FaceSet, image by image.

    Raises:
        AuditError: other images, or the same under other identities.
    """
    if embeddings.images.tolist() != [record.path for record in faceset.records]:
        raise AuditError(f"{name} is not of the images of {faceset.root}, in their order; embed that set again")
    wrong = np.flatnonzero(embeddings.identities != np.array([record.identity for record in faceset.records]))
    if len(wrong):
        raise AuditError(
            f"{name} names other identities than the manifest of {faceset.root} for {len(wrong)} images "
            f"(first: {embeddings.images[wrong[0]]}); labels were swapped, embed that set again"
        )


def given_embeddings(files: Sequence[Path], facesets: FaceSets, weights: Mapping[str, str]) -> Sets:
    """Read embeddings made elsewhere and find out by their hashes what each is of.

    Args:
        files: written by 'synthface embed'.
        facesets: by role.
        weights: SHA-256 of each recogniser's weights, by name.

    Raises:
        AuditError: a file is of no set or recogniser of this audit, or not at its resolution.
    """
    found: Sets = {}
    for path in files:
        try:
            embeddings = Embeddings.load(path, flag="--embeddings")
        except DataError as error:
            text = str(error)
            raise AuditError(text if str(path) in text else f"--embeddings {path}: {text}") from None
        info = embeddings.info
        roles = [role for role in facesets if facesets[role].manifest_sha256 == info.get("faceset_manifest_sha256")]
        names = [name for name in weights if weights[name] == info.get("recognizer_sha256")]
        if not roles:
            raise AuditError(f"--embeddings {path} is of none of the sets of this audit (manifest hash differs)")
        if not names:
            raise AuditError(
                f"--embeddings {path} was made by another recogniser ({info.get('recognizer')}, weights "
                f"{str(info.get('recognizer_sha256'))[:12]}) than --recognizers {' '.join(weights)}"
            )
        wanted = via_size(roles[0], facesets["synthetic"])
        if info.get("flip") or info.get("via_size") != wanted:
            raise AuditError(
                f"--embeddings {path} was made with via-size {info.get('via_size')} and flip {info.get('flip')}; "
                f"{flag_of(roles[0])} needs via-size {wanted} and no flip"
            )
        check_embeddings(embeddings, facesets[roles[0]], f"--embeddings {path}")
        found.setdefault(roles[0], {})[names[0]] = embeddings
    return found
