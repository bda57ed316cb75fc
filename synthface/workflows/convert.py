"""Convert a set of faces between formats, one image in memory at a time; image files keep their very bytes.

The format of SOURCE is found out from its content: a FaceSet, a folder per identity, InsightFace RecordIO
(train.rec), WebDataset shards (.tar), Hugging Face parquet, or a .bin verification set. Nothing in SOURCE is trusted:
no path leaves its folder, no pickle is executed, sizes are limited. What was written is read again and compared, count
and hashes, before it gets its name. A conversion that was stopped starts anew (to a FaceSet: goes on).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthface.core.errors import ConfigError, DataError
from synthface.workflows.existing_results import existing_results
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from synthface.data.formats import ContentSum, Item, Source

EXAMPLES = """
synthface convert faces --to webdataset --out shards --shard-size 10000
synthface convert train.rec --to faceset --kind real --out faces
synthface convert faces --to recordio --encode jpeg --quality 95 --out rec
synthface convert lfw.bin --to faceset --out lfw
synthface convert faces --to bin --pairs pairs.txt --out mine.bin
"""
PAIRS = "pairs.jsonl"  # in a FaceSet made from a .bin: which of its images are compared

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Options of ``synthface convert``.

    Args:
        source: file or folder with the set.
        to: format to write.
        out: folder to write; for bin the file.
        shard_size: images a shard, for webdataset and parquet.
        encode: encode every image anew; without it the files' bytes are kept.
        quality: of --encode jpeg or webp, 1 to 100.
        kind: what the images are, for a FaceSet from a source that does not say so.
        pairs: for --to bin, pairs in the format of LFW's pairs.txt.
    """

    source: Path = field(metadata={"positional": True})
    to: Literal["faceset", "folders", "recordio", "webdataset", "parquet", "bin"]
    out: Path
    shard_size: int = 10_000
    encode: Literal["jpeg", "png", "webp"] | None = None
    quality: int = 95
    kind: Literal["real", "synthetic", "inverted"] | None = None
    pairs: Path | None = None

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise ConfigError(f"--shard-size {self.shard_size}: give at least 1")
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality {self.quality} is not in 1 to 100")
        if self.pairs is not None and self.to != "bin":
            raise ConfigError("--pairs belongs to --to bin")


def run(options: Options) -> int:
    """Convert, compare and print what was written."""
    from synthface.data.formats import open_source

    source = open_source(options.source)
    if options.to == "bin":
        return _to_bin(options, source)
    record = _record(options, source)
    if options.to == "faceset":
        return _to_faceset(options, source, record)
    return _to_folder(options, source, record)


def _record(options: Options, source: "Source") -> dict[str, Any]:
    from synthface.core.run_record import run_record

    config = {"to": options.to, "shard_size": options.shard_size, "encode": options.encode, "quality": options.quality}
    return run_record("convert", config, inputs={f"{source.format} (names and sizes)": source.fingerprint()})


def _items(options: Options, source: "Source") -> Iterator["Item"]:
    """Yield the source's items, within the limits, encoded anew if asked for, with a bar."""
    from synthface.data.formats.reencoding import reencode

    for item in track(source.items(), description=f"convert to {options.to}", total=source.n_images):
        item.require_image()
        yield reencode(item, options.encode, quality=options.quality) if options.encode else item


def _to_folder(options: Options, source: "Source", record: dict[str, Any]) -> int:
    from synthface.core.atomic import atomic_folder
    from synthface.core.run_record import write_json
    from synthface.data.formats import CONVERSION, ContentSum, open_sink, open_source

    if existing_results(options.out, CONVERSION, record) is not None:
        return 0
    total = ContentSum()
    with atomic_folder(options.out) as working:
        sink = open_sink(options.to, working, shard_size=options.shard_size)
        try:
            for item in total.over(_items(options, source)):
                sink.add(item)
            _require_images(total, source)
            sink.finish()
        finally:
            sink.close()
        facts = {"n_images": total.n_images, "sha256": total.sha256, "kind": options.kind or source.kind}
        write_json(working / CONVERSION, facts | {"made_by": record})
        _compare(total, open_source(working), options.out)
    _report(options, total)
    return 0


