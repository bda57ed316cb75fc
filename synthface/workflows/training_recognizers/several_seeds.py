"""One training for each of several seeds, and what they reach together."""

import statistics
from collections.abc import Sequence
from typing import Any


def summarise_seeds(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean, standard deviation and 95 % interval (Student's t) of the runs' last epochs, figure by figure."""
    from scipy.stats import t

    n = len(figures)
    summary = {}
    for name in figures[0]:
        if name != "loss" and not name.startswith("validation_"):
            continue
        values = [float(each[name]) for each in figures]
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        half = float(t.ppf(0.975, n - 1)) * deviation / n**0.5
        summary[name] = {"mean": mean, "std": deviation, "interval": [mean - half, mean + half], "values": values}
    return summary


def table(summary: dict[str, Any]) -> str:
    """Return the summary as lines of text."""
    lines = []
    for name, found in summary.items():
        low, high = found["interval"]
        lines.append(f"{name:<32} {found['mean']:.4g}  [{low:.4g}, {high:.4g}]  of {len(found['values'])} seeds")
    return "\n".join(lines) + "\n"
