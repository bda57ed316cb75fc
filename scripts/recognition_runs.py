"""What the studies of recognisers share: a training by ``synthface train-recognizer``, and a score on other people.

Every training is a run folder of its own, so it resumes like any other; its scores on the benchmark lie beside it.
"""

import argparse
import contextlib
import io
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.core.atomic import write_atomic
from synthface.core.errors import DataError, DivergedError, SynthfaceError
from synthface.core.heap import keep_freed_memory
from synthface.core.run_record import write_json
from synthface.data import FaceSet
from synthface.data.image_cache import image_cache
from synthface.metrics.disjoint_pairs import PairRows, disjoint_pairs
from synthface.metrics.intervals import bootstrap_by_identity
from synthface.metrics.verification import auc, equal_error_rate, ten_fold_accuracy
from synthface.metrics.weighted_verification import WeightedPairs

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Benchmark:
    """Pairs of people whom no training of the study shows, drawn once for all of them; a teacher may know some.

    Args:
        parts: FaceSets of those people.
        pairs: mated pairs in each of ten folds, and as many non-mated ones; nobody is in two folds.
        seed: of the draw.
    """

    parts: tuple[Path, ...]
    pairs: int = 300
    seed: int = 0

    @cached_property
    def facesets(self) -> list[FaceSet]:
        """The FaceSets of the parts."""
        return [FaceSet.load(path, flag="--test") for path in self.parts]

    @cached_property
    def identities(self) -> NDArray[np.str_]:
        """Identity of each image, part after part."""
        return np.array([record.identity for part in self.facesets for record in part.records])

    @cached_property
    def drawn(self) -> PairRows:
        """The pairs; rows count through all parts."""
        return disjoint_pairs(self.identities, pairs=self.pairs, seed=self.seed)

    @property
    def key(self) -> str:
        """What the scores depend on besides the recogniser."""
        return "-".join([*(part.manifest_sha256[:8] for part in self.facesets), str(self.pairs), str(self.seed)])

    def check_disjoint(self, trained_on: FaceSet) -> None:
        """Refuse a benchmark that shows people of a training set; generated identities have names of their own.

        Raises:
            DataError: somebody is in both.
        """
        shared = set(trained_on.identities) & set(self.identities.tolist())
        if shared:
            raise DataError(f"--test shows {len(shared)} people of {trained_on.root}; give other people")

    def scores(self, run: Path) -> Floats:
        """Return the cosines [N] of a run's recogniser on the pairs, from the file beside it where they are known."""
        from synthface.recognition import load_recognizer
        from synthface.recognition.catalogue import find_weights

        path = run.parent / f"{run.name}.{find_weights(str(run)).sha256[:8]}.{self.key}.npy"
        if not path.exists():
            recognizer = load_recognizer(run)
            side, used = recognizer.side, np.unique(self.drawn.rows)
            starts = np.cumsum([0, *(len(part) for part in self.facesets)])
            unit = np.zeros((starts[-1], recognizer.embedding_dim))
            for part, start, stop in zip(self.facesets, starts[:-1], starts[1:], strict=True):
                mine = used[(used >= start) & (used < stop)]
                unit[mine] = recognizer.embed(image_cache(part, side, side)[mine - start])
            found = io.BytesIO()
            np.save(found, np.einsum("nd,nd->n", unit[self.drawn.rows[:, 0]], unit[self.drawn.rows[:, 1]]))
            write_atomic(path, found.getvalue())
        scores: Floats = np.load(path)
        return scores

    def figures(self, scores: Floats) -> dict[str, float]:
        """Return accuracy over the folds, AUC and EER of one run."""
        same = self.drawn.same
        return {
            "accuracy": ten_fold_accuracy(scores, same, self.drawn.folds).mean,
            "auc": auc(scores[same], scores[~same]),
            "eer": equal_error_rate(scores[same], scores[~same]),
        }

    def accuracy_interval(self, scores: Sequence[Floats], *, replicates: int = 1000) -> tuple[float, float]:
        """Return the 95 % interval, by identity, of the mean accuracy of several runs on these pairs."""
        weighted = [WeightedPairs(each, self.drawn.same, self.drawn.folds) for each in scores]

        def mean(weights: Floats) -> dict[str, Floats]:
            return {"accuracy": np.mean([pairs.ten_fold_accuracy(weights) for pairs in weighted], axis=0)}

        first, second = self.identities[self.drawn.rows].T
        interval = bootstrap_by_identity(mean, first, second, n_replicates=replicates, seed=self.seed)["accuracy"]
        return interval.low, interval.high


