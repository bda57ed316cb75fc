"""Every loss on one small network: accuracy on people that none of them was trained on.

    synthface split faces --out split
    python scripts/compare_losses.py --train split/train --test split/holdout split/placebo --out losses

A MobileFaceNet of a quarter of the channels at 32 pixels learns the training people with each loss, once a seed, by
``synthface train-recognizer``. Learning rates are chosen on people cut out of the training part (a seventh of them,
seed 0, fewer epochs), never on the pairs reported: of three, and of up to two more where the best is at their end. All
else is the loss's default (docs/methods.md says where these are not the papers'), but for what is tied to ten thousand
classes and hundreds of thousands of steps: those changes are written below the table. Verification pairs are
drawn from --test, 300 mated and 300 non-mated in each of ten folds, nobody in two folds; intervals resample people.

Every training is a folder below --out; stopped at any moment, the same command goes on. Writes losses.json and
losses.md. --quick is a smoke test. One thread a process.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: processes share the cores

from recognition_runs import Benchmark, accuracy_cells, exit_code, percent, publish, size_of, summary_or_failure, train

from synthface.core.hashing import sha256_json
from synthface.data import FaceSet
from synthface.workflows import split
from synthface.workflows.progress import track
from synthface.workflows.train_recognizer import LossName

RunAll = Callable[[list["Job"]], Iterable[dict[str, Any]]]
LOSS_NAMES: tuple[str, ...] = get_args(LossName)
LADDER = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of learning rates; its ends are never reached
RATES = (0.03, 0.1, 0.3)
# Published with Adam, at 3e-4 and 1e-4. Batch-hard collapses with SGD; and the bound on the gradient's length, which
# Adam does not feel, holds simplex's back: its loss is a squared distance of length D, hundreds at first.
ADAM_RATES = {"triplet-batchhard": (1e-3, 3e-3, 0.01), "simplex": (1e-3, 3e-3, 0.01)}
_FURTHER = 2  # rates tried beyond these where the best one is at an end
# Losses on pairs see two images of a person in a batch: most of LFW have two or three, and four would be repeats.
FROM_PAIRS = (
    "contrastive", "range", "anisotropy", "id-triplet", "triplet-semihard", "triplet-batchhard",
    "margin-distance-weighted",
)  # fmt: skip
# What is not as published, and why.
CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "l-softmax": ({"lam_gamma": 1e-3}, "published: still 211 after these steps; so its floor at a tenth of them"),
    "sphereface": ({"lam_gamma": 0.9}, "published: at its floor after 1,659 steps, about all there are here"),
    "range": ({"margin": 256.0, "beta": 1e-3}, "published for lengths of hundreds; 256 is 2 D, orthogonal people here"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all trainings share."""

    side: int = 32
    width: float = 0.25
    embedding_dim: int = 128
    epochs: int = 20
    tuning_epochs: int = 8
    batch: int = 64
    seeds: tuple[int, ...] = (0, 1, 2)
    compile: bool = False

    def options(self, loss: str) -> dict[str, Any]:
        """Return the options of ``train-recognizer`` for a loss."""
        return {
            "loss": loss,
            "loss_options": CHANGED[loss][0] if loss in CHANGED else None,
            "input_size": self.side,
            "width": self.width,
            "embedding_dim": self.embedding_dim,
            "batch": self.batch,
            "augment": "light",
            "compile": self.compile,
            **({"images_per_class": 2} if loss in FROM_PAIRS else {}),
            **({"optimizer": "adamw"} if loss in ADAM_RATES else {}),
        }


