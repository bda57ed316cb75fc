"""Train the class-conditional StyleGAN2-ADA on a FaceSet: one class an identity.

The run's folder gets metrics.jsonl, sample grids (rows are classes, columns are seeds), curves.png, a checkpoint and
at the end generator.safetensors, the moving average of the generator. A run that was interrupted goes on with
--resume from its last checkpoint, exactly as if nothing had happened.
"""

import dataclasses
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan.config import NetworkConfig, TrainingConfig
from synthface.core.errors import ConfigError, DataError, SynthfaceError
from synthface.core.hashing import sha256_json
from synthface.core.journal import Journal
from synthface.core.run_record import run_record, to_json, write_json
from synthface.core.seeds import derive_seed
from synthface.workflows.compute import Compute, launch_fabric

if TYPE_CHECKING:
    from gan.trainer import GanTrainer
    from synthface.data import FaceSet

logger = logging.getLogger(__name__)

EXAMPLES = """
synthface train-gan --faces split/train --out runs/gan --minutes 60
synthface train-gan --faces split/train --out runs/gan --minutes 60 --resume
synthface train-gan --faces split/train --out runs/try --config configs/smoke.yaml
synthface train-gan --faces split/train --out runs/gan --kimg 5000 --device cuda --devices 4
"""


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface train-gan``.

    Args:
        faces: FaceSet to train on, usually the train part of 'synthface split'.
        out: folder of the run.
        minutes: stop after this much training time, over all resumed parts.
        kimg: stop after this many thousand images.
        resume: go on with the run in --out.
        seed: seed of weights, order of images, latents and augmentation.
        tick_kimg: thousand images between two lines of metrics and two checkpoints.
        snapshot_ticks: ticks between two sample grids.
        network: sizes of the networks.
        training: settings of the training.
    """

    faces: Path
    out: Path
    minutes: float | None = None
    kimg: float | None = None
    resume: bool = False
    seed: int = 0
    tick_kimg: float = 2.0
    snapshot_ticks: int = 5
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minutes is None and self.kimg is None:
            object.__setattr__(self, "minutes", 60.0)
        for flag in ("minutes", "kimg", "tick_kimg", "snapshot_ticks"):
            value = getattr(self, flag)
            if value is not None and value <= 0:
                raise ConfigError(f"--{flag.replace('_', '-')} {value}: give a positive number")


def run(options: Options) -> None:
    """Train until the time or the images are used up."""
    from gan.batches import BatchSource
    from gan.checkpoint import load_checkpoint
    from gan.trainer import GanTrainer
    from synthface.data import FaceSet
    from synthface.data.image_cache import image_cache

    faces = FaceSet.load(options.faces, flag="--faces")
    if len(faces) < options.training.batch:
        raise DataError(
            f"--faces {options.faces} has {len(faces)} images, fewer than one batch ({options.training.batch})"
        )
    _check_out(options)
    fabric = launch_fabric(options)
    if fabric.is_global_zero:
        (options.out / "samples").mkdir(parents=True, exist_ok=True)
        image_cache(faces, options.network.resolution, options.network.resolution)
    fabric.barrier()
    pixels = image_cache(faces, options.network.resolution, options.network.resolution)
    source = BatchSource(pixels, faces.labels, options.training, options.seed)
    trainer = GanTrainer(options.network, options.training, len(faces.identities), source, fabric, options.seed)
    settings = settings_hash(options, faces)
    checkpoint = load_checkpoint(options.out, settings=settings)
    progress = {"seconds": 0.0, "ticks": 0.0}
    if checkpoint is not None:
        trainer.load_state_dict(checkpoint["trainer"])
        progress = checkpoint["progress"]
        logger.info("going on after %d images, %.1f minutes", trainer.seen_images, progress["seconds"] / 60)
    record = run_record("train-gan", _what_decides(options), seed=options.seed, inputs={"faces": faces.manifest_sha256})
    if fabric.is_global_zero:
        write_json(options.out / "run.json", record)
    _fit(options, trainer, progress, settings)
    if fabric.is_global_zero:
        _write_generator(options, trainer, faces)


def settings_hash(options: Options, faces: "FaceSet") -> str:
    """Hash what must stay the same between the parts of one run."""
    return sha256_json({"config": _what_decides(options), "faces": faces.manifest_sha256})


def _what_decides(options: Options) -> dict[str, Any]:
    """Return the options that decide the numbers: not where it runs, how long, or how often it reports."""
    decides = {"network": to_json(options.network), "training": to_json(options.training), "seed": options.seed}
    decides["training"].pop("compile")
    return decides


def _check_out(options: Options) -> None:
    if options.resume and not options.out.exists():
        raise ConfigError(f"--resume: there is no run in --out {options.out}; leave --resume out to start one")
    if options.out.exists() and not options.resume and any(options.out.iterdir()):
        raise ConfigError(f"--out {options.out} already exists; add --resume to go on with it, or give another path")


def _fit(options: Options, trainer: "GanTrainer", progress: dict[str, float], settings: str) -> None:
    """Train tick by tick; each tick ends with a line of metrics and a checkpoint."""
    from gan.checkpoint import save_checkpoint

    is_writer = trainer.fabric.is_global_zero
    metrics = _metrics_journal(options.out / "metrics.jsonl", trainer.step_index) if is_writer else None
    for line in _ticks(options, trainer, progress):
        if is_writer and metrics is not None:
            if any(value != value for value in line.values()):  # NaN
                raise SynthfaceError(
                    f"training diverged after {line['seen_images']:,} images (metrics are not a number); "
                    "start again with a lower --training.learning_rate or a higher --training.r1_gamma"
                )
            metrics.append(line)
            logger.info(_describe(line))
            if progress["ticks"] % options.snapshot_ticks == 0 or line["last"]:
                _write_pictures(options, trainer, metrics.records)
            save_checkpoint(options.out, settings=settings, trainer=trainer.state_dict(), progress=progress)
        trainer.fabric.barrier()
    if metrics is not None:
        metrics.close()


def _ticks(options: Options, trainer: "GanTrainer", progress: dict[str, float]) -> Iterator[dict[str, Any]]:
    """Run the steps, with a progress bar, and yield a line of metrics a tick; counts time into ``progress``."""
    from gan.trainer import mean_metrics

    images_a_tick = max(1, round(options.tick_kimg * 1000 / options.training.batch)) * options.training.batch
    with _bar(options, trainer, progress) as bar:
        last = _is_over(options, trainer, progress)
        while not last:
            started, steps = time.monotonic(), []
            while True:
                steps.append(trainer.step())
                elapsed = time.monotonic() - started
                bar.update(options.training.batch)
                last = trainer.agree(_is_over(options, trainer, progress, elapsed))
                if last or trainer.seen_images % images_a_tick == 0:
                    break
            progress["seconds"] += elapsed
            progress["ticks"] += 1
            yield {
                "step": trainer.step_index,
                "seen_images": trainer.seen_images,
                "seconds": round(progress["seconds"], 1),
                "images_per_second": round(len(steps) * options.training.batch / elapsed, 2),
                **mean_metrics(steps),
                "ada_p": trainer.ada.p,
                "r_t": trainer.ada.r_t,
                "last": last,
            }


def _bar(options: Options, trainer: "GanTrainer", progress: dict[str, float]) -> Any:
    import sys

    from tqdm import tqdm

    total = round(options.kimg * 1000) if options.kimg else None
    return tqdm(
        desc="training" if total else f"training for {options.minutes:g} min",
        total=total,
        initial=trainer.seen_images,
        unit="image",
        mininterval=0.5 if sys.stderr.isatty() else 60,
        maxinterval=60,
        disable=not trainer.fabric.is_global_zero,
    )


def _is_over(options: Options, trainer: "GanTrainer", progress: dict[str, float], elapsed: float = 0.0) -> bool:
    images_used_up = options.kimg is not None and trainer.seen_images >= options.kimg * 1000
    return images_used_up or (options.minutes is not None and progress["seconds"] + elapsed >= options.minutes * 60)


def _metrics_journal(path: Path, step: int) -> Journal:
    """Open metrics.jsonl, without the lines that a killed run wrote after its last checkpoint."""
    if path.exists():
        with Journal(path) as journal:
            kept = [line for line in journal.records if line["step"] <= step]
        path.write_text("".join(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n" for line in kept))
    return Journal(path)


def _describe(line: dict[str, Any]) -> str:
    return (
        f"{line['seen_images'] / 1000:8.1f} kimg  {line['seconds'] / 60:6.1f} min"
        f"  {line['images_per_second']:5.1f} images/s  G {line['loss_generator']:.3f}"
        f"  D {line['loss_discriminator']:.3f}  p {line['ada_p']:.3f}  r_t {line['r_t']:+.3f}"
    )


def _write_pictures(options: Options, trainer: "GanTrainer", metrics: list[dict[str, Any]]) -> None:
    from gan.sampling import ImageRequest, draw_images
    from synthface.report.contact_sheet import contact_sheet
    from synthface.report.training_curves import plot_training_curves

    n_rows, n_columns = min(8, max(1, trainer.G.n_classes)), 8
    stride = max(1, trainer.G.n_classes // n_rows)
    requests = [
        ImageRequest(seed=derive_seed(options.seed, "grid", column), code={row * stride: 1.0})
        for row in range(n_rows)
        for column in range(n_columns)
    ]
    images = [image for _, image in draw_images(trainer.G_ema, requests)]
    rows = [images[start : start + n_columns] for start in range(0, len(images), n_columns)]
    contact_sheet(rows).save(options.out / "samples" / f"{trainer.seen_images:09d}.png")
    plot_training_curves(metrics, options.out / "curves.png")


def _write_generator(options: Options, trainer: "GanTrainer", faces: "FaceSet") -> None:
    from gan.weights import FILE_NAME, save_generator

    info = {
        "trained_on_manifest_sha256": faces.manifest_sha256,
        "class_order": "sorted identities of that FaceSet",
        "seen_images": trainer.seen_images,
        "seed": options.seed,
        "training": {key: value for key, value in dataclasses.asdict(options.training).items() if key != "compile"},
    }
    save_generator(trainer.G_ema, options.out / FILE_NAME, info=info)
    print(
        f"{trainer.seen_images:,} images seen; generator: {options.out / FILE_NAME}; samples: {options.out / 'samples'}"
    )
    print(f"next: synthface generate --generator {options.out} --classes 0-99 --per-class 20 --out synthetic")
