"""The folder of a sidecar while it is written: journals that survive a kill, merged and summed up at the end."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.atomic import partial_path, write_atomic
from synthface.core.digest_set import DigestSet
from synthface.core.errors import ConfigError
from synthface.core.external_sort import sort_lines
from synthface.core.hashing import canonical_json, sha256_file, sha256_json
from synthface.core.journal import Journal, iterate_journal
from synthface.core.run_record import write_json
from synthface.data import FaceSet
from synthface.metrics.class_likeness import distribution
from synthface.report.sidecar_page import sidecar_page
from synthface.workflows.describing.sidecar import SIDECAR, SUMMARY

SCORES = ("confidence", "yaw", "pitch", "roll", "pose_residual", "sharpness", "contrast", "similarity", "norm")
_SETTINGS = "settings.json"


class SidecarFolder:
    """Collects facts in ``OUT.partial`` and renames it to ``OUT`` when finished.

    Args:
        out: folder of the sidecar.
        record: what makes it; two with the same (but for library versions) are one.
        rank: of this process.

    Raises:
        ConfigError: OUT.partial was begun with other settings.
    """

    def __init__(self, out: Path, record: dict[str, Any], *, rank: int = 0) -> None:
        self.out = out
        self.record = record
        self.working = partial_path(out)
        self.working.mkdir(parents=True, exist_ok=True)
        settings = self.working / _SETTINGS
        if settings.exists() and json.loads(settings.read_text()) != _key(record):
            raise ConfigError(
                f"{self.working} was begun with other settings or inputs; "
                "repeat those to go on, or remove it to start anew"
            )
        if rank == 0 and not settings.exists():
            write_atomic(settings, json.dumps(_key(record)).encode())
        self._done = DigestSet()
        for line in self._lines():
            self._done.add(line["path"])
        self._journal = Journal(self.working / f"journal-{rank}.jsonl")

    def done(self, path: str) -> bool:
        """Say whether an image is described, by this run or an earlier one."""
        return path in self._done

    def add(self, path: str, facts: Mapping[str, Any]) -> None:
        """Note the facts of one image."""
        self._journal.append({"path": path, **facts})
        self._done.add(path)

    def finish(self, faceset: FaceSet, columns: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
        """Write the sidecar, its summary and its page, rename the folder into place and return the summary.

        Args:
            faceset: the set that is described.
            columns: further scores, [N] in manifest order; NaN where there is none.
        """
        scores = {name: np.full(len(faceset), np.nan) for name in SCORES}
        pairs = ((line["path"], canonical_json(line)) for line in self._lines())
        with (self.working / SIDECAR).open("w", encoding="utf-8", newline="\n") as stream:
            # a manifest is sorted by path, as these lines are now
            for row, (record, (path, text)) in enumerate(
                zip(faceset.records, sort_lines(pairs, self.working), strict=True)
            ):
                assert record.path == path
                line = json.loads(text) | {
                    name: round(float(values[row]), 5) for name, values in columns.items() if np.isfinite(values[row])
                }
                stream.write(canonical_json(line) + "\n")
                for name in scores.keys() & line.keys():
                    scores[name][row] = line[name]
        summary = {
            "n_images": len(faceset),
            "sidecar_sha256": sha256_file(self.working / SIDECAR),
            "scores": {name: distribution(values) for name, values in scores.items()},
            "made_by": self.record,
        }
        write_json(self.working / SUMMARY, summary)
        (self.working / "sidecar.html").write_text(sidecar_page(summary, scores), encoding="utf-8")
        for file in (*self.working.glob("journal-*.jsonl"), self.working / _SETTINGS):
            file.unlink()
        self.working.rename(self.out)
        return summary

    def _lines(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.working.glob("journal-*.jsonl")):
            yield from iterate_journal(path)

    def close(self) -> None:
        """Close this process's journal; the work so far is kept for the next run."""
        self._journal.close()

    def __enter__(self) -> "SidecarFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(record: dict[str, Any]) -> str:
    return sha256_json({key: record[key] for key in ("command", "config", "inputs")})
