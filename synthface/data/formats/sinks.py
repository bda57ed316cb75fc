"""Writers by the name of their format."""

from pathlib import Path
from typing import Protocol

from synthface.data.formats.folders import FoldersSink
from synthface.data.formats.item import Item
from synthface.data.formats.parquet import ParquetSink
from synthface.data.formats.recordio import RecordIOSink
from synthface.data.formats.webdataset import WebDatasetSink


class Sink(Protocol):
    """Takes items one by one; the set is whole when ``finish`` has returned."""

    def add(self, item: Item) -> None:
        """Write one image."""

    def finish(self) -> object:
        """Write what stands at the end."""

    def close(self) -> None:
        """Close the files; without ``finish`` the set is not whole."""


def open_sink(name: str, folder: Path, *, shard_size: int = 10_000) -> Sink:
    """Return a writer into an existing, empty folder.

    Args:
        name: folders, recordio, webdataset or parquet.
        folder: where to write.
        shard_size: images a shard, where the format has shards.
    """
    if name == "webdataset":
        return WebDatasetSink(folder, shard_size=shard_size)
    if name == "parquet":
        return ParquetSink(folder, shard_size=shard_size)
    return RecordIOSink(folder) if name == "recordio" else FoldersSink(folder)
