"""Train the class-conditional StyleGAN2-ADA on a FaceSet: one class an identity.

--config takes a YAML file or the name of a preset: lfw64 (64 pixels, an hour on two CPU cores; the defaults),
lfw64-features (the same with a second discriminator that sees through a recogniser; an experiment), sface128 (the
settings nearest to SFace's, for GPUs) and smoke (a minute, to see that everything works).

The run's folder gets metrics.jsonl, curves.png, sample grids (rows are classes, columns are seeds), checkpoints, and
generator.safetensors, the moving average of the generator, as it is at every good checkpoint and at the end; an end
that looks like a failure leaves the last good one there, and says so. Every --monitor.ticks ticks images are drawn and
compared with the real ones under a recogniser: Frechet and kernel distance, precision, recall, density, coverage, EER
of the classes, diversity within a class.

When the training collapses (one image for all seeds, or for all classes), leaves the finite numbers, or its
discriminator runs away, it goes back to its last good checkpoint and on with other seeds and half the learning rate,
at most --health.max_rollbacks times; events.jsonl tells of each. A run that was interrupted goes on with --resume
as if nothing had happened: with the same bytes on a CPU with as many processes, to rounding with another number of
them. Ctrl-C ends the step in hand and leaves a checkpoint; a run that was killed goes on from that of its last tick.
"""

from dataclasses import dataclass, field
from pathlib import Path

from gan.config import NetworkConfig, TrainingConfig
from gan.monitor_config import HealthConfig, MonitorConfig
from synthface.core.errors import ConfigError, DataError
from synthface.core.run_record import write_json
from synthface.workflows.compute import Compute, launch_fabric
from synthface.workflows.gan_training.origin import Origin
from synthface.workflows.gan_training.unused_settings import unused_settings

EXAMPLES = """
synthface train-gan --faces split/train --out runs/try --config smoke
synthface train-gan --faces split/train --out runs/gan --minutes 60
synthface train-gan --faces split/train --out runs/gan --minutes 600 --resume
synthface train-gan --faces split/train --out runs/gan --monitor.recognizer mobilefacenet-ms1m --monitor.ticks 10
synthface train-gan --faces split/train --out runs/gan --training.transition.end_kimg 100
synthface train-gan --faces split/train --out runs/fast --config lfw64-features --devices 2
synthface train-gan --faces split/train --out runs/further --init runs/gan --training.half_from 16 --minutes 120
synthface train-gan --faces mine --out runs/mine --init runs/gan/generator.safetensors --training.warmup_kimg 2
synthface train-gan --faces mine --out runs/tuned --init network-snapshot-025000.pkl
synthface train-gan --faces split/train --out runs/sface --config sface128 --kimg 12000 --device cuda --devices 4
"""


@dataclass(frozen=True, kw_only=True)
class Options(Compute):
    """Options of ``synthface train-gan``.

    Args:
        faces: FaceSet to train on, usually the train part of 'synthface split'.
        out: folder of the run.
        init: begin from the folder of a finished run on these faces: both networks, their average, what Adam remembers,
            p where it is adaptive, the mean path length and, for the same recogniser, the centres of the identity
            player; any setting but --network.* and --training.features.* may differ. A generator file, or a run on
            other faces, gives the generator alone, without its classes if the faces are others; --training.warmup_kimg
            2 saves it from a new discriminator. An official pickle (.pkl, read as by 'synthface import-gan') gives G, D
            and G_ema without their classes; from one without classes, such as those of FFHQ, the classes are learnt
            here. Other sizes are refused with the --network.* to give. A run that is resumed needs it no more.
        minutes: stop after this much training time, over all resumed parts; 60 where neither this nor kimg is given.
        kimg: stop after this many thousand images.
        resume: go on with the run in --out.
        seed: seed of weights, order of images, latents and augmentation.
        tick_kimg: thousand images between two lines of metrics and two checkpoints.
        snapshot_ticks: ticks between two sample grids.
        monitor: measuring while training.
        health: what counts as failed, and how often to try again.
        network: sizes of the networks.
        training: settings of the training.
    """

    faces: Path
    out: Path
    init: Path | None = None
    minutes: float | None = None
    kimg: float | None = None
    resume: bool = False
    seed: int = 0
    tick_kimg: float = 2.0
    snapshot_ticks: int = 5
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minutes is None and self.kimg is None:
            object.__setattr__(self, "minutes", 60.0)
        for flag in ("minutes", "kimg", "tick_kimg", "snapshot_ticks"):
            value = getattr(self, flag)
            if value is not None and not value > 0:  # NaN is not either
                raise ConfigError(f"--{flag.replace('_', '-')} {value}: give a positive number")
        unused = [] if self.resume else unused_settings(self.training)  # a run begun with them may still go on
        if unused:
            raise ConfigError(
                f"{', '.join(unused)}: without effect, since that part is off; switch it on or leave it out"
            )


