r"""What our training and the official code reach in the same time: Frechet distance in a recogniser's features.

    synthface train-gan --faces split/train --out runs/gan --config lfw64 --minutes 20
    python scripts/compare_gan_training.py --faces split/train --ours runs/gan --minutes 20 \
        --official ~/stylegan2-ada-pytorch --recognizer mobilefacenet-ms1m

Trains the networks of your own copy of NVIDIA's stylegan2-ada-pytorch for so many minutes on the same FaceSet with the
configuration of our run (sizes, batch, learning rate, R1, moving average, adaptive augmentation) and in float32; its
class embedding stays as published. Its generator's optimiser has the full rate, as ours has without a path-length
penalty; the published loop slows it by 4/5 even then. What our run has beyond that (bfloat16, a further discriminator
or player) is in the report. Then both moving averages draw the same number of images of the same classes, which are
compared with the training images at the same resolution. Both trainings should have had the machine, or the same part
of it, to themselves. ``--ours`` is a run's folder or one of its checkpoints; of a training that went on with
``--init``, all its runs in a row, whose minutes and images are summed. A run that learnt more than that, or for longer
than the official side, is refused; one that stopped earlier can only look worse. Prints one JSON object. With ``--keep
FILE`` the official side's result is written there, and taken from there by a later comparison of the same configuration
and time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stylegan2_ada_peer import Official, require_comparable
from torch import Tensor

from gan.config import NetworkConfig, TrainingConfig
from gan.networks.generator import Generator, to_uint8
from gan.networks.mapping import set_class_strength
from gan.training.ada import AdaController
from gan.training.batches import BatchSource
from gan.training.ema import decay
from gan.weights import FILE_NAME, read_header
from synthface.core.errors import ConfigError, DataError, SynthfaceError
from synthface.core.heap import keep_freed_memory
from synthface.core.run_record import to_json, write_json
from synthface.data import FaceSet
from synthface.data.image_cache import image_cache
from synthface.data.images import resize_image
from synthface.metrics.frechet import frechet_distance, moments
from synthface.recognition import load_recognizer
from synthface.workflows.embed import embed_faceset
from synthface.workflows.progress import track

# What the official code takes over of a run's settings; the others are ours alone.
SHARED = (
    "batch",
    "learning_rate",
    "r1_gamma",
    "r1_interval",
    "style_mixing",
    "ema_kimg",
    "ema_rampup",
    "mirror",
    "sampling",
    "ada",
)
OURS_ALONE = ("half_from", "cooldown", "features", "identity", "transition", "warmup_kimg")
PER_CLASS = 2
DRAWN_AT_ONCE = 16
MOST_MORE = 0.03  # of our minutes, relative to the official side's


@dataclass(frozen=True)
class OurRun:
    """A run of train-gan as one of its checkpoints has it.

    Attributes:
        checkpoint: the file.
        config: what ``run.json`` says of networks and training.
        seconds: trained so far, in this run.
        seen_images: seen so far, in this run.
        seen_before: seen by what ``--init`` named, 0 where that does not say; None without.
        weights: of the moving average.
    """

    checkpoint: Path
    config: dict[str, Any]
    seconds: float
    seen_images: int
    seen_before: int | None
    weights: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path, record: Path | None = None) -> "OurRun":
        """Read a run's folder or checkpoint, and the ``run.json`` beside it or another one.

        Raises:
            DataError: there is none, or it does not say what a run with --init began from.
        """
        checkpoint = path / "checkpoint.pt" if path.is_dir() else path
        record = record or checkpoint.parent / "run.json"
        for file, flag in ((checkpoint, "--ours"), (record, "--config")):
            if not file.is_file():
                raise DataError(f"{flag} {file} does not exist; give what 'synthface train-gan' wrote")
        run = json.loads(record.read_text())
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        seen = state["trainer"]["step"] * run["config"]["training"]["batch"]
        before = _seen_before(run, checkpoint.parent / FILE_NAME)
        return cls(checkpoint, run["config"], state["progress"]["seconds"], seen, before, state["trainer"]["G_ema"])

    @property
    def training(self) -> TrainingConfig:
        """The settings of the training; a batch is taken at once, as the official side does."""
        return training_config(self.config["training"])

    def generator(self, network: NetworkConfig, n_classes: int) -> Generator:
        """Return the moving average, which sees as much of the class as the run's last step did."""
        G = Generator(network, n_classes).eval().requires_grad_(False)
        G.load_state_dict(self.weights)
        training = self.training
        if training.transition.end_kimg:
            set_class_strength(G, training.transition.strength(max(0, self.seen_images - training.batch)))
        return G


