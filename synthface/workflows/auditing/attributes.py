"""A table of what is known of people and classes, as a user gives it to tell groups apart."""

import csv
from pathlib import Path

from synthface.core.errors import AuditError
from synthface.data.identity_names import composed

_MOST_GROUPS = 20  # of one attribute
_KEY = "identity"

Attributes = dict[str, dict[str, str]]  # attribute -> identity -> value


def read_attributes(path: Path | None, known: set[str]) -> Attributes:
    """Read a CSV file with a column ``identity`` and one column an attribute; an empty cell is "not stated".

    Args:
        path: the file; None gives no attributes.
        known: identities of the sets that are audited.

    Raises:
        AuditError: it cannot be read, has no such column, an identity twice, nobody who is known, or an attribute
            with so many values that it names people rather than groups.
    """
    if path is None:
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = list(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AuditError(f"--attributes {path} cannot be read ({error}); give a CSV file in UTF-8") from None
    names = [column for column in columns if column != _KEY]
    if columns.count(_KEY) != 1 or not names or len(set(columns)) < len(columns) or "" in columns:
        raise AuditError(
            f"--attributes {path} has the columns {', '.join(columns) or 'none'}; its first line names one column "
            f"'{_KEY}' and one for each attribute"
        )
    spelled = {composed(identity): identity for identity in known}
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        cells = [row[column] for column in columns]
        if None in row or None in cells:
            raise AuditError(f"--attributes {path} has a line with other than {len(columns)} cells: {row[_KEY]}")
        identity = spelled.get(composed(row[_KEY]), row[_KEY])
        if identity in table:
            raise AuditError(f"--attributes {path} names {row[_KEY]} twice; one line an identity")
        table[identity] = row
    if not known & table.keys():
        raise AuditError(f"--attributes {path} names nobody of the sets that are audited; it goes by their identities")
    return {name: _values(path, name, table) for name in names}


def _values(path: Path, name: str, table: dict[str, dict[str, str]]) -> dict[str, str]:
    values = {identity: text for identity, row in table.items() if (text := row[name].strip())}
    if len(set(values.values())) > _MOST_GROUPS:
        raise AuditError(
            f"--attributes {path} has {len(set(values.values()))} different values of {name}; put them into at most "
            f"{_MOST_GROUPS} groups"
        )
    return values
