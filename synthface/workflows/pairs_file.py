"""A verification pairs file against the FaceSet that holds its images."""

from pathlib import Path, PurePosixPath

from synthface.core.errors import DataError
from synthface.data import FaceSet
from synthface.metrics.lfw_pairs import ImageKey, Pair, parse_pairs


def locate_pairs(path: Path, faceset: FaceSet, *, flag: str) -> tuple[list[Pair], list[Pair], dict[ImageKey, int]]:
    """Read a pairs file and find its images by their source names.

    Args:
        path: file in the format of LFW's pairs.txt.
        faceset: where the images are.
        flag: the option that named the file, for messages.

    Returns:
        All pairs; those whose two images are in the set; and the row of each image of the set.

    Raises:
        DataError: the file cannot be read or is of another format.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{flag} {path} cannot be read ({error})") from None
    listed = parse_pairs(text, source=f"{flag} {path}")
    row_of = {
        (record.identity, PurePosixPath(record.source or record.path).stem): row
        for row, record in enumerate(faceset.records)
    }
    return listed, [pair for pair in listed if pair.first in row_of and pair.second in row_of], row_of