class OfficialTraining(Official):
    """The official networks and loss in their loop, with adaptive augmentation and the moving average."""

    def __init__(self, folder: Path, network: NetworkConfig, training: TrainingConfig, source: BatchSource) -> None:
        n_classes = int(source.labels.max()) + 1
        augmented = training.ada.mode != "none"
        super().__init__(folder, network, training, real=torch.empty(0), n_classes=n_classes, augmented=augmented)
        self.G_ema.load_state_dict(self.G.state_dict())
        self.source, self.training, self.ada, self.steps = source, training, AdaController(training.ada), 0
        self.scores: list[Tensor] = []
        score = self.loss.run_D

        def recorded(images: Tensor, labels: Tensor, sync: bool) -> Tensor:
            logits: Tensor = score(images, labels, sync=sync)
            self.scores.append(logits.detach())
            return logits

        self.loss.run_D = recorded

    def step(self) -> None:
        """Train on one batch."""
        batch = self.source.micro_batch(self.steps, 0, "official")
        self.real, real, fake = batch.images.contiguous(), batch.labels, batch.fake_labels
        self.phase("Gmain", labels=(real, fake))
        self.scores.clear()
        self.phase("Dmain", labels=(real, fake))
        signs = self.scores[-1].sign().sum().item()  # the real images come last
        if self.steps % self.interval == 0:
            self.phase("Dreg", self.interval, labels=(real, fake))
        self.steps += 1
        seen = self.steps * self.training.batch
        half_life = self.training.ema_kimg * 1000
        if self.training.ema_rampup:
            half_life = min(half_life, seen * self.training.ema_rampup)
        beta = decay(self.training.batch, half_life)
        with torch.no_grad():
            for average, parameter in zip(self.G_ema.parameters(), self.G.parameters(), strict=True):
                average.lerp_(parameter, 1 - beta)
            for average, buffer in zip(self.G_ema.buffers(), self.G.buffers(), strict=True):
                average.copy_(buffer)
        self.ada.observe(signs, self.training.batch)
        self.pipe.p.fill_(self.ada.p)


