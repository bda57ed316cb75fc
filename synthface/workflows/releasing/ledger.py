"""The ledger of a set: what its manifest says of every image, and where the images are, if they are there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthface.core.errors import DataError
from synthface.core.hashing import sha256_file
from synthface.data import FaceRecord, FaceSet
from synthface.data.faceset import INFO, MANIFEST, read_manifest
from synthface.data.formats import open_source
from synthface.data.untrusted import safe_name
from synthface.workflows.generating.drawing_again import drawn_with
from synthface.workflows.releasing.description import RELEASE, ReleaseDescription


@dataclass(frozen=True)
class Ledger:
    """Records of a FaceSet, of a release in any format, or of a manifest that stands alone.

    Attributes:
        manifest: the manifest.jsonl.
        drawn_with: versions and processor that made the images, where the set says so.
        format: how the images are kept: folders, webdataset, recordio, parquet; None where nothing says it.
    """

    manifest: Path
    drawn_with: dict[str, str]
    format: str | None

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """Find the ledger of a set.

        Args:
            path: FaceSet, release, or a manifest.

        Raises:
            DataError: there is no manifest, or it is not the one that the set names.
        """
        manifest = path / MANIFEST if path.is_dir() else path
        if not manifest.is_file():
            raise DataError(f"MANIFEST {manifest} does not exist; give a FaceSet, a release, or its {MANIFEST}")
        root = manifest.parent
        if manifest.name != MANIFEST:
            return cls(manifest, {}, None)
        if (root / RELEASE).is_file():
            release = ReleaseDescription.load(root)
            return cls(manifest, release.drawn_with, release.format)
        if (root / INFO).is_file():
            return cls(manifest, drawn_with(FaceSet.load(root).info), "folders")
        return cls(manifest, {}, None)

    @property
    def sha256(self) -> str:
        """Hash of the manifest."""
        return sha256_file(self.manifest)

    def records(self, only: list[str]) -> list[FaceRecord]:
        """Return all records, or those of some identities and images.

        Args:
            only: identities, and paths of images.

        Raises:
            DataError: one of them is not in the manifest, or a line of it is no record.
        """
        found = [r for r in read_manifest(self.manifest) if not only or r.path in only or r.identity in only]
        for name in only:
            if not any(name in (record.path, record.identity) for record in found):
                raise DataError(f"--only {name}: {self.manifest} has no such identity or image")
        if not found:
            raise DataError(f"{self.manifest} lists no image")
        return found

    def images(self, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
        """Yield path and file of the images that are wanted and there; a set that cannot be read has none.

        Args:
            wanted: paths as in the manifest.
        """
        root = self.manifest.parent
        if self.format in ("folders", None):  # a manifest without description may have its images beside it
            for path in sorted(wanted):
                if (root / safe_name(path)).is_file():
                    yield path, (root / path).read_bytes()
        else:
            try:
                for item in open_source(root).items():
                    if item.name in wanted:
                        yield item.name, item.content
            except DataError:
                return
