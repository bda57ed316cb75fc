"""Inputs from which nothing may be concluded, each refused by name."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import AuditError
from synthface.data.embeddings import Embeddings
from synthface.privacy.signatures import ImageSignatures

Roles = dict[str, dict[str, Embeddings]]  # role -> recogniser -> embeddings
_MUST_SHARE_NO_PERSON = (("train", "holdout"), ("train", "placebo"), ("holdout", "placebo"))
_MUST_SHARE_NO_PHOTO = (
    *_MUST_SHARE_NO_PERSON,
    ("train", "train_other"),
    ("train_other", "holdout"),
    ("train_other", "placebo"),
)


def check_recognizers(roles: Roles) -> None:
    """Refuse roles embedded by other recognisers, by their names."""
    expected = roles["synthetic"]
    for role, sets in roles.items():
        if set(sets) != set(expected):
            raise AuditError(
                f"{role} has embeddings of {_names(sets)}, synthetic of {_names(expected)}; "
                "embed every set with the same recognisers"
            )


def check_role(role: str, sets: Mapping[str, Embeddings], synthetic: Mapping[str, Embeddings]) -> None:
    """Refuse a role that is empty, not finite, of other dimensions, or of other images under each recogniser."""
    first = next(iter(sets.values()))
    for name, embeddings in sets.items():
        if not len(embeddings):
            raise AuditError(f"{role} has no embeddings under {name}; leave the role out, or give some")
        if not np.isfinite(embeddings.vectors).all():
            rows = np.flatnonzero(~np.isfinite(embeddings.vectors).all(axis=1))
            raise AuditError(
                f"{role} has NaN or infinite embeddings under {name} ({len(rows)} rows, first: "
                f"{embeddings.images[rows[0]]}); embed those images again"
            )
        width, expected = embeddings.vectors.shape[1], synthetic[name].vectors.shape[1]
        if width != expected:
            raise AuditError(
                f"{role} has {width} dimensions under {name}, synthetic has {expected}; embed both with one recogniser"
            )
        other = next(iter(sets))
        if not np.array_equal(embeddings.images, first.images):
            raise AuditError(f"{role} under {name} has other images than under {other}; embed one set with both")
        if not np.array_equal(embeddings.identities, first.identities):
            row = int(np.flatnonzero(embeddings.identities != first.identities)[0])
            raise AuditError(
                f"{role} under {name} names other identities than under {other} for the same images (first: "
                f"{first.images[row]}); labels were swapped, embed that set again"
            )


def check_different(synthetic: Mapping[str, Embeddings]) -> None:
    """Refuse one recogniser under two names: it would stand in for a second opinion."""
    made_by: dict[str, str] = {}
    for name, item in synthetic.items():
        weights = str(item.info.get("recognizer_sha256") or name)
        if made_by.setdefault(weights, name) != name:
            raise AuditError(
                f"{made_by[weights]} and {name} are one recogniser (weights {weights[:12]}); give two of different "
                "making"
            )


def check_provenance(roles: Roles) -> None:
    """Refuse roles whose records (``Embeddings.info``) say that weights, manifest or resolution differ.

    Embeddings without a record pass: arrays may come from anywhere.
    """
    for name in roles["synthetic"]:
        weights = {role: sets[name].info.get("recognizer_sha256") for role, sets in roles.items()}
        known = {role: value for role, value in weights.items() if value}
        if len(set(known.values())) > 1:
            role = next(role for role in known if known[role] != known[next(iter(known))])
            raise AuditError(
                f"{role} was embedded by other weights under {name} ({known[role][:12]}) than "
                f"{next(iter(known))} ({known[next(iter(known))][:12]}); embed both with one recogniser"
            )
    seen: dict[str, str] = {}
    for role, sets in roles.items():
        manifests = {str(value) for item in sets.values() if (value := item.info.get("faceset_manifest_sha256"))}
        if len(manifests) > 1:
            raise AuditError(
                f"{role} has embeddings of {len(manifests)} different manifests; embed one FaceSet with all"
            )
        for manifest in manifests:
            other = seen.setdefault(manifest, role)
            first, second = (next(iter(roles[one].values())).images for one in (role, other))
            both = np.intersect1d(first, second)
            if other != role and len(both):
                raise AuditError(
                    f"{len(both)} images of {role} are also in {other} (one FaceSet, by its manifest hash; first: "
                    f"{both[0]}); an image must be in one of them only"
                )


def check_strangers(roles: Roles, recognizer: str) -> None:
    """Refuse a person, or a photo's very embedding, in two sets that must not share any."""
    for role, other in _MUST_SHARE_NO_PERSON:
        if role in roles and other in roles:
            both = np.intersect1d(roles[role][recognizer].identities, roles[other][recognizer].identities)
            if len(both):
                raise AuditError(
                    f"{len(both)} identities are in both {role} and {other} (first: {both[0]}); "
                    "people must be in one of them only, split by identity again"
                )
    for role, other in _MUST_SHARE_NO_PHOTO:
        if role in roles and other in roles:
            first, second = roles[role][recognizer], roles[other][recognizer]
            shared = np.flatnonzero(np.isin(_row_keys(first.vectors), _row_keys(second.vectors)))
            if len(shared):
                raise AuditError(
                    f"{len(shared)} photos of {role} have the very embedding of one in {other} (first: "
                    f"{first.images[shared[0]]}); a photo must be in one of them only"
                )


