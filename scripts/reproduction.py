"""What the scripts that reproduce docs/results.md share: running a command of the package, and Markdown."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthface.core.errors import SynthfaceError

RECOGNIZERS = ("mobilefacenet-ms1m", "mobilefacenet-casia")
_FIRST_ERROR_CODE = 3  # 0 to 2 are the verdicts of an audit


def synthface(*arguments: object) -> None:
    """Run a command of this package; it does nothing where its result stands already.

    Raises:
        SynthfaceError: it stopped with an error.
    """
    code = subprocess.run([sys.executable, "-m", "synthface", *map(str, arguments)], check=False).returncode
    if code >= _FIRST_ERROR_CODE or code < 0:
        raise SynthfaceError(f"synthface {arguments[0]} stopped with exit code {code}; see above")


def exit_code(job: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """Do a job and return the exit code; what the user has to mend is said in a line, and is a 3."""
    try:
        job(arguments)
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return _FIRST_ERROR_CODE
    return 0


def parts_of(split: Path) -> list[object]:
    """Return the flags of an audit for the folder of 'synthface split'."""
    return [part for name in ("train", "holdout", "placebo") for part in (f"--{name}", split / name)]


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def figure(found: Mapping[str, Any], decimals: int = 3) -> str:
    """Return ``value`` and, where there is one, ``interval`` of a figure."""
    value, interval = found["value"], found.get("interval")
    if value is None:
        return "-"
    ends = f" [{interval[0]:.{decimals}f}, {interval[1]:.{decimals}f}]" if interval else ""
    return f"{value:.{decimals}f}{ends}"


def share(value: float, interval: Sequence[float] | None = None) -> str:
    """Return a share, and its interval, as per cent."""
    ends = f" [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else ""
    return f"{100 * value:.2f} %{ends}"
