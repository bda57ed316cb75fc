"""``release.json``: what a release says of itself, the same in every format."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args

from synthface.core.errors import DataError
from synthface.core.hashing import sha256_file
from synthface.workflows.json_fields import Types, wrong_field

RELEASE = "release.json"
SUMS = "SHA256SUMS"
Packing = Literal["folders", "webdataset", "recordio", "parquet"]
Encoding = Literal["keep", "png", "jpeg", "webp"]
_TEXTS = ("set_id", "kind", "format", "encoding", "manifest_sha256", "audited_manifest_sha256")
_FIELDS: dict[str, Types] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(("quality", "n_images", "n_identities"), int),
    **dict.fromkeys(("clearance", "generator", "drawn_with", "made_by"), dict),
    "clearance.verdict": str,
    "clearance.acknowledged?": (str, NoneType),
    "clearance.changed_limits?": dict,
    "drawn_with.*": str,
    "c2pa?": (dict, NoneType),
    "c2pa?.*": str,
    "c2pa?.signer": str,
}


@dataclass(frozen=True, kw_only=True)
class ReleaseDescription:
    """What a release says of itself.

    Attributes:
        set_id: id in the marks; the first digits of the audited set's manifest hash.
        kind: synthetic or inverted.
        format: how the images are packed.
        encoding: keep, or what every image was encoded as anew.
        quality: of the encodings that lose.
        n_images: how many images.
        n_identities: how many identities.
        manifest_sha256: hash of this release's manifest.jsonl.
        audited_manifest_sha256: hash of the manifest of the set that was audited.
        clearance: verdict, claim, changed limits, acknowledged risk and hash of the audit.
        generator: what the set says of its generator.
        drawn_with: versions, processor, device and code that drew the images.
        made_by: run record of the release.
        c2pa: serial number, common name and hash of the certificate that signed every image, if one did.
    """

    set_id: str
    kind: str
    format: Packing
    encoding: Encoding
    quality: int
    n_images: int
    n_identities: int
    manifest_sha256: str
    audited_manifest_sha256: str
    clearance: dict[str, Any]
    generator: dict[str, Any]
    drawn_with: dict[str, str]
    made_by: dict[str, Any]
    c2pa: dict[str, str] | None = None

    @classmethod
    def load(cls, root: Path) -> "ReleaseDescription":
        """Read a release's description and check the hash of its manifest.

        Raises:
            DataError: it has none, or one that is no description or has a damaged field, or another manifest.
        """
        path = root / RELEASE
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise DataError(f"{path} is no description of a release; get or make the release again")
        wrong = wrong_field(document, _FIELDS)
        if wrong is not None:
            raise DataError(
                f"{path} is damaged ('{wrong}' is missing or of another type); get or make the release again"
            )
        found = cls(**{field.name: document[field.name] for field in fields(cls) if field.name in document})
        if found.format not in get_args(Packing) or found.encoding not in get_args(Encoding):
            raise DataError(f"{path} names a format that this version of synthface does not know")
        manifest = root / "manifest.jsonl"
        if not manifest.is_file() or sha256_file(manifest) != found.manifest_sha256:
            raise DataError(f"{manifest} is missing or is not the one in {RELEASE}")
        return found
