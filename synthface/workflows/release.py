"""Make a marked, hashed copy of a synthetic FaceSet that passed its audit, in the format its users train from.

Every image says in its XMP data that it was made by a trained algorithm, and which set it belongs to. The mark is put
into the file as it was audited; without it, it is that file again, byte for byte ('synthface verify' looks). Beside
the images stand manifest.jsonl, from which each can be made again, release.json, cards and SHA256SUMS. Without a PASS
that belongs to this very set, under the limits of a profile, nothing is released, unless the risk is acknowledged; the
reason then stands on the cards.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthface.core.errors import AuditError, ConfigError, DataError
from synthface.core.hashing import sha256_json
from synthface.report.release_cards import Stated
from synthface.workflows.progress import track
from synthface.workflows.releasing.description import Encoding, Packing

if TYPE_CHECKING:
    from synthface.data import FaceSet
    from synthface.data.content_credentials import CredentialSigner

EXAMPLES = """
synthface release synthetic --audit audit --out release
synthface release synthetic --audit audit --format webdataset --encoding jpeg --quality 95 --out shards
synthface release synthetic --audit audit --c2pa-certificate chain.pem --c2pa-key key.pem --out release
synthface release synthetic --out release --acknowledge-risk "internal test, will not leave the building"
"""


@dataclass(frozen=True)
class Options:
    """Options of ``synthface release``.

    Args:
        faceset: synthetic FaceSet to release.
        out: folder of the release.
        audit: folder that 'synthface audit' wrote for this very set.
        format: folders is a FaceSet, one folder an identity; webdataset, recordio and parquet as 'synthface convert'
            writes them.
        encoding: keep releases the files that were audited; png, jpeg and webp encode their pixels anew.
        quality: of --encoding jpeg or webp, 1 to 100.
        shard_size: images a shard, for webdataset and parquet.
        sidecar: folder that 'synthface describe' wrote for this very set, to go with it.
        measure: folder that 'synthface measure' wrote for this very set, for the cards.
        card: what only the publisher can say on the cards.
        c2pa_certificate: PEM file with your certificate and its chain; every image then also gets a C2PA manifest.
        c2pa_key: PEM file with the private key of that certificate.
        acknowledge_risk: release without a PASS, or with one under changed limits, for this reason, which is printed on
            the cards.
    """

    faceset: Path = field(metadata={"positional": True})
    out: Path
    audit: Path | None = None
    format: Packing = "folders"
    encoding: Encoding = "keep"
    quality: int = 95
    shard_size: int = 10_000
    sidecar: Path | None = None
    measure: Path | None = None
    card: Stated = field(default_factory=Stated)
    c2pa_certificate: Path | None = None
    c2pa_key: Path | None = None
    acknowledge_risk: str | None = None

    def __post_init__(self) -> None:
        if (self.c2pa_certificate is None) != (self.c2pa_key is None):
            raise ConfigError("--c2pa-certificate and --c2pa-key belong together; give both or neither")
        reason = self.acknowledge_risk
        if reason is not None and (len(reason.strip()) < 10 or not reason.isprintable()):
            raise ConfigError(
                f"--acknowledge-risk {reason!r}: give the reason, a line of ten characters or more; the cards say it"
            )
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality {self.quality} is not in 1 to 100")
        if self.shard_size < 1:
            raise ConfigError(f"--shard-size {self.shard_size}: give at least 1")

    def decides(self, kind: str) -> dict[str, Any]:
        """Return the options that decide the files, and what the images are."""
        lossy = self.encoding in ("jpeg", "webp")
        sharded = self.format in ("webdataset", "parquet")
        return {
            "format": self.format,
            "encoding": self.encoding,
            "quality": self.quality if lossy else None,
            "shard_size": self.shard_size if sharded else None,
            "card": asdict(self.card),
            "kind": kind,
        }


def run(options: Options) -> None:
    """Check the audit, then mark, pack and hash."""
    from synthface.core.run_record import run_record
    from synthface.data import FaceSet
    from synthface.workflows.describing.sidecar import Sidecar
    from synthface.workflows.releasing.clearance import clear
    from synthface.workflows.releasing.documents import Documents, set_id
    from synthface.workflows.releasing.marked_items import marked_items
    from synthface.workflows.releasing.writing import write_faceset, write_packed

    faceset = FaceSet.load(options.faceset, kinds=("synthetic", "inverted"), flag="FACESET")
    if not len(faceset):
        raise DataError(f"{faceset.root} holds no images, so there is nothing to release")
    named = next((record for record in faceset.records if record.source is not None), None)
    if faceset.kind == "inverted" and named is not None:
        raise AuditError(
            f"{faceset.root} says from which picture each image was made ({named.path}), and its identities may be "
            "real people's names: no such set is released; 'synthface invert --sample' makes faces of nobody"
        )
    clearance = clear(faceset, options.audit, options.acknowledge_risk)
    measure = _measured(faceset, options.measure)
    sidecar = None if options.sidecar is None else Sidecar.load(options.sidecar, faceset)
    inputs = {
        "faceset": faceset.manifest_sha256,
        **({"measure": sha256_json(measure)} if measure else {}),
        **({"sidecar": sidecar.summary["sidecar_sha256"]} if sidecar else {}),
    }
    signer = _signer(options)
    c2pa = None if signer is None else signer.describe()
    config = options.decides(faceset.kind) | {"clearance": clearance.to_json(), "c2pa": c2pa}
    record = run_record("release", config, inputs=inputs)
    documents = Documents(
        faceset=faceset,
        clearance=clearance,
        record=record,
        format=options.format,
        encoding=options.encoding,
        quality=options.quality,
        measure=measure,
        sidecar=sidecar,
        stated=options.card,
        c2pa=c2pa,
    )
    items = track(
        marked_items(faceset.root, set_id(faceset), options.encoding, options.quality),
        description="marking",
        total=len(faceset),
    )
    if options.format == "folders":
        extra = {key: faceset.info[key] for key in ("generator",) if key in faceset.info}
        written = write_faceset(options.out, items, signer=signer, record=record, documents=documents, extra=extra)
    else:
        written = write_packed(
            options.out, items, signer=signer, record=record, documents=documents, shard_size=options.shard_size
        )
    done = "released" if written else "were released already"
    print(f"{len(faceset):,} images {done}: {options.out}; check them with 'synthface verify {options.out}'")
    unstated = [name for name, value in asdict(options.card).items() if value is None and name != "title"]
    if written and unstated:
        flags = ", ".join(f"--card.{name}" for name in unstated)
        print(f"the cards say 'not recorded' where only the publisher knows; to state it, release anew with {flags}")


def _signer(options: Options) -> "CredentialSigner | None":
    if options.c2pa_certificate is None or options.c2pa_key is None:
        return None
    from synthface.data.content_credentials import CredentialSigner

    return CredentialSigner(options.c2pa_certificate, options.c2pa_key)


def _measured(faceset: "FaceSet", folder: Path | None) -> dict[str, Any] | None:
    """Return the content of a measure.json, if it is of this very set."""
    if folder is None:
        return None
    try:
        result: dict[str, Any] = json.loads((folder / "measure.json").read_text(encoding="utf-8"))
        belongs = faceset.manifest_sha256 in result["made_by"]["inputs"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"--measure {folder} holds no valid measure.json; make it with 'synthface measure'") from None
    if not belongs:
        raise DataError(f"--measure {folder} belongs to another set than {faceset.root}; measure this one")
    return result