def run(options: Options) -> None:
    """Train until the time or the images are used up."""
    from gan.training.batches import BatchSource
    from gan.training.trainer import GanTrainer
    from synthface.data import FaceSet
    from synthface.data.image_cache import image_cache
    from synthface.workflows.gan_training.beginning import begin_from, is_under_way
    from synthface.workflows.gan_training.ending import describe_ending
    from synthface.workflows.gan_training.feature_network import frozen_features
    from synthface.workflows.gan_training.first_process import on_first
    from synthface.workflows.gan_training.frozen_networks import warn_of_a_biased_judge
    from synthface.workflows.gan_training.identity_term import identity_term
    from synthface.workflows.gan_training.loop import GanLoop
    from synthface.workflows.gan_training.watch import make_monitor, real_features
    from synthface.workflows.progress import decode_bar

    faces = FaceSet.load(options.faces, flag="--faces")
    if len(faces) < options.training.batch:
        raise DataError(
            f"--faces {options.faces} has {len(faces)} images, fewer than one batch ({options.training.batch})"
        )
    _check_out(options)
    origin = Origin.of(options, faces)  # read once: hours later another run may stand there
    settings = origin.settings_hash(options)
    goes_on = options.resume and is_under_way(options.out)
    if options.resume:
        origin.check_same_run(options, settings)
    features = real_features(faces, options.monitor, options.network.resolution, options)
    fabric = launch_fabric(options)
    if fabric.broadcast(settings) != settings:
        raise ConfigError("the processes do not begin with the same settings and files; see that all find the same")
    side = options.network.resolution
    on_first(fabric, image_cache, faces, side, side, through=decode_bar)
    pixels = image_cache(faces, side, side)
    source = BatchSource(pixels, faces.labels, options.training, options.seed)
    n_classes = len(faces.identities)
    if fabric.is_global_zero:
        warn_of_a_biased_judge(options.training, options.monitor)
    seen_by = frozen_features(options.training, fabric.device)
    monitor = None
    if features is not None:
        measured = (options.monitor, features, pixels, faces.labels)
        monitor = on_first(fabric, make_monitor, *measured, device=fabric.device, seed=options.seed)
    with identity_term(options.training, n_classes=n_classes, seed=options.seed, device=fabric.device) as term:
        trainer = GanTrainer(options.network, options.training, n_classes, source, fabric, options.seed, term, seen_by)
        if options.init is not None and not goes_on:
            begin_from(options.init, trainer, faces)
        elif "init" in origin.inputs:
            trainer.average_starts_here = False  # which no checkpoint says
        # Made now: a folder that a refusal leaves behind would stand in the way of the next try.
        on_first(fabric, (options.out / "samples").mkdir, parents=True, exist_ok=True)
        loop = GanLoop(options, trainer, monitor, origin, settings)
        on_first(fabric, write_json, options.out / "run.json", origin.record(options))
        ending = loop.run()
    if ending is not None:
        print(*describe_ending(ending, options, n_classes), sep="\n")


def how_to_go_on(options: Options) -> str:
    """Return what to do after a run that did not end, as part of a sentence."""
    if options.resume or not _is_begun(options.out):
        return "run the same command again"
    return "run the same command again with --resume"


def _is_begun(out: Path) -> bool:
    return out.exists() and any(out.iterdir())


def _check_out(options: Options) -> None:
    if options.resume and not options.out.exists():
        raise ConfigError(f"--resume: there is no run in --out {options.out}; leave --resume out to start one")
    if not options.resume and _is_begun(options.out):
        raise ConfigError(f"--out {options.out} already exists; add --resume to go on with it, or give another path")