def _to_faceset(options: Options, source: "Source", record: dict[str, Any]) -> int:
    from synthface.data.formats import ContentSum, open_source
    from synthface.data.formats.facesets import FaceSetSink

    kind = options.kind or source.kind
    if kind is None:
        raise ConfigError(f"{options.source} does not say what its images are; give --kind real, synthetic or inverted")
    sink = FaceSetSink(options.out, kind=kind, record=record, extra=_carried(source))
    if sink.writer.is_complete:
        return 0
    total = ContentSum()
    try:
        for item in total.over(_items(options, source)):
            sink.add(item)
        _require_images(total, source)
        files = {PAIRS: _pairs_of_bin(source)} if source.format == "bin" else {}
        sink.writer.finish(files)
    finally:
        sink.close()
    if sink.dropped_fields:
        logger.warning("a FaceSet has no place for %s: left out", ", ".join(sorted(map(ascii, sink.dropped_fields))))
    _compare(total, open_source(options.out), options.out)
    _report(options, total)
    return 0


def _carried(source: "Source") -> dict[str, Any]:
    """Return what a FaceSet says of its generator and of its cleaning, which an audit of the copy must know too."""
    if source.format != "faceset":
        return {}
    from synthface.data import FaceSet

    info = FaceSet.load(source.path).info
    return {name: info[name] for name in ("generator", "drawn_with", "remediation") if name in info}


def _pairs_of_bin(source: "Source") -> bytes:
    from synthface.core.hashing import canonical_json
    from synthface.data.formats import VerificationBin

    names = (item.name for item in source.items())
    rows = zip(names, names, VerificationBin.open(source.path).same, strict=False)
    return "".join(canonical_json({"first": a, "second": b, "same": same}) + "\n" for a, b, same in rows).encode()


def _to_bin(options: Options, source: "Source") -> int:
    from synthface.core.atomic import partial_path, require_absent
    from synthface.data.formats import VerificationBin, write_verification_bin

    require_absent(options.out)
    pairs = _pairs_to_write(options, source)
    working = partial_path(options.out)
    working.parent.mkdir(parents=True, exist_ok=True)
    with working.open("wb") as stream:
        n_pairs = write_verification_bin(stream, track(pairs, description="convert to bin", unit="pair"))
    if len(VerificationBin.open(working).same) != n_pairs:
        raise DataError(f"{working} does not hold what was written; is the disk damaged?")
    working.rename(options.out)
    print(f"{options.out}: {n_pairs:,} pairs")
    return 0


def _pairs_to_write(options: Options, source: "Source") -> Iterator[tuple[bytes, bytes, bool]]:
    from synthface.data import FaceSet
    from synthface.data.formats import Item
    from synthface.data.formats.reencoding import reencode
    from synthface.workflows.pairs_file import locate_pairs, read_pair_rows

    if source.format != "faceset":
        raise ConfigError(f"{options.source} is no FaceSet; make one with 'synthface convert --to faceset', then this")
    faceset = FaceSet.load(options.source)
    if options.pairs is not None:
        located = locate_pairs(options.pairs, faceset, flag="--pairs")
        if (missing := located.n_listed - len(located.rows)) > 0:
            raise DataError(f"{missing} of {located.n_listed} pairs name images that {faceset.root} lacks")
        rows = [(int(a), int(b), bool(same)) for (a, b), same in zip(located.rows, located.same, strict=True)]
    else:
        rows = read_pair_rows(faceset, PAIRS)

    def content(row: int) -> bytes:
        faceset.read_image(row)  # checks the hash
        record = faceset.records[row]
        item = Item((faceset.root / record.path).read_bytes(), record.identity, record.path)
        return reencode(item, options.encode, quality=options.quality).content if options.encode else item.content

    return ((content(first), content(second), same) for first, second, same in rows)


def _require_images(total: "ContentSum", source: "Source") -> None:
    if not total.n_images:
        raise DataError(f"{source.path} holds no image")


def _compare(total: "ContentSum", written: "Source", out: Path) -> None:
    from synthface.data.formats import ContentSum

    again = ContentSum()
    for item in track(written.items(), description="reading back", total=total.n_images):
        again.add(item)
    if (again.n_images, again.sha256) != (total.n_images, total.sha256):
        raise DataError(f"{out}: reading it back gave other images than were written; is the disk full or damaged?")


def _report(options: Options, total: "ContentSum") -> None:
    print(f"{options.out}: {total.n_images:,} images as {options.to}, read back and compared")
