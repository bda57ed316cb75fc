r"""What our training and the official code reach in the same time: Frechet distance in a recogniser's features.

    synthface train-gan --faces split/train --out runs/gan --config lfw64 --minutes 20
    python scripts/compare_gan_training.py --faces split/train --ours runs/gan --minutes 20 \
        --official ~/stylegan2-ada-pytorch --recognizer mobilefacenet-ms1m

Trains the networks of your own copy of NVIDIA's stylegan2-ada-pytorch for so many minutes on the same FaceSet with the
configuration of our run (sizes, batch, learning rate, R1, moving average, adaptive augmentation) and in float32; its
class embedding stays as published. What our run has beyond that (bfloat16, a further discriminator or player) is in the
report. Then both moving averages draw the same number of images of the same classes, which are compared with the
training images at the same resolution. Both trainings should have had the machine, or the same part of it, to
themselves. ``--ours`` is a run's folder or one of its checkpoints; of a training that went on with ``--init``, all its
runs in a row, whose minutes and images are summed. Prints one JSON object. With ``--keep FILE`` the official side's
result is written there, and taken from there by a later comparison of the same configuration and time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stylegan2_ada_peer import Official
from torch import Tensor

from gan.ada import AdaController
from gan.batches import BatchSource
from gan.config import AdaConfig, NetworkConfig, TrainingConfig
from gan.ema import decay
from gan.generator import Generator, to_uint8
from synthface.core.errors import SynthfaceError
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
OURS_ALONE = ("half_from", "features", "identity", "transition", "warmup_kimg")
PER_CLASS = 2
DRAWN_AT_ONCE = 16


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
    faces = FaceSet.load(arguments.faces, flag="--faces")
    checkpoints = [run / "checkpoint.pt" if run.is_dir() else run for run in arguments.ours]
    config = json.loads((arguments.config or checkpoints[0].parent / "run.json").read_text())["config"]
    network = NetworkConfig(**config["network"])
    flat = {key: value for key, value in config["training"].items() if not isinstance(value, dict)}
    flat["micro_batch"] = flat["batch"]  # the official side takes a batch at once
    training = TrainingConfig(**flat, ada=AdaConfig(**config["training"]["ada"]))
    runs = [_our_generator(path, network, len(faces.identities), training.batch) for path in checkpoints]
    G, seconds, seen = runs[-1][0], sum(run[1] for run in runs), sum(run[2] for run in runs)
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


def _our_generator(
    checkpoint: Path, network: NetworkConfig, n_classes: int, batch: int
) -> tuple[Generator, float, int]:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    G = Generator(network, n_classes).eval().requires_grad_(False)
    G.load_state_dict(state["trainer"]["G_ema"])
    return G, state["progress"]["seconds"], state["trainer"]["step"] * batch


@torch.inference_mode()
def _draw(draw: Any, z: Tensor, labels: Tensor) -> NDArray[np.uint8]:
    parts = zip(z.split(DRAWN_AT_ONCE), labels.split(DRAWN_AT_ONCE), strict=True)
    return np.concatenate([to_uint8(draw(*part)).numpy() for part in parts])


if __name__ == "__main__":
    sys.exit(main())