@dataclass(frozen=True)
class Rate:
    """The learning rate chosen, and the AUC that each one tried had; 0 where the training diverged."""

    chosen: float
    tried: dict[float, float]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training; ``settings`` are options of train-recognizer."""

    settings: dict[str, Any] = field(hash=False)

    def __call__(self) -> dict[str, Any]:
        """Train, or read what a finished training reached; a loss that diverges is a result too."""
        import torch

        torch.set_num_threads(1)
        return train(**self.settings)


def main() -> int:
    """Tune, train, score and write the table."""
    return exit_code(_compare, _arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="FaceSet to learn from")
    parser.add_argument("--test", type=Path, nargs="+", required=True, help="FaceSets of other people")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--losses", nargs="+", choices=LOSS_NAMES, default=LOSS_NAMES)
    parser.add_argument("--seeds", type=int, nargs="+", default=Settings.seeds)
    parser.add_argument("--side", type=int, default=Settings.side)
    parser.add_argument("--width", type=float, default=Settings.width)
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compile the network, once a process")
    parser.add_argument("--quick", action="store_true", help="two epochs, one rate, one seed")
    return parser.parse_args()


def _compare(arguments: argparse.Namespace) -> int:
    people, benchmark = FaceSet.load(arguments.train, flag="--train"), Benchmark(tuple(arguments.test))
    benchmark.check_disjoint(people)
    settings = Settings(
        side=arguments.side,
        width=arguments.width,
        epochs=2 if arguments.quick else arguments.epochs,
        tuning_epochs=1 if arguments.quick else Settings.tuning_epochs,
        seeds=tuple(arguments.seeds[:1] if arguments.quick else arguments.seeds),
        compile=arguments.compile,
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    split.run(split.Options(faceset=arguments.train, out=arguments.out / "split", holdout=1 / 7))
    with _pool(arguments.processes) as run_all:
        rates = _tune(arguments, settings, run_all, quick=arguments.quick)
        rows = list(_measure(arguments, settings, rates, benchmark, run_all))
    size = size_of(settings.side, settings.width, settings.embedding_dim)
    result = {"settings": settings, "size": size, "images": len(people), "people": len(people.identities)}
    result |= {"pairs": len(benchmark.drawn.same), "rows": rows}
    publish(arguments.out, "losses", result, markdown(result, settings))
    return int(any("failed" in row for row in rows))


@contextmanager
def _pool(processes: int) -> Iterator[RunAll]:
    """Yield a map over that many processes; the plain one for one."""
    if processes == 1:
        yield lambda jobs: map(Job.__call__, jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield lambda jobs: pool.map(Job.__call__, jobs)


def _folder(out: Path, settings: dict[str, Any]) -> Path:
    named = {key: str(value) for key, value in settings.items()}
    return out / "runs" / f"{settings['loss']}-{settings['lr']:g}-{settings['seed']}-{sha256_json(named)[:8]}"


def _job(out: Path, settings: dict[str, Any]) -> Job:
    return Job(settings=settings | {"out": _folder(out, settings)})


def _tune(arguments: argparse.Namespace, settings: Settings, run_all: RunAll, *, quick: bool) -> dict[str, Rate]:
    """Return for each loss the rate with the best AUC on the people cut out of the training part.

    Where it is at an end of those tried, the next one beyond is tried too, as often as ``_FURTHER`` says.
    """
    parts = arguments.out / "split"
    found: dict[str, dict[float, float]] = {loss: {} for loss in arguments.losses}
    first = {loss: first_rates(loss)[1:2] if quick else first_rates(loss) for loss in arguments.losses}
    wanted = [(loss, rate) for loss, rates in first.items() for rate in rates]
    for _ in range(1 if quick else 1 + _FURTHER):
        jobs = []
        for loss, rate in wanted:
            options = settings.options(loss) | {"lr": rate, "seed": 0, "epochs": settings.tuning_epochs}
            options |= {"faces": parts / "train", "validate": parts / "holdout"}
            jobs.append(_job(arguments.out, options))
        for job, reached in zip(
            jobs, track(run_all(jobs), description="choose rates", total=len(jobs), unit="run"), strict=True
        ):
            found[job.settings["loss"]][job.settings["lr"]] = reached.get("validation_auc", 0.0)
        wanted = [(loss, rate) for loss, tried in found.items() if (rate := beyond(tried)) is not None]
    return {loss: Rate(max(tried, key=tried.__getitem__), tried) for loss, tried in found.items()}


def first_rates(loss: str) -> tuple[float, ...]:
    """Return the learning rates that are tried at any event."""
    return ADAM_RATES.get(loss, RATES)


def beyond(tried: dict[float, float]) -> float | None:
    """Return the next rate of the ladder if the best one tried is the least or the greatest; None if it lies within."""
    best = max(tried, key=tried.__getitem__)
    if best not in (min(tried), max(tried)):
        return None
    return LADDER[LADDER.index(best) + (1 if best == max(tried) else -1)]


def _measure(
    arguments: argparse.Namespace, settings: Settings, rates: dict[str, Rate], benchmark: Benchmark, run_all: RunAll
) -> Iterator[dict[str, Any]]:
    jobs = []
    for loss in arguments.losses:
        for seed in settings.seeds:
            options = settings.options(loss) | {"lr": rates[loss].chosen, "seed": seed, "epochs": settings.epochs}
            jobs.append(_job(arguments.out, options | {"faces": arguments.train}))
    done = list(track(run_all(jobs), description="train", total=len(jobs), unit="run"))
    for loss in arguments.losses:
        mine = [(job, found) for job, found in zip(jobs, done, strict=True) if job.settings["loss"] == loss]
        row: dict[str, Any] = {
            "loss": loss,
            "lr": rates[loss].chosen,
            "rates": rates[loss].tried,
            "changed": CHANGED.get(loss),
        }
        failed = [found["failed"] for _, found in mine if "failed" in found]
        if failed:
            yield row | {"failed": failed[0]}
            continue
        row |= {"epochs": mine[0][1]["epochs"], "seconds": sum(found["seconds"] for _, found in mine) / len(mine)}
        yield row | summary_or_failure(benchmark, [job.settings["out"] for job, _ in mine])


def markdown(result: dict[str, Any], settings: Settings) -> str:
    """Return the table, best first, and what must be said with it."""
    size = result["size"]
    lines = [
        f"MobileFaceNet x {settings.width:g} at {settings.side} px: {size['parameters']:,} parameters, "
        f"{size['flops'] / 1e6:.1f} MFLOP an image. {result['images']:,} photos of {result['people']:,} people, batch "
        f"{settings.batch}, {len(settings.seeds)} seeds; {result['pairs']:,} pairs of other people.",
        "",
        "| loss | accuracy % | 95 % interval | seeds | AUC | EER % | lr | epochs | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(result["rows"], key=lambda row: -row.get("accuracy", 0.0)):
        if "failed" in row:
            lines.append(f"| `{row['loss']}` | failed: {row['failed']} | | | | | {row['lr']:g} | | |")
            continue
        lines.append(
            f"| `{row['loss']}`{'*' if row['changed'] else ''} | {accuracy_cells(row)} | {row['auc']:.3f} | "
            f"{percent(row['eer'])} | {row['lr']:g}{'' if beyond(row['rates']) is None else '†'} | {row['epochs']} | "
            f"{row['seconds']:.0f} |"
        )
    if any(beyond(row["rates"]) is not None for row in result["rows"]):
        lines.append("\n† the least or the greatest rate that was tried.")
    changed = [row for row in result["rows"] if row["changed"]]
    for row in changed:
        options, reason = row["changed"]
        named = ", ".join(f"`{key}={value}`" for key, value in options.items())
        lines.append(f"\n\\* `{row['loss']}`: {named} ({reason}).")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
