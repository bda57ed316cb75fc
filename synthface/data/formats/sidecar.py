"""``items.jsonl``: what a format has no place for, one line an image, so that the way back loses nothing."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from synthface.core.errors import DataError
from synthface.core.hashing import canonical_json
from synthface.data.formats.item import Item
from synthface.data.untrusted import json_lines, safe_identity, safe_label, safe_name

SIDECAR = "items.jsonl"
_ENTRIES = {"identity", "name", "sha256", "fields"}


def is_item_metadata(value: dict[str, Any]) -> bool:
    """Say whether a JSON object is what ``item_metadata`` made of an item, and not a stranger's."""
    return value.keys() >= _ENTRIES


def item_metadata(item: Item, **more: Any) -> dict[str, Any]:
    """Return everything of an item but its bytes, and their hash."""
    known = {"identity": item.identity, "name": item.name, "sha256": item.sha256, "fields": item.fields}
    return known | ({} if item.label is None else {"label": item.label}) | more


def metadata_line(item: Item, **more: Any) -> str:
    """Return one line of the sidecar."""
    return canonical_json(item_metadata(item, **more)) + "\n"


def item_from_metadata(content: bytes, metadata: dict[str, Any]) -> Item:
    """Put an item together again.

    Raises:
        DataError: an entry is missing, of the wrong type, or the bytes have another hash.
    """
    fields = metadata.get("fields", {})
    if not isinstance(fields, dict):
        raise DataError("metadata whose 'fields' are no object")
    identity, name = safe_identity(metadata.get("identity")), safe_name(metadata.get("name"))
    item = Item(content, identity, name, safe_label(metadata.get("label")), fields)
    if metadata.get("sha256") != item.sha256:
        raise DataError(f"{name} does not match its hash")
    return item


def with_sidecar(path: Path, contents: Iterable[bytes]) -> Iterator[Item]:
    """Yield the items of a file's images in order, each with its line of the sidecar.

    Raises:
        DataError: more of the one than of the other, or an image that is not the line's.
    """
    lines = json_lines(path)
    number = 0
    for number, content in enumerate(contents, 1):
        line = next(lines, None)
        if line is None:
            raise DataError(f"{path} ends after {number - 1} lines, but there are more images; one of them was changed")
        try:
            yield item_from_metadata(content, line)
        except DataError as error:
            raise DataError(f"{path}, line {number}: {error}") from None
    if next(lines, None) is not None:
        raise DataError(f"{path} has more than {number} lines, but there are no more images; the set is incomplete")
