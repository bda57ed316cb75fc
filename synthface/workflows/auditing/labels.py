"""Which training person a synthetic identity goes back to, as far as the set's record says."""

from collections.abc import Mapping

from synthface.data import FaceSet


def trained_on_sha256(synthetic: FaceSet) -> str | None:
    """Return the manifest hash of the set that the generator was trained on, if the release says so."""
    made_by = synthetic.info.get("generator")
    found = made_by.get("trained_on_manifest_sha256") if isinstance(made_by, dict) else None
    return None if found is None else str(found)


def label_map(facesets: Mapping[str, FaceSet]) -> dict[str, str] | None:
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


def label_map_missing(facesets: Mapping[str, FaceSet]) -> bool:
    """Say whether the images are of a generator's classes and nothing tells which training people those are.

    A generator whose identities were drawn from a distribution says so, and has no such classes.
    """
    synthetic = facesets["synthetic"]
    made_by = synthetic.info.get("generator")
    if trained_on_sha256(synthetic) is not None or (isinstance(made_by, dict) and "identities" in made_by):
        return False
    return any(record.class_index is not None or record.code for record in synthetic.records)
