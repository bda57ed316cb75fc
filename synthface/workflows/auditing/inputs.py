"""What an audit is given, checked against its own manifests before anything is concluded from it."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from synthface.core.errors import AuditError
from synthface.core.hashing import sha256_file
from synthface.data import Embeddings, FaceSet
from synthface.workflows.auditing.labels import trained_on_sha256
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from synthface.privacy.signatures import ImageSignatures

logger = logging.getLogger(__name__)

ROLES = ("synthetic", "train", "holdout", "placebo", "train_other")
_ALIGNED_SIDE = 112
_SIGNATURE_SIDE = 64
_MANY_FILES = 20_000  # hashing fewer takes no bar

FaceSets = Mapping[str, FaceSet]  # role -> set
Sets = dict[str, dict[str, Embeddings]]  # role -> recogniser -> embeddings


def check_files(facesets: FaceSets) -> None:
    """Compare every image file with its hash in the manifest.

    Raises:
        AuditError: naming the first file that is missing or is not the one in the manifest.
    """
    for role, faceset in facesets.items():
        many = len(faceset) >= _MANY_FILES
        for record in track(faceset.records, description=f"checking {flag_of(role)}") if many else faceset.records:
            path = faceset.root / record.path
            if not path.is_file():
                raise AuditError(f"{flag_of(role)} {path} is missing; the FaceSet is incomplete, make it again")
            if sha256_file(path) != record.sha256:
                raise AuditError(
                    f"{flag_of(role)} {path} does not match its hash in the manifest; make the FaceSet again"
                )


def flag_of(role: str) -> str:
    """Return the option by which a role is given."""
    return f"--{role.replace('_', '-')}"


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
                    f"{flag_of(role)} {record.path} is also in {flag_of(other)}; no photo may be in two sets, split "
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


def release_side(synthetic: FaceSet) -> int:
    """Return the pixels a side of the release, at most those of an aligned face."""
    return min(_ALIGNED_SIDE, max((record.width for record in synthetic.records), default=_ALIGNED_SIDE))


def via_size(role: str, synthetic: FaceSet) -> int | None:
    """Return the resolution that a role is brought to first: real faces to that of the release."""
    side = release_side(synthetic)
    return None if role == "synthetic" or side == _ALIGNED_SIDE else side


def set_facts(faceset: FaceSet) -> dict[str, object]:
    """Return what an audit reads of a FaceSet beside its manifest: another answer may follow from another value."""
    info = faceset.info
    made_by = info.get("made_by", {})
    return {
        **{key: info.get(key) for key in ("kind", "generator", "remediation")},
        **{key: made_by.get(key) for key in ("command", "seed", "inputs")},
    }


def signatures_of(faceset: FaceSet, *, cached: bool = True) -> "ImageSignatures":
    """Return the image signatures of a FaceSet, in manifest order; ``cached`` keeps its pixels for the next time."""
    from synthface.data.image_cache import image_cache
    from synthface.privacy.signatures import ImageSignatures

    size = (_SIGNATURE_SIDE, _SIGNATURE_SIDE)
    pixels = image_cache(faceset, *size) if cached else faceset.read_images(range(len(faceset)), *size)
    names = [record.path for record in faceset.records]
    return ImageSignatures.of_images(pixels, names, [record.sha256 for record in faceset.records])
