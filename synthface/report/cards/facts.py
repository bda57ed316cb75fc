"""What the documents of a release are filled from: plain values, which flags can set and tests can make."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from synthface.core.errors import ConfigError

ReleaseFormat = Literal["folders", "webdataset", "recordio", "parquet"]
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


@dataclass(frozen=True)
class Stated:
    """What only the publisher knows; the cards say 'not recorded' where it is not given.

    Args:
        title: name of the data set.
        creator: organisation that publishes it; no person's name is needed.
        contact: address for questions, objections and withdrawal requests.
        licence: licence of the data set, best as an SPDX identifier or address.
        url: page of the data set.
        version: MAJOR.MINOR.PATCH of this release.
        published: day of publication, YYYY-MM-DD.
        training_data: what the generator was trained on, in a sentence, without names of people.
        training_licence: licence or terms under which the training photos may be used for this.
        training_basis: legal basis for using the training photos (consent, contract, ...), in a sentence.
    """

    title: str | None = None
    creator: str | None = None
    contact: str | None = None
    licence: str | None = None
    url: str | None = None
    version: str = "1.0.0"
    published: str | None = None
    training_data: str | None = None
    training_licence: str | None = None
    training_basis: str | None = None

    def __post_init__(self) -> None:
        if self.published is not None and not _is_day(self.published):
            raise ConfigError(f"--card.published {self.published}: give a day as YYYY-MM-DD")
        if not _VERSION.fullmatch(self.version):
            raise ConfigError(f"--card.version {self.version}: give MAJOR.MINOR.PATCH, such as 1.0.0")
        if self.url is not None and not self.url.startswith(("https://", "http://")):
            raise ConfigError(f"--card.url {self.url}: give an address that begins with https://")
        for name, value in vars(self).items():
            if value is not None and (not value.strip() or not value.isprintable()):
                raise ConfigError(f"--card.{name}: give one line of text, or leave the flag out")


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


@dataclass(frozen=True)
class ReleaseFile:
    """One file of the release: path inside it, SHA-256 and size in bytes."""

    path: str
    sha256: str
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class ReleaseFacts:
    """Everything the documents may say.

    Attributes:
        set_id: id of the set, as in the marks.
        format: how the images are packed.
        kind: ``synthetic`` or ``inverted``.
        n_images: how many images.
        n_identities: how many labels.
        width: of the images, in pixels.
        height: of the images, in pixels.
        encoding: media type of the images, ``image/png``, ``image/jpeg`` or ``image/webp``.
        encoded_anew: what the release encoded the audited images as, such as "JPEG, quality 95"; None if it kept them.
        verdict: of the audit, or "not audited".
        claim: the audit's one sentence.
        changed_limits: limits of the audit that are of no profile: (default, here) by name.
        acknowledged: the reason given for releasing without a PASS, or with one under changed limits.
        audit_sha256: hash of the audit.json.
        files: the files of the release but for single images and these documents: ``manifest.jsonl`` in any format,
            and the shards, parquet files or ``train.rec``, ``train.idx`` and ``property``.
        columns: keys that stand in every line of ``manifest.jsonl``; a record set can have these.
        member_column: for webdataset, the key of ``manifest.jsonl`` that holds the image's name inside its shard.
        generator: what the FaceSet says of its generator (``faceset.json``, ``generator``).
        made_by: run record of the command that made the FaceSet (``faceset.json``, ``made_by``).
        audit: content of ``audit.json``; names in it are never shown.
        measure: content of ``measure.json``.
        sidecar: summary of the sidecar: name of a score to {mean, quantiles, n}.
        stated: what the publisher says.
        signer: common name of the certificate that signed every image, if one did.
    """

    set_id: str
    format: ReleaseFormat
    kind: str
    n_images: int
    n_identities: int
    width: int
    height: int
    encoding: str = "image/png"
    encoded_anew: str | None = None
    verdict: str = "not audited"
    claim: str = "No audit was made."
    changed_limits: Mapping[str, Sequence[float]] = field(default_factory=dict)
    acknowledged: str | None = None
    audit_sha256: str | None = None
    files: tuple[ReleaseFile, ...] = ()
    columns: tuple[str, ...] = ()
    member_column: str | None = None
    generator: Mapping[str, Any] = field(default_factory=dict)
    made_by: Mapping[str, Any] = field(default_factory=dict)
    audit: Mapping[str, Any] | None = None
    measure: Mapping[str, Any] | None = None
    sidecar: Mapping[str, Any] | None = None
    stated: Stated = field(default_factory=Stated)
    signer: str | None = None

    @property
    def title(self) -> str:
        """Name of the data set."""
        words = "Reconstructed" if self.kind == "inverted" else "Synthetic"
        return self.stated.title or f"{words} faces {self.set_id}"
