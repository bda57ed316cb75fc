"""Sorting more lines than the memory should hold: sorted runs in temporary files, then one merge."""

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from typing import IO

LINES_A_RUN = 50_000  # all that is in memory at once


def sort_lines(
    lines: Iterable[tuple[str, str]], folder: Path, *, lines_a_run: int | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (key, line) sorted by key; of lines with one key, only the last.

    Args:
        lines: key and line, without line breaks in the line.
        folder: where the temporary files go; they have no name there, so nothing is left of a process that is killed.
        lines_a_run: lines in memory at once.
    """
    limit = lines_a_run or LINES_A_RUN
    with ExitStack() as stack:
        runs: list[IO[str]] = []
        run: list[tuple[str, str]] = []
        for pair in lines:
            run.append(pair)
            if len(run) == limit:
                stream = stack.enter_context(
                    tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass", newline="\n", dir=folder)
                )
                _write_run(run, stream)
                runs.append(stream)
                run = []
        run.sort(key=itemgetter(0))
        # merge is stable: of equal keys, an earlier run's comes first
        yield from _last_of_each(heapq.merge(*map(_read_run, runs), run, key=itemgetter(0)))


def _write_run(run: list[tuple[str, str]], stream: IO[str]) -> None:
    run.sort(key=itemgetter(0))
    stream.writelines(f"{json.dumps(key)}\t{line}\n" for key, line in run)
    stream.seek(0)


def _read_run(stream: IO[str]) -> Iterator[tuple[str, str]]:
    for text in stream:
        key, _, line = text.removesuffix("\n").partition("\t")  # JSON writes a tab in the key as \t
        yield json.loads(key), line


def _last_of_each(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    last: tuple[str, str] | None = None
    for pair in pairs:
        if last is not None and pair[0] != last[0]:
            yield last
        last = pair
    if last is not None:
        yield last
