"""Reading and writing verification pairs in the format of LFW's ``pairs.txt``."""

from dataclasses import dataclass

from synthface.core.errors import DataError

ImageKey = tuple[str, str]  # (person, file stem)


@dataclass(frozen=True)
class Pair:
    """Two images to compare, the fold they belong to, and whether they show one person."""

    first: ImageKey
    second: ImageKey
    same: bool
    fold: int


def parse_pairs(text: str, *, source: str = "pairs file") -> list[Pair]:
    """Parse LFW pairs.

    The first line holds the number of folds and of mated pairs a fold (``10<tab>300``; one number means one fold).
    Each fold lists its mated pairs (``Person n m``), then as many non-mated ones (``A n B m``); image n of a person
    has the stem ``Person_000n``.

    Args:
        text: content of the file, tab- or blank-separated.
        source: its name, for messages.

    Raises:
        DataError: names the line that cannot be read.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    try:
        header = [int(word) for word in lines[0]]
        n_folds, n_mated = (1, header[0]) if len(header) == 1 else header
    except (IndexError, ValueError):
        raise DataError(
            f"{source}: the first line is not '<folds> <mated pairs a fold>', as in LFW's pairs.txt"
        ) from None
    if n_mated < 1 or len(lines) - 1 != 2 * n_folds * n_mated:
        raise DataError(f"{source}: {len(lines) - 1} pairs, but the first line promises {2 * n_folds * n_mated}")
    pairs = [
        _parse_pair(words, number, (number - 2) // (2 * n_mated), source) for number, words in enumerate(lines[1:], 2)
    ]
    return pairs


def format_pairs(pairs: list[Pair]) -> str:
    """Write pairs as ``parse_pairs`` reads them.

    Args:
        pairs: by fold, in each fold the mated ones first and equally many of both kinds; images have the stem
            ``Person_000n``.

    Raises:
        DataError: an image has another stem, or folds are not alike.
    """
    n_folds = len({pair.fold for pair in pairs})
    n_mated = len(pairs) // (2 * n_folds) if n_folds else 0
    expected = [(fold, same) for fold in range(n_folds) for same in (True, False) for _ in range(n_mated)]
    if not pairs or [(pair.fold, pair.same) for pair in pairs] != expected:
        raise DataError("pairs are not in folds of one size, with as many mated pairs first as non-mated ones after")
    lines = [f"{n_folds}\t{n_mated}"]
    for pair in pairs:
        a, n, b, m = pair.first[0], _number(pair.first), pair.second[0], _number(pair.second)
        lines.append(f"{a}\t{n}\t{m}" if pair.same else f"{a}\t{n}\t{b}\t{m}")
    return "\n".join(lines) + "\n"


def _number(image: ImageKey) -> int:
    person, stem = image
    digits = stem.removeprefix(f"{person}_")
    if not digits.isdecimal() or _key(person, digits) != image or person.split() != [person]:
        raise DataError(
            f"an image is named {stem!r}: the format of LFW's pairs.txt can only name images Person_0001, Person_0002, "
            "..., without blanks"
        )
    return int(digits)


def _parse_pair(words: list[str], line: int, fold: int, source: str) -> Pair:
    try:
        if len(words) == 3:
            person, n, m = words
            return Pair(_key(person, n), _key(person, m), same=True, fold=fold)
        person_a, n, person_b, m = words
        return Pair(_key(person_a, n), _key(person_b, m), same=person_a == person_b, fold=fold)
    except ValueError:
        raise DataError(f"{source}, line {line}: not 'Person n m' or 'A n B m'") from None


def _key(person: str, number: str) -> ImageKey:
    return person, f"{person}_{int(number):04d}"
