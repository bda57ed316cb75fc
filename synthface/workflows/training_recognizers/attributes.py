"""Labelled attributes of images or identities, from a table that somebody else wrote."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from synthface.core.errors import ConfigError, DataError
from synthface.data import FaceSet
from synthface.data.identity_names import composed
from synthface.data.untrusted import MAX_TEXT_BYTES, is_plain_text, printable, read_json_object

MISSING = -1  # as in the loss
MAX_VALUES = 1000  # of one attribute; more are measurements, not kinds
_KEYS = ("path", "identity")
Values = Mapping[str, str]


@dataclass(frozen=True)
class Attributes:
    """Attributes of a FaceSet's images.

    Attributes:
        names: of the A attributes, sorted.
        values: for each attribute its values, sorted; a label is an index into them.
        labels: [N, A] int64 in manifest order, ``MISSING`` where nobody labelled.
    """

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    labels: NDArray[np.int64]


def read_attributes(path: Path, faceset: FaceSet, *, flag: str = "--attributes") -> Attributes:
    """Read a CSV (.csv) or JSON Lines file of attributes.

    Each row names an image by ``path`` or a person by ``identity``; its other cells are attributes, of which any text,
    number or truth value is a kind of its own and an empty cell or null says nothing. What a path says goes before
    what its identity says. Rows on images and people that are not in the FaceSet are left out, so that one file may
    serve several parts of a set.

    Raises:
        DataError: names the line that cannot be read.
        ConfigError: no row fits the FaceSet, or an attribute has fewer than two values, or too many to be kinds.
    """
    rows = _read(path, flag)
    if not any(rows.values()):
        raise DataError(f"{flag} {path} holds no attribute; its rows are path or identity, and attributes")
    known = {"path": {item.path for item in faceset.records}, "identity": set(faceset.identities)}
    spelled = {(kind, composed(name)): (kind, name) for kind, names in known.items() for name in names}
    used = {spelled[key]: values for key, values in rows.items() if key in spelled}
    if not used:
        kind, name = next(iter(rows))
        there = next(iter(sorted(known[kind])), "nothing")
        raise ConfigError(
            f"{flag} {path}: no {kind} of its rows is in --faces (the first is {printable(name)}; --faces has "
            f"{printable(there)})"
        )
    names = tuple(sorted({name for values in rows.values() for name in values}))
    columns = [_labels(faceset, used, name) for name in names]
    for name, (values, _) in zip(names, columns, strict=True):
        if not 2 <= len(values) <= MAX_VALUES:
            raise ConfigError(
                f"{flag} {path}: {printable(name)} has {len(values)} of the 2 to {MAX_VALUES} different values "
                "in --faces that make an attribute"
            )
    return Attributes(names, tuple(values for values, _ in columns), np.stack([one for _, one in columns], axis=1))


def _labels(
    faceset: FaceSet, rows: Mapping[tuple[str, str], Values], name: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    nothing: Values = {}
    found = [
        rows.get(("path", item.path), nothing).get(name) or rows.get(("identity", item.identity), nothing).get(name)
        for item in faceset.records
    ]
    values = tuple(sorted({value for value in found if value}))
    index = {value: k for k, value in enumerate(values)}
    return values, np.array([index[value] if value else MISSING for value in found], dtype=np.int64)


def _read(path: Path, flag: str) -> dict[tuple[str, str], Values]:
    rows: dict[tuple[str, str], Values] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = _Lines(file)
            try:
                for row in _csv_rows(lines) if path.suffix.lower() == ".csv" else _json_rows(lines):
                    (kind, name), values = _split(row)
                    key = kind, composed(name)
                    if key in rows:
                        raise DataError(f"{kind} {printable(name)} comes twice")
                    rows[key] = values
            except (DataError, csv.Error, UnicodeDecodeError) as error:
                reason = "no text in UTF-8" if isinstance(error, UnicodeDecodeError) else error
                raise DataError(f"{flag} {path}, line {lines.number}: {reason}") from None
    except OSError:
        raise DataError(f"{flag} {path} does not exist or cannot be read") from None
    return rows


class _Lines(Iterator[str]):
    """The lines of a file, none of which may be longer than memory allows; counts them."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.number = 0

    def __next__(self) -> str:
        self.number += 1
        line = self._file.readline(MAX_TEXT_BYTES + 1)
        if len(line) > MAX_TEXT_BYTES:
            raise DataError(f"longer than {MAX_TEXT_BYTES // 2**20} MB")
        if not line:
            raise StopIteration
        return line


def _csv_rows(lines: Iterator[str]) -> Iterator[dict[str, object]]:
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    if len(set(header)) != len(header):
        raise DataError("two columns have one name")
    for row in reader:
        if row and len(row) != len(header):
            raise DataError(f"a row of {len(row)} cells below a header of {len(header)}")
        if row:
            yield dict(zip(header, row, strict=True))


def _json_rows(lines: Iterator[str]) -> Iterator[dict[str, object]]:
    for line in lines:
        if line.strip():
            yield read_json_object(line)


def _split(row: Mapping[str, object]) -> tuple[tuple[str, str], Values]:
    """Part a row into what it names and its attributes."""
    named = [(key, str(row[key])) for key in _KEYS if row.get(key) not in (None, "")]
    if len(named) != 1 or not isinstance(row[named[0][0]], str):
        raise DataError("a row names an image by path or a person by identity, one of the two")
    values = {}
    for name, value in row.items():
        if name in _KEYS or value is None or value == "":
            continue
        if not isinstance(value, str | int | float) or not is_plain_text(str(value)) or not is_plain_text(name):
            raise DataError(f"{printable(name)} is {printable(value)}; give a text, a number or a truth value")
        values[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return named[0], values
