"""Writing a FaceSet so that it can be killed at any moment, run again, and then is whole."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.atomic import partial_path
from synthface.core.digest_set import DigestSet
from synthface.core.errors import ConfigError, DataError
from synthface.core.external_sort import sort_lines
from synthface.core.hashing import canonical_json, sha256_bytes, sha256_json
from synthface.core.journal import Journal
from synthface.core.run_record import write_json
from synthface.core.working_folder import claim_folder, clear_working_files, iterate_journals
from synthface.data.faceset import FORMAT, FORMAT_VERSION, INFO, LEFT_OUT, MANIFEST, FaceRecord, FaceSet, Kind
from synthface.data.images import encode_png
from synthface.data.untrusted import safe_identity, safe_name

logger = logging.getLogger(__name__)


class FaceSetWriter:
    """Collects images in ``OUT.partial`` and renames it to ``OUT`` when finished.

    An image's relative path is its key: an item whose path is ``done`` is skipped on the next run. Several
    processes may write at once, each with its own rank; one of them calls ``finish`` after all have closed.
    Memory: a ``DigestSet`` of the paths (at most 72 bytes an image) and, at the end, ``LINES_A_RUN`` manifest lines.

    Raises:
        ConfigError: OUT holds, or OUT.partial began, something made with other settings or inputs.
    """

    def __init__(
        self, out: Path, *, kind: Kind, record: dict[str, Any], extra: dict[str, Any] | None = None, rank: int = 0
    ) -> None:
        self.out = Path(out)
        self.kind = kind
        self.info = {"format": FORMAT, "version": FORMAT_VERSION, "kind": kind, **(extra or {}), "made_by": record}
        self.working = partial_path(self.out)
        self.is_complete = self._already_made()
        self._done = DigestSet()
        self._folder: str | None = None  # of the last image
        self._journal: Journal | None = None
        if not self.is_complete:
            self._journal = claim_folder(self.working, _settings_hash(self.info), rank=rank)
            for line in iterate_journals(self.working):
                self._done.add(_key(line))

    def _already_made(self) -> bool:
        if not self.out.exists():
            return False
        try:
            existing = FaceSet.load(self.out).info
        except DataError as error:
            raise ConfigError(
                f"--out {self.out} already exists and is not this FaceSet ({error}); give another path"
            ) from None
        if _settings_hash(existing) != _settings_hash(self.info):
            raise ConfigError(
                f"--out {self.out} already holds a FaceSet made otherwise; give another path or remove it"
            )
        clear_working_files(self.out)  # an earlier run may have been stopped between its last two steps
        logger.info("%s is already complete: nothing to do", self.out)
        return True

    def done(self, path: str) -> bool:
        """Say whether an image has been written, in this run or an earlier one."""
        return _key({"path": path}) in self._done

    def is_left_out(self, source: str) -> bool:
        """Say whether a source has been noted as giving no image, in this run or an earlier one."""
        return _key({"left_out": source}) in self._done

    def add(
        self, path: str, image: NDArray[np.uint8] | bytes, *, identity: str, sha256: str | None = None, **fields: Any
    ) -> None:
        """Write one image and its record.

        Args:
            path: relative path of the image, its key.
            image: [height, width, 3] uint8, written as PNG, or the bytes of an image file taken as they are
                (then ``width`` and ``height`` must be among the fields).
            identity: who the image shows.
            sha256: of those bytes, where the caller has it.
            fields: further fields of FaceRecord.
        """
        if isinstance(image, bytes):
            content = image
        else:
            content = encode_png(image)
            fields |= {"height": image.shape[0], "width": image.shape[1]}
        digest = sha256 or sha256_bytes(content)
        self.add_record(FaceRecord(path=path, identity=identity, sha256=digest, **fields), content)

    def add_record(self, record: FaceRecord, content: bytes) -> None:
        """Write the bytes of an image file under their record.

        Raises:
            DataError: no reader would take its path or identity.
        """
        self._require_readable(record)
        self._make_folder(record.path)
        with open(f"{self.working}/{record.path}", "wb") as stream:  # noqa: PTH123  (a Path takes half as long)
            stream.write(content)
        self._append(record.to_json())

    def add_file(self, record: FaceRecord, file: Path) -> None:
        """Take an image of another FaceSet under its record: a hard link where the disk allows it, else a copy.

        Raises:
            DataError: no reader would take its path or identity, or the file is missing.
        """
        self._require_readable(record)
        target = self.working / record.path
        self._make_folder(record.path)
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(file)
        except FileNotFoundError:
            raise DataError(f"{file} is missing; the FaceSet is incomplete, make it again") from None
        except OSError:  # another disk, or one without links
            shutil.copyfile(file, target)
        self._append(record.to_json())

    def _require_readable(self, record: FaceRecord) -> None:
        """Refuse what readers refuse, before a whole set is made that nobody can use."""
        try:
            safe_name(record.path)
            safe_identity(record.identity)
        except DataError as error:
            raise DataError(f"{self.out} cannot hold an image of the source: {error}; rename it there") from None

    def _make_folder(self, path: str) -> None:
        """Make the folder of an image, if it is not the last one's."""
        folder = path.rpartition("/")[0]
        if folder != self._folder:
            (self.working / folder).mkdir(parents=True, exist_ok=True)
            self._folder = folder

    def leave_out(self, source: str, reason: str) -> None:
        """Note a source that gave no image, and why."""
        self._append({"left_out": source, "reason": reason})

    def _append(self, line: dict[str, Any]) -> None:
        assert self._journal is not None, "the set is complete; check is_complete before writing"
        self._journal.append(line)
        self._done.add(_key(line))

    def close(self) -> None:
        """Close this process's journal; the work so far is kept for the next run."""
        if self._journal is not None:
            self._journal.close()

    def finish(self, files: Mapping[str, bytes] | Callable[[Path], Mapping[str, bytes]] | None = None) -> FaceSet:
        """Merge the journals into the manifest, rename the folder into place and return the FaceSet.

        Args:
            files: further files to stand beside the manifest, by name; or a function that makes them, called with
                the folder when all else is in it.
        """
        if self.is_complete:
            return FaceSet.load(self.out)
        self.close()
        write_json(self.working / INFO, {**self.info, **self._write_manifest()})
        for name, content in (files(self.working) if callable(files) else files or {}).items():
            (self.working / name).write_bytes(content)
        self.working.rename(self.out)
        clear_working_files(self.out)
        self.is_complete = True
        return FaceSet.load(self.out)

    def _write_manifest(self) -> dict[str, Any]:
        """Write manifest and list of what was left out, a line in memory at a time; return what to say of them."""
        lines = ((_key(line), canonical_json(line)) for line in iterate_journals(self.working))
        digest, identities, counts = hashlib.sha256(), DigestSet(), [0, 0]
        with (self.working / MANIFEST).open("wb") as manifest, (self.working / LEFT_OUT).open("wb") as left_out:
            for key, line in sort_lines(lines, self.working):
                content = line.encode() + b"\n"
                is_image = key.startswith("path")
                counts[is_image] += 1
                (manifest if is_image else left_out).write(content)
                if is_image:
                    digest.update(content)
                    identities.add(json.loads(line)["identity"])
        if not counts[False]:
            (self.working / LEFT_OUT).unlink()
        return {
            "n_images": counts[True],
            "n_identities": len(identities),
            "n_left_out": counts[False],
            "manifest_sha256": digest.hexdigest(),
        }

    def __enter__(self) -> "FaceSetWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(line: dict[str, Any]) -> str:
    """Return what a line is known by, and sorted by: an image and a source that gave none are two things."""
    kind = "path" if "path" in line else "left_out"
    return f"{kind}\0{line[kind]}"


def _settings_hash(info: dict[str, Any]) -> str:
    """Hash what decides the content: kind, command, config, seed and inputs; not the library versions."""
    made_by = {key: value for key, value in info["made_by"].items() if key != "versions"}
    return sha256_json({"kind": info["kind"], "made_by": made_by})
