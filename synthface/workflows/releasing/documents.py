"""Everything that stands in a release beside its images and their manifest, but for the sums."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthface.core.hashing import canonical_json, sha256_bytes, sha256_file
from synthface.core.run_record import to_json
from synthface.data import FaceSet
from synthface.data.faceset import INFO, MANIFEST, FaceRecord, read_manifest
from synthface.report.release_cards import ReleaseFacts, ReleaseFile, Stated, release_documents
from synthface.workflows.describing.sidecar import SIDECAR, SUMMARY, Sidecar
from synthface.workflows.generating.drawing_again import drawn_with
from synthface.workflows.releasing.clearance import PUBLIC_PAGE, Clearance
from synthface.workflows.releasing.description import RELEASE, Encoding, Packing, ReleaseDescription
from synthface.workflows.releasing.marked_items import name_before
from synthface.workflows.releasing.writing import files_below, is_unlisted

_MEDIA_TYPES = {".png": "image/png", ".webp": "image/webp"}
_NAMES = {"jpeg": "JPEG", "webp": "WebP"}
_IN_EVERY_LINE = ("path", "identity", "sha256", "width", "height")


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Makes the documents of one release, given its folder.

    Attributes:
        faceset: the set that is released.
        clearance: why it may be.
        record: run record of the release.
        format: how the images are packed.
        encoding: keep, or what they were encoded as.
        quality: of the encodings that lose.
        measure: content of measure.json.
        sidecar: what is known of each image.
        stated: what the publisher says.
        c2pa: certificate that signed every image, if one did.
    """

    faceset: FaceSet
    clearance: Clearance
    record: dict[str, Any]
    format: Packing
    encoding: Encoding
    quality: int
    measure: dict[str, Any] | None
    sidecar: Sidecar | None
    stated: Stated
    c2pa: dict[str, str] | None = None

    def __call__(self, working: Path) -> Mapping[str, bytes]:
        """Return name and content of every document.

        Args:
            working: folder with the images, packed, and the manifest.
        """
        documents = {RELEASE: _json(self._description(working))}
        documents |= release_documents(self._facts(working))
        if self.clearance.public_page is not None:
            documents[PUBLIC_PAGE] = self.clearance.public_page
        if self.sidecar is not None:
            documents[SIDECAR] = lines = _renamed(self.sidecar, working)
            documents[SUMMARY] = _json(self.sidecar.summary | {"sidecar_sha256": sha256_bytes(lines)})
        return documents

    def _description(self, working: Path) -> ReleaseDescription:
        return ReleaseDescription(
            set_id=set_id(self.faceset),
            kind=self.faceset.kind,
            format=self.format,
            encoding=self.encoding,
            quality=self.quality,
            n_images=len(self.faceset),
            n_identities=self.faceset.n_identities,
            manifest_sha256=sha256_file(working / MANIFEST),
            audited_manifest_sha256=self.faceset.manifest_sha256,
            clearance=self.clearance.to_json(),
            generator=self.faceset.info.get("generator", {}),
            drawn_with=drawn_with(self.faceset.info),
            made_by=self.record,
            c2pa=self.c2pa,
        )

    def _facts(self, working: Path) -> ReleaseFacts:
        first = next(read_manifest(working / MANIFEST))
        return ReleaseFacts(
            set_id=set_id(self.faceset),
            format=self.format,
            kind=self.faceset.kind,
            n_images=len(self.faceset),
            n_identities=self.faceset.n_identities,
            width=first.width,
            height=first.height,
            encoding=_MEDIA_TYPES.get(Path(first.path).suffix, "image/jpeg"),
            encoded_anew=self._encoded_anew(),
            verdict=self.clearance.verdict,
            claim=self.clearance.claim,
            changed_limits=self.clearance.changed_limits,
            acknowledged=self.clearance.acknowledged,
            audit_sha256=self.clearance.audit_sha256,
            files=tuple(_listed_files(working)),
            columns=_columns(first, working),
            member_column="member" if self.format == "webdataset" else None,
            generator=self.faceset.info.get("generator", {}),
            made_by=self.faceset.info["made_by"],
            audit=self.clearance.audit,
            measure=self.measure,
            sidecar=None if self.sidecar is None else self.sidecar.summary["scores"],
            stated=self.stated,
            signer=None if self.c2pa is None else self.c2pa["signer"],
        )

    def _encoded_anew(self) -> str | None:
        if self.encoding == "keep":
            return None
        return "PNG" if self.encoding == "png" else f"{_NAMES[self.encoding]}, quality {self.quality}"


def set_id(faceset: FaceSet) -> str:
    """Return the id of a set: the first digits of its manifest's hash."""
    return faceset.manifest_sha256[:16]


def _listed_files(working: Path) -> list[ReleaseFile]:
    """Return the files that are not single images."""
    return [
        ReleaseFile(name, sha256_file(path), path.stat().st_size)
        for path in files_below(working)
        if not (name := path.relative_to(working).as_posix()).startswith("images/")
        and not is_unlisted(name)
        and name not in (INFO, "README.md")
    ]


def _columns(first: FaceRecord, working: Path) -> tuple[str, ...]:
    """Return the keys that every line of the manifest has."""
    common = set(first.to_json())
    for record in read_manifest(working / MANIFEST):
        common &= record.to_json().keys()
    return tuple(sorted(common | set(_IN_EVERY_LINE)))


def _renamed(sidecar: Sidecar, working: Path) -> bytes:
    """Return the sidecar's lines under the names that the images have in the release."""
    names = {name_before(record): record.path for record in read_manifest(working / MANIFEST)}
    return "".join(canonical_json(line | {"path": names[line["path"]]}) + "\n" for line in sidecar.lines()).encode()


def _json(value: Any) -> bytes:
    return (json.dumps(to_json(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
