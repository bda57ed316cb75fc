"""Which person each photo of a source shows, and where its aligned face goes; decided from names and labels alone."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from synthface.data.identity_names import composed, identity_of
from synthface.data.sources import SourceFile

FlatIdentity = Literal["stem", "prefix", "source"]
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f/\\<>:"|?*]')  # in file names of one system or another
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")  # names that Windows keeps for devices
_MAX_NAME_BYTES = 120


@dataclass(frozen=True)
class PlannedPhoto:
    """A file, who it shows and the path of its image in the FaceSet."""

    file: SourceFile
    label: str  # the file's name, unique among all sources
    identity: str
    path: str


def plan_photos(files: Sequence[SourceFile], flat_identity: FlatIdentity = "stem") -> list[PlannedPhoto]:
    """Name the identity and the path of every file, in the order given.

    The identity is what a labelled set says, else the folder a photo is in (with the folders above it, less those that
    all photos share, so that people of the same name in different folders stay apart), made readable by
    ``identity_of``.

    Args:
        files: of all sources, in order.
        flat_identity: identity of a photo in no folder: its ``stem``, the stem's ``prefix`` before a closing
            number (``Ann_0001`` is ``Ann``), or the name of its ``source``.
    """
    names = [composed(file.name).split("/") for file in files]
    unlabelled = (parts for file, parts in zip(files, names, strict=True) if file.identity is None)
    n_shared = _n_shared_folders([parts[:-1] for parts in unlabelled if len(parts) > 1])
    people = [
        file.identity or "/".join(parts[n_shared:-1]) or _flat_identity(file, flat_identity)
        for file, parts in zip(files, names, strict=True)
    ]
    identity_named = {name: identity_of(name) for name in dict.fromkeys(people)}
    identities = [identity_named[name] for name in people]
    folders = dict(zip(dict.fromkeys(identities), _distinct(map(_safe, dict.fromkeys(identities))), strict=True))
    paths = _distinct(
        f"images/{folders[identity]}/{_safe(_stem(parts[-1]))}"
        for identity, parts in zip(identities, names, strict=True)
    )
    labels = _distinct_labels(files)
    return [
        PlannedPhoto(file, label, identity, f"{path}.png")
        for file, label, identity, path in zip(files, labels, identities, paths, strict=True)
    ]


def _n_shared_folders(folders: Sequence[list[str]]) -> int:
    """Count the leading folders that all photos share, leaving each at least one."""
    if not folders:
        return 0
    n_shared = 0
    while all(len(parts) > n_shared + 1 and parts[n_shared] == folders[0][n_shared] for parts in folders):
        n_shared += 1
    return n_shared


def _flat_identity(file: SourceFile, rule: FlatIdentity) -> str:
    stem = _stem(file.name.split("/")[-1])
    if rule == "source":
        return _stem(file.source.resolve().name)
    if rule == "prefix":
        return re.sub(r"[ _.-]*\d+$", "", stem) or stem
    return stem


def _stem(name: str) -> str:
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name


def _safe(name: str) -> str:
    """Return a name that is one harmless path component on every system; letters of all scripts stay."""
    text = _FORBIDDEN.sub("_", composed(name)).strip(" .")
    text = text.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").rstrip(" .")
    return f"_{text}" if not text or _RESERVED.match(text) else text


def _distinct(names: Iterable[str]) -> list[str]:
    """Number repeated names; names that differ by case alone count as the same, as some disks have it."""
    taken: set[str] = set()
    n_seen: dict[str, int] = {}
    result = []
    for name in names:
        candidate, key = name, name.casefold()
        while candidate.casefold() in taken:
            n_seen[key] = n_seen.get(key, 1) + 1
            candidate = f"{name}~{n_seen[key]}"
        taken.add(candidate.casefold())
        result.append(candidate)
    return result


def _distinct_labels(files: Sequence[SourceFile]) -> list[str]:
    """Put its source before a name that had been there, and a number behind it where labelled sets repeat it."""
    seen: set[str] = set()
    n_repeats: Counter[str] = Counter()
    labels = []
    for file in files:
        label = file.name
        if label in seen:
            label = repeated = f"{file.source.name}:{file.name}"
            while label in seen:
                n_repeats[repeated] += 1
                label = f"{repeated}~{n_repeats[repeated] + 1}"
        seen.add(label)
        labels.append(label)
    return labels