def exit_code(study: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a study and return its exit code; what the user has to mend is said in a line, and is a 3."""
    keep_freed_memory()
    try:
        return study(arguments)
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3


def publish(out: Path, name: str, result: dict[str, Any], table: str) -> None:
    """Write NAME.json and NAME.md, and print the table."""
    write_json(out / f"{name}.json", result)
    (out / f"{name}.md").write_text(table, encoding="utf-8")
    print(table)


def train(**settings: Any) -> dict[str, Any]:
    """Run ``synthface train-recognizer`` quietly unless it is done; return its last epoch's figures and its time.

    A training that diverges is a result too: {"failed": why}.
    """
    from synthface.core.journal import read_journal
    from synthface.workflows import train_recognizer

    options = train_recognizer.Options(**settings)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            train_recognizer.run(options)
    except DivergedError as error:
        return {"failed": str(error)}
    lines = read_journal(options.out / "metrics.jsonl")
    seconds = sum(line["seconds"] for line in lines)
    return {**lines[-1], "epochs": len(lines), "seconds": seconds}


def summary_or_failure(benchmark: Benchmark, runs: Sequence[Path]) -> dict[str, Any]:
    """Return the ``summary``, or what went wrong: embeddings that are not finite must not cost the other rows."""
    try:
        return summary(benchmark, runs)
    except SynthfaceError as error:
        return {"failed": str(error)}


def summary(benchmark: Benchmark, runs: Sequence[Path], *, replicates: int = 1000) -> dict[str, Any]:
    """Return what the runs of one setting, one a seed, reach together."""
    scores = [benchmark.scores(run) for run in runs]
    figures = [benchmark.figures(each) for each in scores]
    accuracies = [each["accuracy"] for each in figures]
    return {
        "seeds": len(runs),
        "accuracy": statistics.mean(accuracies),
        "accuracy_interval": benchmark.accuracy_interval(scores, replicates=replicates),
        "accuracy_seeds": accuracies,
        "auc": statistics.mean(each["auc"] for each in figures),
        "eer": statistics.mean(each["eer"] for each in figures),
    }


def size_of(side: int, width: float, embedding_dim: int, *, network: str = "mobilefacenet") -> dict[str, float]:
    """Return parameters and floating-point operations (two a multiply-add) of a network of that size."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from synthface.recognition.network_config import ARCHITECTURE_OF, NetworkConfig
    from synthface.recognition.networks.build import build_network

    config = NetworkConfig(
        architecture=ARCHITECTURE_OF[network], input_size=(side, side), width=width, embedding_dim=embedding_dim
    )
    built = build_network(config, seed=0).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        built(torch.zeros(1, 3, side, side))
    return {"parameters": sum(p.numel() for p in built.parameters()), "flops": counter.get_total_flops()}


def percent(value: float) -> str:
    """Return a share as per cent with one decimal."""
    return f"{100 * value:.1f}"


def accuracy_cells(found: dict[str, Any]) -> str:
    """Return accuracy, interval and the seeds' own accuracies as three cells of a table."""
    low, high = found["accuracy_interval"]
    each = " ".join(percent(value) for value in found["accuracy_seeds"])
    return f"{percent(found['accuracy'])} | {percent(low)} to {percent(high)} | {each}"
