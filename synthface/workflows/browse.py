"""Show a FaceSet as one self-contained page: contact sheets by identity, with filters, audit flags and details.

The page is a single HTML file that opens from the disk and loads nothing from elsewhere. Only the rows near the window
exist at a time, so thousands of identities stay fluid. If all thumbnails together would make the file too large, fewer
of each identity are shown, then smaller ones; the page says so. Pages of real or inverted faces warn not to be
published.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthface.core.errors import AuditError, ConfigError, DataError
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from synthface.data import FaceSet
    from synthface.report.browse_data import Flags, Score

EXAMPLES = """
synthface browse synthetic --out synthetic.html
synthface browse synthetic --out synthetic.html --audit audit --sidecar sidecar --measure measure
synthface browse faces --out faces.html --per-identity 8 --thumbnail 48
"""
_LOOKS = ("sharpness", "contrast")
_FIRST = ("similarity", "confidence", *_LOOKS)


@dataclass(frozen=True)
class Options:
    """Options of ``synthface browse``.

    Args:
        faceset: FaceSet, or release in folders, to show.
        out: HTML file to write.
        audit: folder that 'synthface audit' wrote for this set; its flags are shown.
        sidecar: folder that 'synthface describe' wrote for this set; its scores become filters.
        measure: folder that 'synthface measure' wrote for this set; its figures are shown.
        thumbnail: pixels a side; the default is what fits, 64, 48 or 32.
        per_identity: images of each identity that are shown; the default is what fits.
        max_megabytes: size that the thumbnails together should stay below.
    """

    faceset: Path = field(metadata={"positional": True})
    out: Path
    audit: Path | None = None
    sidecar: Path | None = None
    measure: Path | None = None
    thumbnail: int | None = None
    per_identity: int | None = None
    max_megabytes: float = 48.0

    def __post_init__(self) -> None:
        if self.thumbnail is not None and not 16 <= self.thumbnail <= 256:
            raise ConfigError(f"--thumbnail {self.thumbnail} is not in 16 to 256")
        if self.per_identity is not None and self.per_identity < 1:
            raise ConfigError(f"--per-identity {self.per_identity}: give at least 1")
        if not 1 <= self.max_megabytes <= 500:
            raise ConfigError(f"--max-megabytes {self.max_megabytes:g} is not in 1 to 500")


def run(options: Options) -> None:
    """Read every image once, and write the page."""
    from synthface.core.atomic import partial_path, require_absent
    from synthface.data import FaceSet
    from synthface.report.browse_data import page_data, shown_rows
    from synthface.report.browse_page import PageHead, write_browse_page
    from synthface.report.browse_sprites import plan_sprites, sprite

    require_absent(options.out)
    faceset = FaceSet.load(options.faceset, flag="FACESET")
    if not len(faceset):
        raise DataError(f"FACESET {faceset.root} holds no images")
    audit = _read_audit(options.audit, faceset) if options.audit else {}
    measures, sidecar = _measures(options.measure, faceset), _sidecar_columns(options.sidecar, faceset)
    identities = [record.identity for record in faceset.records]
    plan = plan_sprites(
        list(shown_rows(identities, None).values()),
        faceset.read_image,
        max_bytes=int(options.max_megabytes * 1e6),
        side=options.thumbnail,
        per_identity=options.per_identity,
    )
    rows = shown_rows(identities, plan.per_identity)
    looks: dict[str, list[float | None]] = {name: [None] * len(faceset) for name in _LOOKS}
    sprites = [
        sprite(_read(faceset, chosen, looks), plan.side)
        for chosen in track(rows.values(), description="thumbnails", unit="identity")
    ]
    scores = _scores(faceset, looks, sidecar)
    head = PageHead(
        name=faceset.root.resolve().name,
        kind=faceset.kind,
        n_images=len(faceset),
        n_shown=sum(map(len, rows.values())),
        n_identities=len(rows),
        manifest_sha256=faceset.manifest_sha256,
        verdict=audit.get("verdict"),
        claim=audit.get("claim"),
        measures=measures,
    )
    data = page_data([record.to_json() for record in faceset.records], rows, scores=scores, flags=_flags(audit))
    working = partial_path(options.out)
    working.parent.mkdir(parents=True, exist_ok=True)
    with working.open("w", encoding="utf-8") as stream:
        write_browse_page(stream, head, data, sprites, side=plan.side)
    working.rename(options.out)
    _report(options.out, head, plan.side)


def _read(faceset: "FaceSet", rows: list[int], looks: dict[str, list[float | None]]) -> list[Any]:
    """Return some images, and note how sharp and rich in contrast they are."""
    from synthface.metrics.image_quality import contrast, sharpness

    images = [faceset.read_image(row) for row in rows]
    for row, image in zip(rows, images, strict=True):
        looks["sharpness"][row] = float(sharpness(image[None])[0])
        looks["contrast"][row] = float(contrast(image[None])[0])
    return images


def _scores(
    faceset: "FaceSet", looks: dict[str, list[float | None]], sidecar: dict[str, list[float | None]]
) -> list["Score"]:
    """Return what images can be filtered by: numbers of the sidecar, of the records, and those found while reading."""
    from synthface.report.browse_data import Score

    quality = [record.quality for record in faceset.records]
    columns = dict(sidecar)
    if any(value is not None for value in quality):
        columns.setdefault("confidence", quality)
    for name, values in looks.items():
        columns.setdefault(name, values)
    useful = [name for name, values in columns.items() if len(set(values)) > 1]
    order = [name for name in _FIRST if name in useful] + sorted(set(useful) - set(_FIRST))
    return [Score(name, name.replace("_", " "), columns[name]) for name in order]


def _sidecar_columns(folder: Path | None, faceset: "FaceSet") -> dict[str, list[float | None]]:
    """Return every number that the sidecar knows of images, by name."""
    from synthface.workflows.describing.sidecar import Sidecar
    from synthface.workflows.releasing.marked_items import name_before

    columns: dict[str, list[float | None]] = {}
    if folder is None:
        return columns
    rows = {record.path: row for row, record in enumerate(faceset.records)}
    rows |= {name_before(record): row for row, record in enumerate(faceset.records)}
    for line in Sidecar.load(folder, faceset, origin=_origin(faceset)).lines():
        for name, value in line.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                columns.setdefault(name, [None] * len(faceset))[rows[line["path"]]] = float(value)
    return columns


def _read_audit(folder: Path, faceset: "FaceSet") -> dict[str, Any]:
    """Return the audit's JSON.

    Raises:
        AuditError: none there, or of another set.
    """
    result = _read_json(folder / "audit.json")
    if not isinstance(result.get("verdict"), str) or not isinstance(result.get("made_by"), dict):
        raise AuditError(f"--audit {folder} holds no valid audit.json; make it with 'synthface audit'")
    inputs = result["made_by"].get("inputs") or {}
    if inputs.get("synthetic manifest") not in _manifests(faceset):
        raise AuditError(f"--audit {folder} belongs to another set than {faceset.root}; audit this one")
    return result


def _manifests(faceset: "FaceSet") -> set[str | None]:
    """Return the hashes that a report on this set may carry: its own, or the one of the set it is a release of."""
    return {faceset.manifest_sha256, _origin(faceset)} - {None}


def _origin(faceset: "FaceSet") -> str | None:
    """Return the hash of the manifest of which this set is a release."""
    made_by = faceset.info.get("made_by") or {}
    origin = (made_by.get("inputs") or {}).get("faceset") if made_by.get("command") == "release" else None
    return origin if isinstance(origin, str) else None


def _flags(audit: dict[str, Any]) -> "Flags":
    from synthface.report.browse_data import Flags

    identities = {name: "too near a training person" for name in audit.get("flagged") or [] if isinstance(name, str)}
    images: dict[str, str] = {}
    for item in audit.get("flagged_images") or []:
        if isinstance(item, dict) and isinstance(item.get("image"), str):
            images[item["image"]] = str(item.get("why", "flagged"))
    return Flags(identities, images)


def _measures(folder: Path | None, faceset: "FaceSet") -> list[tuple[str, str]]:
    """Return the figures of the whole set that are shown above."""
    from synthface.report.page import percent

    if folder is None:
        return []
    result = _read_json(folder / "measure.json")
    try:
        if result["sets"]["measured"]["manifest_sha256"] not in _manifests(faceset):
            raise ConfigError(f"--measure {folder} belongs to another set than {faceset.root}; measure this one")
        return [
            (f"EER, {name}", percent(figures["measured"]["eer"]["value"]))
            for name, figures in result["recognizers"].items()
        ]
    except (KeyError, TypeError, AttributeError):
        raise DataError(f"--measure {folder} holds no valid measure.json; make it with 'synthface measure'") from None


def _read_json(path: Path) -> dict[str, Any]:
    from synthface.data.untrusted import read_json_object

    try:
        return read_json_object(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _report(out: Path, head: Any, side: int) -> None:
    size = out.stat().st_size / 1e6
    shown = "" if head.n_shown == head.n_images else f" of {head.n_images:,}"
    print(f"{out}: {head.n_identities:,} identities, {head.n_shown:,}{shown} images at {side} pixels, {size:.1f} MB")
    if head.kind != "synthetic":
        print("it shows real people or likenesses of them: do not publish it")
