"""Hugging Face data sets: ``data/train-*.parquet`` with ``image`` (bytes, path) and ``label``, and a card.

Needs pyarrow (``pip install 'synthface-kit[parquet]'``). The card's YAML tells the ``datasets`` library the columns'
types; ``identity`` and ``metadata`` (JSON) hold what a label cannot.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from synthface.core.errors import ConfigError, DataError
from synthface.core.hashing import canonical_json
from synthface.data.formats.image_header import MAX_IMAGE_BYTES, guess_suffix
from synthface.data.formats.item import Item, LabelTable
from synthface.data.formats.sidecar import is_item_metadata, item_from_metadata, item_metadata
from synthface.data.untrusted import read_json_object, safe_identity, safe_label, safe_name

CARD = "README.md"
_ROWS_A_GROUP = 256  # small, so that a reader holds few images at once
_BYTES_A_GROUP = 2**26
_MAX_GROUP_BYTES = 2**31
_FEATURES = {
    "image": {"_type": "Image"},
    "label": {"dtype": "int64", "_type": "Value"},
    "identity": {"dtype": "string", "_type": "Value"},
    "metadata": {"dtype": "string", "_type": "Value"},
}


def read_parquet(files: list[Path]) -> Iterator[Item]:
    """Yield the rows of the files, a row group in memory at a time.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: names the file, the row and what is wrong.
    """
    arrow = _pyarrow()
    for file in files:
        row = 0
        try:
            for row, (content, path, label, identity, metadata) in enumerate(_rows(arrow, file)):
                yield _item(content, path, label, identity, metadata, f"{file.stem}/{row:09d}")
        except DataError as error:
            raise DataError(f"{file}, row {row}: {error}") from None


def _rows(arrow: ModuleType, file: Path) -> Iterator[tuple[Any, ...]]:
    try:
        with arrow.parquet.ParquetFile(
            file, thrift_string_size_limit=2**26, thrift_container_size_limit=2**22
        ) as table:
            names = table.schema_arrow.names
            columns = [name for name in ("image", "label", "identity", "metadata") if name in names]
            if "image" not in columns:
                raise DataError("no column 'image'")
            for group in range(table.num_row_groups):
                if not 0 <= table.metadata.row_group(group).total_byte_size <= _MAX_GROUP_BYTES:
                    raise DataError(f"a row group of more than {_MAX_GROUP_BYTES // 2**30} GB")
                for batch in table.iter_batches(64, row_groups=[group], columns=columns):
                    others = [
                        batch.column(name).to_pylist() if name in columns else [None] * len(batch)
                        for name in ("label", "identity", "metadata")
                    ]
                    yield from zip(*_images(arrow, batch.column("image")), *others, strict=True)
    except (arrow.ArrowException, OSError, ValueError, TypeError, LookupError, MemoryError, OverflowError) as error:
        raise DataError(f"no whole parquet file ({' '.join(str(error).split())[:120]})") from None


def _images(arrow: ModuleType, column: Any) -> tuple[list[Any], list[Any]]:
    """Return files and paths of a column of images: ``{bytes, path}`` or bytes alone."""
    if not arrow.types.is_struct(column.type):
        return column.to_pylist(), [None] * len(column)
    parts = dict(zip((field.name for field in column.type), column.flatten(), strict=True))
    contents, paths = (parts[name].to_pylist() if name in parts else [None] * len(column) for name in ("bytes", "path"))
    return contents, paths


def _item(content: Any, path: Any, label: Any, identity: Any, metadata: Any, name: str) -> Item:
    if not isinstance(content, bytes):
        raise DataError("its image holds no bytes (a path elsewhere is not followed)")
    if len(content) > MAX_IMAGE_BYTES:
        raise DataError(f"an image of more than {MAX_IMAGE_BYTES // 2**20} MB")
    if metadata is not None:
        fields = read_json_object(metadata if isinstance(metadata, str | bytes) else "")
        if is_item_metadata(fields):
            return item_from_metadata(content, fields)
    label = safe_label(label)
    if identity is None and label is None:
        raise DataError("neither 'label' nor 'identity' says who it shows")
    identity = safe_identity(f"{label:06d}" if identity is None else identity)
    return Item(content, identity, safe_name(path or name + guess_suffix(content)), label)


def count_rows(files: list[Path]) -> int | None:
    """Return the number of rows as the files' footers give it, None where they cannot be read."""
    arrow = _pyarrow()
    try:
        return sum(int(arrow.parquet.read_metadata(file).num_rows) for file in files)
    except (arrow.ArrowException, OSError, ValueError):
        return None


