"""The folder of a sidecar while it is written: journals that survive a kill, merged and summed up at the end."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.atomic import partial_path
from synthface.core.digest_set import DigestSet
from synthface.core.external_sort import sort_lines
from synthface.core.hashing import canonical_json, sha256_file, sha256_json
from synthface.core.run_record import write_json
from synthface.core.working_folder import claim_folder, clear_working_files, iterate_journals
from synthface.data import FaceSet
from synthface.metrics.class_likeness import distribution
from synthface.report.sidecar_page import sidecar_page
from synthface.workflows.describing.sidecar import SIDECAR, SUMMARY

SCORES = ("confidence", "yaw", "pitch", "roll", "pose_residual", "sharpness", "contrast", "similarity", "norm")


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
        self._journal = claim_folder(self.working, _key(record), rank=rank)
        self._done = DigestSet()
        for line in iterate_journals(self.working):
            self._done.add(line["path"])

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
        pairs = ((line["path"], canonical_json(line)) for line in iterate_journals(self.working))
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
        clear_working_files(self.working)
        self.working.rename(self.out)
        return summary

    def close(self) -> None:
        """Close this process's journal; the work so far is kept for the next run."""
        self._journal.close()

    def __enter__(self) -> "SidecarFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(record: dict[str, Any]) -> str:
    return sha256_json({key: record[key] for key in ("command", "config", "inputs")})
