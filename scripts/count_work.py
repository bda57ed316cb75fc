"""Floating-point operations of a large run, counted on this machine, and what that means in hours.

    python scripts/count_work.py
    python scripts/count_work.py --config lfw64 --kimg 60 --rates 0.1
    python scripts/count_work.py --train-images 500000 --images 600000 --identities 10000 --epochs 64 --json work.json

The networks of a train-gan preset and of a recogniser really run, a few images each, and every convolution and matrix
product is counted, those of derivatives and second derivatives included; nothing else is. So the count does not depend
on the machine. What does is the rate: --rates are TFLOP/s that your devices sustain, all of them together, which is
well below a datasheet's peak. For sface128 the script also prints the rate that NVIDIA's published times imply.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch
from bench_gan import OperationCounter, make_trainer
from torch.nn.functional import normalize

from gan.config import NetworkConfig, TrainingConfig
from synthface.cli import parse_options
from synthface.recognition.network_config import ARCHITECTURES
from synthface.recognition.network_config import NetworkConfig as RecogniserConfig
from synthface.recognition.networks.build import build_network
from synthface.workflows import train_gan

COUNTED = 4  # images that really run; the counts are divided by it
DIMENSION = 512  # numbers of an embedding
# Without grouped convolutions, whose derivatives torch's formulas count as if they were not grouped.
NETWORKS = [name for name in ARCHITECTURES if name.startswith("IResNet")]
# Seconds for a thousand images at 128x128 in the "auto" configuration, by V100 GPUs: README of stylegan2-ada-pytorch.
PUBLISHED_SECONDS = {1: (12.8, 13.7), 2: (6.5, 6.8), 4: (4.1, 4.6), 8: (3.9, 4.9)}

Counts = dict[str, float]


def main() -> int:
    """Count, multiply and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="sface128", help="preset or YAML file of train-gan")
    parser.add_argument("--kimg", type=float, help="thousand images of the generator's training; the preset's own")
    parser.add_argument("--images", type=int, default=634_320, help="synthetic images to draw, embed and train on")
    parser.add_argument("--train-images", type=int, default=494_414, help="real photos that the generator learns")
    parser.add_argument("--identities", type=int, default=10_572, help="classes of the synthetic set")
    parser.add_argument("--network", choices=NETWORKS, default="IResNet-50", help="recogniser to train")
    parser.add_argument("--epochs", type=int, default=64, help="of the recogniser's training")
    parser.add_argument("--rates", type=float, nargs="+", default=[10, 40, 160], help="sustained TFLOP/s, all devices")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()

    words = ["--faces", "faces", "--out", "run", "--config", arguments.config]
    options = parse_options("train-gan", train_gan, words)
    kimg = arguments.kimg or options.kimg
    if not kimg:
        parser.error(f"--config {arguments.config} ends after a time, not after so many images: give --kimg")
    gan = gan_counts(options.network, options.training)
    embedding = recogniser_counts(arguments.network, arguments.identities)
    steps = {
        "train-gan": kimg * 1000 * gan["training"],
        "generate": arguments.images * gan["sampling"],
        "embed, synthetic and real": (arguments.images + arguments.train_images) * embedding["embedding"],
        "audit's search": 2.0 * DIMENSION * arguments.images * arguments.train_images,
        "train-recognizer": arguments.images * arguments.epochs * embedding["training"],
    }
    report: dict[str, Any] = {
        "config": arguments.config,
        "kimg": kimg,
        "images": arguments.images,
        "train_images": arguments.train_images,
        "identities": arguments.identities,
        "network": arguments.network,
        "epochs": arguments.epochs,
        "gflop_per_image": {f"{arguments.config}, {name}": count / 1e9 for name, count in gan.items()}
        | {f"{arguments.network}, {name}": count / 1e9 for name, count in embedding.items()},
        "petaflop": {name: count / 1e15 for name, count in steps.items()},
        "hours": {f"{rate:g} TFLOP/s": {name: hours(count, rate) for name, count in steps.items()}
                  for rate in arguments.rates},
    }  # fmt: skip
    if arguments.config == "sface128":
        report["published"] = published(gan["training"], kimg)
    _print(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def hours(operations: float, tera_per_second: float) -> float:
    """Return the hours that so many operations take."""
    return operations / (tera_per_second * 1e12) / 3600


def gan_counts(network: NetworkConfig, training: TrainingConfig) -> Counts:
    """Return operations an image: of each step, of drawing one, and of training with each step as often as it comes.

    In float32 and with every image augmented, as it is with p above 0; half precision does the same operations.
    """
    small = dataclasses.replace(
        training,
        batch=COUNTED,
        micro_batch=COUNTED,
        half_from=0,
        compile=False,
        ada=dataclasses.replace(training.ada, mode="fixed", start=0.2),
    )
    trainer = make_trainer(network, small)
    z, labels = torch.randn(COUNTED, network.z_dim), torch.arange(COUNTED)
    path = training.path_length
    steps = {
        "generator step": (trainer.generator_step, 1.0),
        "discriminator step": (trainer.discriminator_step, 1.0),
        "R1 step": (trainer.penalty_step, 1 / training.r1_interval),
        **({"path-length step": (trainer.path_length_step, 1 / path.interval)} if path.weight else {}),
    }
    counts = {name: _count(call) / COUNTED for name, (call, _) in steps.items()}
    total = sum(counts[name] * share for name, (_, share) in steps.items())
    with torch.no_grad():
        drawing = _count(lambda: trainer.G_ema(z, labels)) / COUNTED
    return {"sampling": drawing, **counts, "training": total}


def recogniser_counts(architecture: str, identities: int) -> Counts:
    """Return operations an image of embedding it and of a step of training with a head of so many classes."""
    network = build_network(RecogniserConfig(architecture=architecture, embedding_dim=DIMENSION), seed=0)
    images, head = torch.randn(COUNTED, 3, 112, 112), torch.randn(identities, DIMENSION, requires_grad=True)

    def step() -> None:
        (normalize(network(images)) @ normalize(head).T).logsumexp(1).sum().backward()

    with torch.no_grad():
        embedding = _count(lambda: network.eval()(images)) / COUNTED
    network.train()
    return {"embedding": embedding, "training": _count(step) / COUNTED}


def published(training: float, kimg: float) -> dict[str, dict[str, list[float]]]:
    """Return what the published times mean: hours for this run, and TFLOP/s a GPU if it does our operations."""
    return {
        f"{gpus} V100": {
            "hours": [kimg * seconds / 3600 for seconds in ends],
            "tflops_a_gpu": [training * 1000 / seconds / gpus / 1e12 for seconds in reversed(ends)],
        }
        for gpus, ends in PUBLISHED_SECONDS.items()
    }


def _count(call: Any) -> float:
    with OperationCounter() as counter:
        call()
    return float(counter.total)


def _print(report: dict[str, Any]) -> None:
    print("GFLOP an image")
    for name, count in report["gflop_per_image"].items():
        print(f"  {name:34}{count:>12,.1f}")
    rates = list(report["hours"])
    print(f"\n{'':36}{'PFLOP':>12}" + "".join(f"{'h at ' + rate:>20}" for rate in rates))
    for name, count in report["petaflop"].items():
        print(f"  {name:34}{count:>12,.1f}" + "".join(f"{report['hours'][rate][name]:>20,.1f}" for rate in rates))
    for gpus, row in report.get("published", {}).items():
        (fast, slow), (low, high) = row["hours"], row["tflops_a_gpu"]
        print(f"{gpus}, published pace: {fast:,.1f} to {slow:,.1f} h, {low:.1f} to {high:.1f} TFLOP/s a GPU")


if __name__ == "__main__":
    sys.exit(main())