def check_train_other(roles: Roles) -> None:
    """Refuse other photos of training people that are of somebody else."""
    if "train_other" not in roles:
        return
    if "train" not in roles:
        raise AuditError("train_other is given without train; it holds other photos of the training people")
    name = next(iter(roles["train"]))
    unknown = np.setdiff1d(roles["train_other"][name].identities, roles["train"][name].identities)
    if len(unknown):
        raise AuditError(
            f"{len(unknown)} identities of train_other are not in train (first: {unknown[0]}); it holds other photos "
            "of the training people"
        )


def check_signatures(signatures: Mapping[str, ImageSignatures], roles: Roles, recognizer: str) -> None:
    """Refuse signatures of other images, and image files that two sets of real people share."""
    for role, item in signatures.items():
        if role not in roles:
            raise AuditError(f"signatures are given for {role}, but no embeddings; give both")
        if not np.array_equal(item.images, roles[role][recognizer].images):
            raise AuditError(
                f"the signatures of {role} are of other images than its embeddings; make both from one FaceSet"
            )
    for role, other in _MUST_SHARE_NO_PHOTO:
        if role in signatures and other in signatures:
            first, second = signatures[role].sha256, signatures[other].sha256
            if first is None or second is None:
                continue
            both = np.flatnonzero(np.isin(first, second))
            if len(both):
                raise AuditError(
                    f"{len(both)} image files are in both {role} and {other} (first: "
                    f"{signatures[role].images[both[0]]}); split the photos again so that they are disjoint"
                )


def check_labels(labels: Mapping[str, str] | None, roles: Roles, recognizer: str) -> None:
    """Refuse a label map that is not of these classes and these training people."""
    if labels is None or "train" not in roles:
        return
    people = set(roles["train"][recognizer].identities.tolist())
    strangers = sorted(set(labels.values()) - people)
    if strangers:
        raise AuditError(
            f"labels name {len(strangers)} people who are not in train (first: {strangers[0]}); give the label map of "
            "the generator that was trained on this very set"
        )
    unknown = sorted(set(labels) - set(roles["synthetic"][recognizer].identities.tolist()))
    if unknown:
        raise AuditError(
            f"labels name {len(unknown)} classes that are not in synthetic (first: {unknown[0]}); give the label map "
            "of this very set"
        )


def _row_keys(vectors: NDArray[np.float32]) -> NDArray[np.void]:
    """Return [N] each row as one value that equals another only if all its bytes do."""
    rows = np.ascontiguousarray(vectors)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