def main() -> int:
    """Train, draw, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument(
        "--ours",
        type=Path,
        nargs="+",
        required=True,
        help="folder of a run of train-gan, or a checkpoint; more of them are summed",
    )
    parser.add_argument("--config", type=Path, help="run.json of that run; default is beside the first checkpoint")
    parser.add_argument("--official", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--recognizer", default="mobilefacenet-ms1m")
    parser.add_argument("--keep", type=Path, help="JSON file for the official side's result")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    torch.manual_seed(0)
    try:
        print(json.dumps(_compare(arguments), indent=1))
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


def _compare(arguments: argparse.Namespace) -> dict[str, Any]:
    runs = [OurRun.read(path, arguments.config) for path in arguments.ours]
    check_comparable(runs, arguments.minutes)
    faces = FaceSet.load(arguments.faces, flag="--faces")
    config = runs[0].config
    network, training = NetworkConfig(**config["network"]), runs[0].training
    G, seconds, seen = runs[-1].generator(network, len(faces.identities)), _seconds(runs), _seen_images(runs)
    labels = torch.arange(len(faces.identities)).repeat_interleave(PER_CLASS)
    z = torch.randn(len(labels), network.z_dim, generator=torch.Generator().manual_seed(0))
    recognizer = load_recognizer(arguments.recognizer)

    def distance(draw: Any) -> float:
        images = _draw(draw, z, labels)
        features = recognizer.embed(
            np.stack([resize_image(image, recognizer.side, recognizer.side) for image in images])
        )
        return round(frechet_distance(moments(features), real).value, 4)

    real = moments(embed_faceset(faces, arguments.recognizer, via_size=network.resolution).vectors)
    report: dict[str, Any] = {"recognizer": arguments.recognizer, "threads": arguments.threads, "n_drawn": len(labels)}
    report["synthface"] = {"minutes": round(seconds / 60, 2), "seen_images": seen, "frechet": distance(G)}
    plain = to_json(TrainingConfig())
    of_run = {key: config["training"].get(key, plain[key]) for key in OURS_ALONE}
    report["synthface"] |= {key: value for key, value in of_run.items() if value != plain[key]}

    def official() -> dict[str, Any]:
        pixels = image_cache(faces, network.resolution, network.resolution)
        source = BatchSource(pixels, faces.labels, training, seed=0)
        peer = OfficialTraining(arguments.official, network, training, source)
        begin = time.monotonic()
        for _ in track(iter(int, 1), description=f"official code, {arguments.minutes:g} min"):
            if time.monotonic() - begin > 60 * arguments.minutes:
                break
            peer.step()
        found = distance(lambda z, labels: peer.G_ema(z, peer.labels[labels], noise_mode="const"))
        seen = peer.steps * training.batch
        return {"minutes": arguments.minutes, "seen_images": seen, "ada_p": peer.ada.p, "frechet": found}

    settings = {"network": config["network"], "training": {key: config["training"][key] for key in SHARED}}
    settings |= {"minutes": arguments.minutes, "threads": arguments.threads, "recognizer": arguments.recognizer}
    settings["faces"] = faces.manifest_sha256
    report["official"] = _kept(arguments.keep, settings, official)
    return report | {"ratio": round(report["synthface"]["frechet"] / report["official"]["frechet"], 3)}


def training_config(settings: dict[str, Any]) -> TrainingConfig:
    """Return the settings that ``run.json`` holds, nested ones included; a batch is taken at once.

    What an older run does not name has its default.
    """
    plain = TrainingConfig()
    parts = {
        name: type(getattr(plain, name))(**value) if isinstance(value, dict) else value
        for name, value in settings.items()
    }
    return TrainingConfig(**parts | {"micro_batch": parts["batch"]})


def check_comparable(runs: Sequence[OurRun], minutes: float) -> None:
    """Refuse runs whose figures say nothing beside those of the official code after so many minutes.

    Args:
        runs: all runs of one training, in a row.
        minutes: of the official side.

    Raises:
        ConfigError: settings that the official side does not have, more time, or images seen in runs not given.
    """
    for index, run in enumerate(runs):
        require_comparable(run.training, f"--ours {run.checkpoint}")
        known = _seen_images(runs[:index]) if index else None
        if run.seen_before != known:
            before = "no --init" if run.seen_before is None else f"--init on {run.seen_before:,} images"
            raise ConfigError(
                f"--ours {run.checkpoint} began with {before}, and the runs named before it have seen {known or 0:,}; "
                "name all runs of one training in a row"
            )
    ours = _seconds(runs) / 60
    if ours > (1 + MOST_MORE) * minutes:
        raise ConfigError(
            f"--minutes {minutes:g}: --ours {runs[-1].checkpoint} has trained for {ours:.2f}; give --minutes "
            f"{ours:.4g}, or an earlier checkpoint"
        )


def _seconds(runs: Sequence[OurRun]) -> float:
    return sum(run.seconds for run in runs)


def _seen_images(runs: Sequence[OurRun]) -> int:
    return sum(run.seen_images for run in runs)


def _seen_before(run: dict[str, Any], generator: Path) -> int | None:
    if "init" not in run["inputs"]:
        return None
    if "seen_images_before" in run:
        return int(run["seen_images_before"])
    if not generator.is_file():  # the record of an earlier version leaves it to the generator's header
        raise DataError(f"{generator} is missing: it says how many images a run with --init began from; copy it there")
    return int(read_header(generator)["info"].get("seen_images_before", 0))


def _kept(file: Path | None, settings: dict[str, Any], run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result that a file holds of these settings, or run and write it there."""
    if file is not None and file.exists():
        kept = json.loads(file.read_text())
        if kept["settings"] != settings:
            raise SynthfaceError(f"{file} holds the result of other settings; name another file for --keep")
        return kept["result"]
    result = run()
    if file is not None:
        write_json(file, {"settings": settings, "result": result})
    return result


@torch.inference_mode()
def _draw(draw: Any, z: Tensor, labels: Tensor) -> NDArray[np.uint8]:
    parts = zip(z.split(DRAWN_AT_ONCE), labels.split(DRAWN_AT_ONCE), strict=True)
    return np.concatenate([to_uint8(draw(*part)).numpy() for part in parts])


if __name__ == "__main__":
    sys.exit(main())
