"""What an audit is given, checked against its own manifests before anything is concluded from it."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthface.core.errors import AuditError, DataError
from synthface.core.hashing import sha256_file
from synthface.data import Embeddings, FaceSet
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from synthface.privacy.signatures import ImageSignatures

logger = logging.getLogger(__name__)

ROLES = ("synthetic", "train", "holdout", "placebo", "train_other")
_ALIGNED_SIDE = 112
_SIGNATURE_SIDE = 64
_MANY_FILES = 20_000  # hashing fewer takes no bar

FaceSets = Mapping[str, FaceSet]
Sets = dict[str, dict[str, Embeddings]]  # role -> recogniser -> embeddings


def check_files(facesets: FaceSets) -> None:
    """Compare every image file with its hash in the manifest.

    Raises:
        AuditError: naming the first file that is missing or is not the one in the manifest.
    """
    for role, faceset in facesets.items():
        many = len(faceset) >= _MANY_FILES
        for record in track(faceset.records, description=f"checking {_flag(role)}") if many else faceset.records:
            path = faceset.root / record.path
            if not path.is_file():
                raise AuditError(f"--{_flag(role)} {path} is missing; the FaceSet is incomplete, make it again")
            if sha256_file(path) != record.sha256:
                raise AuditError(
                    f"--{_flag(role)} {path} does not match its hash in the manifest; make the FaceSet again"
                )


def _flag(role: str) -> str:
    return role.replace("_", "-")


def check_images(facesets: FaceSets) -> None:
    """Refuse a photo that is in two of the real sets.

    Raises:
        AuditError: naming the sets and the first such photo.
    """
    seen: dict[str, str] = {}
    for role in ROLES[1:]:
        for record in facesets[role].records if role in facesets else ():
            other = seen.setdefault(record.sha256, role)
            if other != role:
                raise AuditError(
                    f"--{_flag(role)} {record.path} is also in --{_flag(other)}; no photo may be in two sets, split "
                    "them again"
                )


def warn_of_real_set(synthetic: FaceSet) -> None:
    """Name a likely mix-up before the hours of work; auditing real people is of use as an experiment only."""
    if synthetic.kind == "real":
        logger.warning(
            "--synthetic %s is a FaceSet of real photos: were two sets mixed up? The answer is that of an experiment",
            synthetic.root,
        )


def check_placebo(facesets: FaceSets) -> None:
    """Refuse a placebo of one photo: scores are also counted in the spread of those with its photos.

    Raises:
        AuditError: there are fewer than two.
    """
    placebo = facesets.get("placebo")
    if placebo is not None and len(placebo) < 2:
        raise AuditError(f"--placebo {placebo.root} holds {len(placebo)} photos; give two or more, or leave it out")


def check_training_set(facesets: FaceSets) -> None:
    """Refuse photos that the generator was not trained on: nobody would be found among them.

    Raises:
        AuditError: the release says that its generator was trained on another set than --train.
    """
    train, trained_on = facesets.get("train"), trained_on_sha256(facesets["synthetic"])
    if train is not None and trained_on is not None and trained_on != train.manifest_sha256:
        raise AuditError(
            f"--train {train.root} is not what the generator of --synthetic was trained on (manifest "
            f"{train.manifest_sha256[:12]}, the generator says {trained_on[:12]}); give that set"
        )


def trained_on_sha256(synthetic: FaceSet) -> str | None:
    """Return the manifest hash of the set that the generator was trained on, if the release says so."""
    made_by = synthetic.info.get("generator")
    found = made_by.get("trained_on_manifest_sha256") if isinstance(made_by, dict) else None
    return None if found is None else str(found)


def release_side(synthetic: FaceSet) -> int:
    """Return the pixels a side of the release, at most those of an aligned face."""
    return min(_ALIGNED_SIDE, max((record.width for record in synthetic.records), default=_ALIGNED_SIDE))


def via_size(role: str, synthetic: FaceSet) -> int | None:
    """Return the resolution that a role is brought to first: real faces to that of the release."""
    side = release_side(synthetic)
    return None if role == "synthetic" or side == _ALIGNED_SIDE else side


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
                f"--{_flag(roles[0])} needs via-size {wanted} and no flip"
            )
        check_embeddings(embeddings, facesets[roles[0]], f"--embeddings {path}")
        found.setdefault(roles[0], {})[names[0]] = embeddings
    return found


def set_facts(faceset: FaceSet) -> dict[str, object]:
    """Return what an audit reads of a FaceSet beside its manifest: another answer may follow from another value."""
    info = faceset.info
    made_by = info.get("made_by", {})
    return {
        **{key: info.get(key) for key in ("kind", "generator", "remediation")},
        **{key: made_by.get(key) for key in ("command", "seed", "inputs")},
    }


def label_map(facesets: FaceSets) -> dict[str, str] | None:
    """Return the training identity behind each synthetic identity, or None to go by equal names.

    Known where the generator was trained on this very training set: class k is its k-th identity in sorted order, and
    a mixed identity belongs to the heaviest of its parent classes.
    """
    synthetic, train = facesets["synthetic"], facesets.get("train")
    if train is None or trained_on_sha256(synthetic) != train.manifest_sha256:
        return None
    labels: dict[str, str] = {}
    for record in synthetic.records:
        parent = record.class_index
        if parent is None and record.code:
            weights = record.code["weights"]
            parent = int(record.code["classes"][weights.index(max(weights))])
        if parent is not None and parent < len(train.identities):
            labels.setdefault(record.identity, train.identities[parent])
    return labels


def label_map_missing(facesets: FaceSets) -> bool:
    """Say whether the images are of a generator's classes and nothing tells which training people those are.

    A generator whose identities were drawn from a distribution says so, and has no such classes.
    """
    synthetic = facesets["synthetic"]
    made_by = synthetic.info.get("generator")
    if trained_on_sha256(synthetic) is not None or (isinstance(made_by, dict) and "identities" in made_by):
        return False
    return any(record.class_index is not None or record.code for record in synthetic.records)


def signatures_of(faceset: FaceSet, *, cached: bool = True) -> "ImageSignatures":
    """Return the image signatures of a FaceSet, in manifest order; ``cached`` keeps its pixels for the next time."""
    from synthface.data.image_cache import image_cache
    from synthface.privacy.signatures import ImageSignatures

    size = (_SIGNATURE_SIDE, _SIGNATURE_SIDE)
    pixels = image_cache(faceset, *size) if cached else faceset.read_images(range(len(faceset)), *size)
    names = [record.path for record in faceset.records]
    return ImageSignatures.of_images(pixels, names, [record.sha256 for record in faceset.records])
