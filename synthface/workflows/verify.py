"""Check every hash of a FaceSet, and of a release also its marks and SHA256SUMS.

Exit code 0 if all is as it was made, 1 if anything is missing, changed, unmarked or not listed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from synthface.core.errors import DataError
from synthface.core.hashing import sha256_file
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from synthface.data import FaceSet

EXAMPLES = """
synthface verify release
synthface verify split/train
"""
_SHOWN = 20


@dataclass(frozen=True)
class Options:
    """Options of ``synthface verify``.

    Args:
        faceset: FaceSet or release to check.
    """

    faceset: Path = field(metadata={"positional": True})


def run(options: Options) -> int:
    """Print what is wrong, and return the exit code."""
    from synthface.data import FaceSet

    faceset = FaceSet.load(options.faceset, flag="FACESET")
    problems = [*_image_problems(faceset), *_listing_problems(faceset)]
    for problem in problems[:_SHOWN]:
        print(problem)
    if problems:
        print(f"{len(problems):,} problems in {options.faceset}; it is not what was made")
        return 1
    print(
        f"{options.faceset}: {len(faceset):,} images of {len(faceset.identities):,} identities, all as they were made"
    )
    return 0


def _image_problems(faceset: "FaceSet") -> Iterator[str]:
    from synthface.data.marks import read_mark

    released = bool(faceset.info.get("released"))
    for index in track(range(len(faceset)), description="checking", total=len(faceset)):
        try:
            faceset.read_image(index)
        except DataError as error:
            yield str(error)
            continue
        path = faceset.root / faceset.records[index].path
        if released:
            mark = read_mark(path.read_bytes())
            if mark is None or faceset.info["set_id"] not in mark:
                yield f"{path} lacks the mark that it is synthetic and of this set"


def _listing_problems(faceset: "FaceSet") -> Iterator[str]:
    listed = {record.path for record in faceset.records}
    sums = faceset.root / "SHA256SUMS"
    if faceset.info.get("released"):
        if not sums.is_file():
            yield f"{sums} is missing"
        else:
            for line in sums.read_text(encoding="utf-8").splitlines():
                digest, name = line[:64], line[66:]
                listed.add(name)
                path = faceset.root / name
                if not path.is_file() or sha256_file(path) != digest:
                    yield f"{path} does not match its line in SHA256SUMS"
    for path in sorted((faceset.root / "images").rglob("*")):
        if path.is_file() and path.relative_to(faceset.root).as_posix() not in listed:
            yield f"{path} is not in the manifest"
