"""FaceSets as a stream of items, and made from one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthface.core.digest_set import DigestSet
from synthface.core.errors import DataError
from synthface.data.faceset import MANIFEST, FaceSet, Kind
from synthface.data.faceset_writer import FaceSetWriter
from synthface.data.formats.folders import folder_name
from synthface.data.formats.image_header import EXTENSIONS
from synthface.data.formats.item import Item
from synthface.data.record_check import is_field, read_lines
from synthface.data.untrusted import printable


def read_faceset(root: Path) -> Iterator[Item]:
    """Yield the images of a FaceSet in manifest order; labels number the sorted identities, as in training.

    The manifest is read line by line, so that a set of any size takes the memory of its identities.

    Raises:
        DataError: an image is missing, or the manifest or an image does not match its hash.
    """
    identities = sorted({line["identity"] for line in read_lines(root / MANIFEST)})
    label_of = {identity: label for label, identity in enumerate(identities)}
    for line in read_lines(root / MANIFEST):
        path = f"{root}/{line['path']}"
        try:
            with open(path, "rb") as stream:  # noqa: PTH123  (a Path takes half as long as the file)
                content = stream.read()
        except OSError:
            raise DataError(f"{path} is missing; the FaceSet is incomplete, make it again") from None
        fields = {key: value for key, value in line.items() if value is not None and is_field(key, value)}
        item = Item(content, line["identity"], line["path"], label_of[line["identity"]], fields)
        if item.sha256 != line["sha256"]:
            raise DataError(f"{path} does not match its hash in {MANIFEST}; make the FaceSet again")
        yield item


class FaceSetSink:
    """Writes a FaceSet; what an interrupted run has written is kept.

    Fields that a FaceSet has no place for are dropped and named in ``dropped_fields``.
    """

    def __init__(self, out: Path, *, kind: Kind, record: dict[str, Any], extra: dict[str, Any] | None = None) -> None:
        self.writer = FaceSetWriter(out, kind=kind, record=record, extra=extra)
        self.dropped_fields: set[str] = set()
        self._seen = DigestSet()

    def add(self, item: Item) -> None:
        """Write one image."""
        path = item.name if item.name.startswith("images/") else f"images/{_path(item)}"
        if path in self._seen:
            raise DataError(f"two images are named {printable(item.name)}; rename one of them")
        self._seen.add(path)
        if self.writer.done(path):
            return
        fields: dict[str, Any] = {"alignment": "given"}
        for key, value in item.fields.items():
            if is_field(key, value):
                fields[key] = value
            else:
                self.dropped_fields.add(key)
        size = {"width": item.header.width, "height": item.header.height}
        self.writer.add(path, item.content, identity=item.identity, sha256=item.sha256, **size, **fields)

    def finish(self) -> FaceSet:
        """Write the manifest and move the folder into place."""
        return self.writer.finish()

    def close(self) -> None:
        """Keep the work so far for the next run."""
        self.writer.close()


def _path(item: Item) -> str:
    """Return the item's own name if it has an image's ending, else one under its identity."""
    if item.name.endswith(tuple(EXTENSIONS.values())) or item.name.lower().endswith(".jpeg"):
        return item.name
    return f"{folder_name(item.identity)}/{folder_name(item.name)}{EXTENSIONS[item.header.format]}"
