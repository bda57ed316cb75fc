"""The sidecar of a FaceSet: a folder of its own, so that the set is never edited."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthface.core.errors import DataError
from synthface.core.hashing import sha256_file
from synthface.data import FaceSet

SIDECAR = "sidecar.jsonl"
SUMMARY = "sidecar.json"


@dataclass(frozen=True)
class Sidecar:
    """What 'synthface describe' wrote of a FaceSet.

    Attributes:
        folder: where it lies.
        summary: ``sidecar.json``: what made it, and the distribution of every score.
    """

    folder: Path
    summary: dict[str, Any]

    @classmethod
    def load(cls, folder: Path, faceset: FaceSet, *, origin: str | None = None) -> "Sidecar":
        """Open the sidecar of a FaceSet.

        Args:
            folder: where it lies.
            faceset: the set that it must be of.
            origin: hash of another manifest that it may be of: the one of which the set is a release.

        Raises:
            DataError: there is none, it was changed, or it belongs to another set.
        """
        try:
            summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
            digest, of = summary["sidecar_sha256"], summary["made_by"]["inputs"]["faceset"]
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"--sidecar {folder} holds no valid {SUMMARY}; make it with 'synthface describe'") from None
        if of not in (faceset.manifest_sha256, origin):
            raise DataError(f"--sidecar {folder} belongs to another set than {faceset.root}; describe this one")
        if not (folder / SIDECAR).is_file() or sha256_file(folder / SIDECAR) != digest:
            raise DataError(f"--sidecar {folder}: {SIDECAR} is missing or was changed; make it again")
        return cls(folder, summary)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield what is known of each image, in the manifest's order; ``path`` names the image."""
        with (self.folder / SIDECAR).open(encoding="utf-8") as stream:
            yield from map(json.loads, stream)
