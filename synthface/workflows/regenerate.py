"""Make the images of a synthetic set again from its manifest alone, and compare them with it byte for byte.

Every line of manifest.jsonl says which generator, class or identity code, seed, psi, noise mode and, where one was
given, cutoff made the image, and what a release did to the file since. The images are drawn again, processed as they
were, and their hashes compared with the manifest's. What differs is told: how many images, and where the set's own
images are at hand by how much, in OUT/regeneration.json and OUT/differences.jsonl. Another processor, torch version or
version of this project's drawing code rounds differently, which moves a few pixels by one or two of 255; another seed
gives another face. The number of threads has no part in it: each image is drawn on one. Exit code 0: all identical (or
within --tolerance), 1: some differ, 3: they cannot be made.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthface.core.errors import ConfigError
from synthface.core.hashing import canonical_json, sha256_file
from synthface.models import GENERATOR, shipped_model
from synthface.workflows.compute import Compute, launch_fabric
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from synthface.data import FaceRecord, FaceSetWriter
    from synthface.workflows.releasing.ledger import Ledger

EXAMPLES = """
synthface regenerate synthetic --generator runs/gan --out again
synthface regenerate release --generator runs/gan --only mixed-000007 mixed-000012 --out again
synthface regenerate release/manifest.jsonl --generator runs/gan --tolerance 2 --out again
"""
RESULT, DIFFERENCES = "regeneration.json", "differences.jsonl"


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface regenerate``.

    Args:
        manifest: FaceSet, release in any format, or its manifest.jsonl.
        out: FaceSet to write, with the images made again.
        generator: generator file, or the folder of a training run; default is the one that ships with the package.
        only: identities, or paths of images, to make again; default is all.
        tolerance: largest difference of a colour value, of 255, that still counts as the same for the exit code; 0
            takes the same pixels in other bytes; by default the bytes must be the same. The counts do not depend on it.
    """

    manifest: Path = field(metadata={"positional": True})
    out: Path
    generator: Path | None = None
    only: list[str] = field(default_factory=list)
    tolerance: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tolerance is not None and not 0 <= self.tolerance <= 255:
            raise ConfigError(f"--tolerance {self.tolerance} is not in 0 to 255")


def run(options: Options) -> int:
    """Draw, compare and print what came of it."""
    from gan.weights import generator_file, read_header
    from synthface.core.run_record import library_versions, run_record
    from synthface.data import FaceSetWriter
    from synthface.workflows.generating.drawing_again import check_recipes, drawing_facts
    from synthface.workflows.releasing.ledger import Ledger

    ledger = Ledger.open(options.manifest)
    records = ledger.records(options.only)
    file = generator_file(options.generator or shipped_model(GENERATOR))
    check_recipes(records, file)
    digest, header = sha256_file(file), read_header(file)
    fabric = launch_fabric(options)
    record = run_record(
        "regenerate",
        {"only": sorted(options.only)},
        inputs={"manifest": ledger.sha256, "generator": digest},
    )
    facts = drawing_facts(fabric.device)
    extra = {"generator": {"sha256": digest, **header["info"]}, "drawn_with": facts}
    with FaceSetWriter(options.out, kind="synthetic", record=record, extra=extra, rank=fabric.global_rank) as writer:
        if not writer.is_complete:
            _draw(records, file, writer, fabric)
        fabric.barrier()
        if not fabric.is_global_zero:
            return 0
        now = library_versions() | facts
        writer.finish(lambda working: _compare(working, ledger, records, now))
    result = json.loads((options.out / RESULT).read_text(encoding="utf-8"))
    return _report(result, options)


def _draw(records: "list[FaceRecord]", file: Path, writer: "FaceSetWriter", fabric: Any) -> None:
    from synthface.data.formats import Item
    from synthface.data.images import encode_png
    from synthface.workflows.generating.drawing_again import draw_again
    from synthface.workflows.releasing.marked_items import name_before, processed_again, record_of

    mine = records[fabric.global_rank :: fabric.world_size]
    to_do = [record for record in mine if not writer.done(record.path)]
    drawn = draw_again(to_do, file, fabric.device)
    for record, image in track(drawn, description="making again", total=len(mine), initial=len(mine) - len(to_do)):
        item = Item(encode_png(image), record.identity, name_before(record), fields=record.to_json())
        if record.processing is not None:
            item = processed_again(item, record.processing)
        writer.add_record(replace(record_of(item), path=record.path), item.content)


def _compare(
    working: Path, ledger: "Ledger", records: "list[FaceRecord]", now: Mapping[str, str]
) -> Mapping[str, bytes]:
    """Return the two files that tell how the images of ``working`` differ from the ledger."""
    from synthface.data.faceset import MANIFEST, read_manifest
    from synthface.workflows.releasing.comparison import Difference, compare_images, environment_differences, summary
    from synthface.workflows.releasing.marked_items import unsigned_sha256

    expected = {record.path: unsigned_sha256(record) for record in records}
    differing = {r.path for r in read_manifest(working / MANIFEST) if r.sha256 != expected[r.path]}
    found: dict[str, Difference] = {}
    for path, original in ledger.images(differing) if differing else ():
        found[path] = compare_images(path, (working / path).read_bytes(), original)
    for path in differing - found.keys():
        found[path] = compare_images(path, b"", None)
    differences = [found[path] for path in sorted(found)]
    result = summary(len(records), differences) | {
        "otherwise_than_then": list(environment_differences(ledger.drawn_with, now))
    }
    return {
        RESULT: (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode(),
        DIFFERENCES: "".join(canonical_json(item.to_json()) + "\n" for item in differences).encode(),
    }


def _report(result: dict[str, Any], options: Options) -> int:
    """Print counts, differences and their possible causes; return the exit code."""
    print(
        f"{result['n_images']:,} images made again: {result['n_identical']:,} identical, {result['n_differing']:,} not"
    )
    if not result["n_differing"]:
        return 0
    if "largest_difference" in result:
        print(
            f"in these, {result['n_pixels']:,} pixels differ ({result['share_of_pixels']:.2%}), by at most "
            f"{result['largest_difference']} of 255, {result['mean_difference']:.4f} on average over all values; "
            f"{result['n_same_pixels_in_other_bytes']:,} images have the same pixels in other bytes"
        )
    if result["n_not_compared"]:
        print(f"{result['n_not_compared']:,} could not be compared by pixels; {options.out / DIFFERENCES} says why")
    for cause in result["otherwise_than_then"]:
        print(f"otherwise than then: {cause}")
    if not result["otherwise_than_then"]:
        print("processor and versions are those recorded: the files, or their records, were changed")
    is_within = (
        options.tolerance is not None
        and not result["n_not_compared"]
        and result["largest_difference"] <= options.tolerance
    )
    return 0 if is_within else 1
