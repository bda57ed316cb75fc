"""Recognisers by name: where their weight files are looked for, and what they must hash to. Free of torch."""

import json
import logging
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from synthface.core.atomic import write_atomic
from synthface.core.cache_folder import cache_folder
from synthface.core.errors import WeightsError
from synthface.core.hashing import sha256_bytes, sha256_file
from synthface.models import RECOGNIZER, STUDENT, shipped_model

logger = logging.getLogger(__name__)

MODELS_VARIABLE = "SYNTHFACE_MODELS"
_DOWNLOAD_TIMEOUT_SECONDS = 60
_SUFFIXES = (".safetensors", ".pth", ".pt", ".onnx")
_IMPORT_STRING = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """A recogniser that can be asked for by name.

    Attributes:
        file: name of its weight file; a JSON description of the same stem stands beside it unless its header has one.
        sha256: what the weight file must hash to; None for the model that ships with the package.
        ships: whether the file is part of the package.
        url: public address of the weight file, where there is one.
        url_json: public address of its description.
    """

    file: str
    sha256: str | None = None
    ships: bool = False
    url: str | None = None
    url_json: str | None = None


CATALOGUE: dict[str, CatalogueEntry] = {
    # Research models whose owners allow no redistribution, so no address can be given for these files.
    "mobilefacenet-ms1m": CatalogueEntry(
        file="mobilefacenet_ms1m_112x112.safetensors",
        sha256="006d9a83b395e852ccc160266c55e1e1885848fc37fe9a7b75bb0adb5ba8c44a",
    ),
    "mobilefacenet-casia": CatalogueEntry(
        file="mobilefacenet_casia_112x96.safetensors",
        sha256="e29e6d4437878b3b36ac602cd21a1e259802d66e10ac2136256f811e30af3da3",
    ),
    "synthface-small": CatalogueEntry(file=RECOGNIZER, ships=True),
    "synthface-student": CatalogueEntry(file=STUDENT, ships=True),
}


@dataclass(frozen=True)
class WeightFile:
    """A recogniser's weight file on this machine.

    Attributes:
        name: catalogue name, or the file's stem.
        path: the file.
        sha256: its hash, checked where a reference is known; of an imported recogniser that of its tensors.
        description: content of the ``.json`` beside it, or None.
        imported: ``package.module:callable``, or None for a file.
    """

    name: str
    path: Path
    sha256: str
    description: dict[str, object] | None
    imported: str | None = None


def find_weights(name_or_path: str | Path, *, flag: str = "--recognizer") -> WeightFile:
    """Find the weight file of a recogniser and check its hash.

    A name of the catalogue is looked for in the package, in ``$SYNTHFACE_MODELS``, in the user's cache, and is then
    downloaded if it has a public address. Anything else is a path to a ``.safetensors``, ``.pth`` (InsightFace's
    IResNets) or ``.onnx`` file, or to a folder of ``synthface train-recognizer`` that holds
    ``recognizer.safetensors``; or an import string ``package.module:callable``.

    Args:
        name_or_path: what to find.
        flag: the command-line flag that named it, for messages.

    Raises:
        WeightsError: not found, of the wrong kind, or its hash is not the expected one.
    """
    name = str(name_or_path)
    entry = CATALOGUE.get(name)
    if entry is not None:
        return _checked(name, _locate(name, entry), entry.sha256)
    path = Path(name_or_path)
    if path.is_dir():
        path = path / "recognizer.safetensors"
    if not path.is_file() and _IMPORT_STRING.fullmatch(name):
        return _imported(name)
    if not path.is_file():
        raise WeightsError(f"{flag} {name}: neither a file nor a known name; known names are {', '.join(CATALOGUE)}")
    if path.suffix not in _SUFFIXES:
        raise WeightsError(f"{flag} {path}: only {', '.join(_SUFFIXES)} files are read (others can run code)")
    return _checked(path.parent.name if path.stem == "recognizer" else path.stem, path, None)


def _imported(name: str) -> WeightFile:
    from synthface.recognition.foreign import imported_module, sha256_of_state

    # The tensors are hashed, not the source: their file is not known here, and results are cached under the hash.
    digest = sha256_of_state(imported_module(name))
    return WeightFile(name.replace(":", "."), Path(name), digest, None, imported=name)


def _locate(name: str, entry: CatalogueEntry) -> Path:
    if entry.ships:
        return shipped_model(entry.file)
    folders = [Path(folder) for folder in [os.environ.get(MODELS_VARIABLE)] if folder]
    cache = cache_folder("models")
    for folder in (*folders, cache):
        if (folder / entry.file).is_file():
            return folder / entry.file
    if entry.url is None:
        raise WeightsError(
            f"{name}: put {entry.file} and {Path(entry.file).with_suffix('.json')} into "
            f"{folders[0] if folders else cache}{'' if folders else f' or a folder named by ${MODELS_VARIABLE}'}; "
            "the file has no public address to download it from"
        )
    return _download(name, entry, cache)


def _download(name: str, entry: CatalogueEntry, folder: Path) -> Path:
    """Fetch a weight file and its description; nothing is kept whose hash is wrong."""
    assert entry.url is not None
    path = folder / entry.file
    logger.info("downloading %s from %s", name, entry.url)
    try:
        content = _read_url(entry.url)
        if entry.sha256 is not None and sha256_bytes(content) != entry.sha256:
            raise WeightsError(
                f"{name}: {entry.url} does not hold the expected file (SHA-256 differs); nothing was kept"
            )
        if entry.url_json is not None:
            write_atomic(path.with_suffix(".json"), _read_url(entry.url_json))
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise WeightsError(
            f"{name}: {entry.url} cannot be reached ({error}); put {entry.file} into {folder} by hand"
        ) from None
    write_atomic(path, content)
    return path


def _read_url(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_DOWNLOAD_TIMEOUT_SECONDS) as response:
        return bytes(response.read())


def _checked(name: str, path: Path, expected: str | None) -> WeightFile:
    description = _read_description(path.with_suffix(".json"))
    found = sha256_file(path)
    for reference in (expected, None if description is None else description.get("sha256")):
        if reference is not None and found != reference:
            raise WeightsError(f"{path} is damaged or another file: SHA-256 is {found}, expected {reference}")
    return WeightFile(name, path, found, description)


def _read_description(path: Path) -> dict[str, object] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path} is not valid JSON ({error})") from None
    return value if isinstance(value, dict) else None