class ParquetSink:
    """Writes ``data/train-00000-of-0000N.parquet``, ``shard_size`` rows each, and the card."""

    def __init__(self, folder: Path, *, shard_size: int = 10_000) -> None:
        self._arrow = _pyarrow()
        self._folder = folder
        self._data = folder / "data"
        self._data.mkdir()
        self._shard_size = shard_size
        self._labels = LabelTable()
        self._rows: list[tuple[Any, ...]] = []  # image file, name, label, identity, metadata
        self._n_written = 0
        self._n_bytes = 0
        self._n_waiting = 0  # bytes of the images in the rows
        self._shards: list[Path] = []
        self._writer: Any = None
        self._schema = self._arrow.schema(
            {
                "image": self._arrow.struct({"bytes": self._arrow.binary(), "path": self._arrow.string()}),
                "label": self._arrow.int64(),
                "identity": self._arrow.string(),
                "metadata": self._arrow.string(),
            },
            metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
        )

    def add(self, item: Item) -> None:
        """Write one row."""
        metadata = canonical_json(item_metadata(item))
        self._rows.append((item.content, item.name, self._labels.label(item), item.identity, metadata))
        self._n_bytes += len(item.content)
        self._n_written += 1
        shard_is_full = self._n_written % self._shard_size == 0
        self._n_waiting += len(item.content)
        if len(self._rows) == _ROWS_A_GROUP or self._n_waiting > _BYTES_A_GROUP or shard_is_full:
            self._flush()
        if shard_is_full:
            self.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            self._shards.append(self._data / f"shard-{len(self._shards):05d}.parquet")
            # images are compressed already, and their bytes have no statistics
            self._writer = self._arrow.parquet.ParquetWriter(
                self._shards[-1], self._schema, compression="none", use_dictionary=False, write_statistics=False
            )
        contents, names, *others = map(list, zip(*self._rows, strict=True))
        image, *types = (field.type for field in self._schema)
        files = [self._arrow.array(contents, image[0].type), self._arrow.array(names, image[1].type)]
        columns = [self._arrow.array(values, type) for values, type in zip(others, types, strict=True)]
        images = self._arrow.StructArray.from_arrays(files, fields=list(image))
        self._writer.write_table(self._arrow.Table.from_arrays([images, *columns], schema=self._schema))
        self._rows.clear()
        self._n_waiting = 0

    def finish(self) -> None:
        """Close the last shard, name the shards, which takes their number, and write the card."""
        self._flush()
        self.close()
        for k, shard in enumerate(self._shards):
            shard.rename(self._data / f"train-{k:05d}-of-{len(self._shards):05d}.parquet")
        card = _card(self._n_written, len(self._labels), self._n_bytes)
        (self._folder / CARD).write_text(card, encoding="utf-8")

    def close(self) -> None:
        """Close the shard that is open."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _card(n_images: int, n_identities: int, n_bytes: int) -> str:
    return f"""---
pretty_name: Faces
task_categories:
- image-classification
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype: int64
  - name: identity
    dtype: string
  - name: metadata
    dtype: string
  splits:
  - name: train
    num_examples: {n_images}
    num_bytes: {n_bytes}
---

# Faces

{n_images:,} images of {n_identities:,} identities. `label` numbers the identities; `metadata` is JSON with the name,
SHA-256 and what else is known of each image.
"""


def _pyarrow() -> ModuleType:
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError("parquet needs pyarrow: pip install 'synthface-kit[parquet]'") from None
    return pyarrow
