"""The two records of a generator's training: metrics.jsonl, one line a tick, and events.jsonl, one a failure."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthface.core.atomic import write_atomic
from synthface.core.hashing import canonical_json
from synthface.core.journal import Journal, read_journal

METRICS, EVENTS = "metrics.jsonl", "events.jsonl"


class GanJournals:
    """Lines of metrics tell the run as it counts, without what was rolled back; events tell what was.

    Args:
        out: the run's folder.
        step: step of the checkpoint that the run goes on from; later lines were written by a run that was killed.
        attempt: rollbacks up to that checkpoint.
    """

    def __init__(self, out: Path, *, step: int, attempt: int) -> None:
        self._out = out
        self._metrics = _open(out / METRICS, lambda line: line["step"] <= step)
        if (out / EVENTS).exists():
            _open(out / EVENTS, lambda event: event["attempt"] <= attempt).close()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of metrics so far."""
        return self._metrics.records

    def append(self, line: dict[str, Any]) -> None:
        """Add a line of metrics."""
        self._metrics.append(line)

    def add_event(self, event: dict[str, Any]) -> None:
        """Add an event; it must say in which attempt."""
        with Journal(self._out / EVENTS) as journal:
            journal.append(event)

    def events(self) -> list[dict[str, Any]]:
        """Return the events so far."""
        return read_journal(self._out / EVENTS) if (self._out / EVENTS).exists() else []

    def cut(self, step: int) -> None:
        """Drop the lines of metrics after a step that the run was rolled back to."""
        self._metrics.close()
        self._metrics = _open(self._out / METRICS, lambda line: line["step"] <= step)

    def __enter__(self) -> "GanJournals":
        return self

    def __exit__(self, *_: object) -> None:
        self._metrics.close()


def describe_line(line: dict[str, Any]) -> str:
    """Return a line of metrics for people."""
    text = (
        f"{line['seen_images'] / 1000:8.1f} kimg  {line['seconds'] / 60:6.1f} min"
        f"  {line['images_per_second']:5.1f} images/s  G {line['loss_generator']:.3f}"
        f"  D {line['loss_discriminator']:.3f}  p {line['ada_p']:.3f}  r_t {line['r_t']:+.3f}"
    )
    if "monitor" in line:
        measured = line["monitor"]
        text += (
            f"\n{'':14}Frechet {measured['frechet']:.3f}  recall {measured['recall']:.2f}"
            f"  EER {measured['eer']:.3f} (real {measured['eer_real']:.3f})"
            f"  diversity {measured['diversity']:.2f} (real {measured['diversity_real']:.2f})"
            f"  measured in {measured['seconds']:.1f} s"
        )
    return text


def _open(path: Path, is_kept: Callable[[dict[str, Any]], bool]) -> Journal:
    """Open a journal with only some of its records."""
    journal = Journal(path)
    kept = [record for record in journal.records if is_kept(record)]
    if len(kept) == len(journal.records):
        return journal
    journal.close()
    write_atomic(path, "".join(canonical_json(record) + "\n" for record in kept).encode())
    return Journal(path)
