"""Check every hash of a FaceSet, and of a release in any format also its marks, signatures, counts, sums and audit.

A release must say of every image that it is synthetic and of this set; without their marks, its files must be those
that were audited; nothing may be missing, changed or added. Hashes and marks show what was changed by accident or
carelessly; against forgery, sign SHA256SUMS with a key of yours, or publish its hash elsewhere. Exit code 0 if all is
as it was made, 1 if not.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from synthface.core.errors import ConfigError, DataError
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from synthface.data import FaceSet

EXAMPLES = """
synthface verify release
synthface verify release --audit audit
synthface verify split/train
"""
_SHOWN = 20


@dataclass(frozen=True)
class Options:
    """Options of ``synthface verify``.

    Args:
        faceset: FaceSet or release to check.
        audit: folder of the audit that the release is said to have passed.
    """

    faceset: Path = field(metadata={"positional": True})
    audit: Path | None = None


def run(options: Options) -> int:
    """Print what is wrong, and return the exit code."""
    from synthface.workflows.releasing.description import RELEASE, SUMS

    if any((options.faceset / name).is_file() for name in (RELEASE, SUMS)):
        problems, whole = _check_release(options)
    elif options.audit is not None and options.faceset.exists():
        raise ConfigError(f"--audit is for a release; {options.faceset} has no {RELEASE}")
    else:
        problems, whole = _check_faceset(options.faceset)
    n_problems = 0
    for n_problems, problem in enumerate(problems, 1):
        if n_problems <= _SHOWN:
            _say(problem)
    if n_problems:
        _say(f"{n_problems:,} problem{'s' * (n_problems > 1)} in {options.faceset}; it is not what was made")
        return 1
    print(whole)
    return 0


def _say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # 'verify release | head -1' has seen enough, but all is not well
        print(text)


def _check_release(options: Options) -> tuple[Iterator[str], str]:
    from synthface.workflows.releasing.checking import release_problems
    from synthface.workflows.releasing.description import ReleaseDescription

    try:
        release = ReleaseDescription.load(options.faceset)
    except DataError as error:
        return iter([str(error)]), ""
    verdict, risk = release.clearance["verdict"], release.clearance.get("acknowledged")
    changed = ", ".join(release.clearance.get("changed_limits", {}))
    whole = (
        f"{options.faceset}: {release.n_images:,} images of {release.n_identities:,} identities as {release.format}, "
        f"all marked and as they were made; audit: {verdict}"
        + (f" under changed limits ({changed})" if changed else "")
        + (", looked at" if options.audit else ("" if verdict == "not audited" else "; to look at it give --audit"))
        + (f"; released all the same: {risk}" if risk else "")
        + ("" if release.c2pa is None else f"; {_signed(release.c2pa)}")
    )
    return release_problems(options.faceset, release, options.audit), whole


def _signed(certificate: dict[str, str]) -> str:
    from synthface.data.content_credentials import can_read_credentials

    if not can_read_credentials():
        return "C2PA signatures not looked at: pip install 'synthface-kit[c2pa]'"
    return f"each signed (C2PA) with the certificate of {certificate['signer']}, whose issuer was not looked at"


def _check_faceset(root: Path) -> tuple[Iterator[str], str]:
    from synthface.data import FaceSet

    faceset = FaceSet.load(root, flag="FACESET")
    whole = f"{root}: {len(faceset):,} images of {faceset.n_identities:,} identities, all as they were made"
    return _faceset_problems(faceset), whole


def _faceset_problems(faceset: "FaceSet") -> Iterator[str]:
    for index in track(range(len(faceset)), description="checking", total=len(faceset)):
        try:
            faceset.read_image(index)
        except DataError as error:
            yield str(error)
    listed = {record.path for record in faceset.records}
    for path in sorted((faceset.root / "images").rglob("*")):
        if path.is_file() and path.relative_to(faceset.root).as_posix() not in listed:
            yield f"{path} is not in the manifest"
