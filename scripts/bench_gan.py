"""Speed of the generator's training and sampling, as images/s, GFLOP/s and share of the machine's convolution peak.

    python scripts/bench_gan.py --size small
    python scripts/bench_gan.py --size large --official ~/stylegan2-ada-pytorch --json bench.json
    python scripts/bench_gan.py --size sface128 --phases sampling --rounds 2
    python scripts/bench_gan.py --official ~/stylegan2-ada-pytorch --half-from 16    # our training in bfloat16
    python scripts/bench_gan.py --phases training --micro-batch 8 --no-compile       # micro-batches side by side
    python scripts/bench_gan.py --half-from 16 --features beside --phases training   # preset lfw64-features

With --official, the path of your own copy of NVIDIA's stylegan2-ada-pytorch, the same configuration runs side by side,
turn by turn, and ratios are printed. Both sides use the same threads, batch and sizes, draw random data, and augment
with the same groups and probability; with --p 0 neither augments. The operation counts are those of our network for
both, so the official side's GFLOP/s are useful ones. Nothing else should run on the machine. Our training is compiled,
as it is by default, and our sampling is not.
"""

import argparse
import dataclasses
import json
import math
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from stylegan2_ada_peer import Calls, Official
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gan.augment import augment
from gan.config import AdaConfig, FeatureConfig, NetworkConfig, TrainingConfig
from gan.sampling.images import ImageRequest, draw_images
from gan.training.batches import BatchSource
from gan.training.trainer import GanTrainer
from synthface.core.errors import SynthfaceError
from synthface.core.heap import keep_freed_memory
from synthface.workflows.gan_training.feature_network import frozen_features

SIZES = {
    "small": NetworkConfig(channel_base=2048, channel_max=128),
    "large": NetworkConfig(channel_base=8192, channel_max=512),
    "sface128": NetworkConfig(  # the networks of that preset
        resolution=128, z_dim=512, w_dim=512, channel_base=16384, channel_max=512, class_scale=0.0, clamp=256.0
    ),
}
CLASSES = 1000
BATCH = 16
SAMPLES = 16 * BATCH
PHASES = ("sampling", "generator step", "discriminator step", "R1 step", "augmentation", "training")


def main() -> int:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--official", type=Path, help="folder of your copy of stylegan2-ada-pytorch")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side; the median counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES, help="only these")
    parser.add_argument("--p", type=float, default=0.2, help="probability of each augmentation; 0 is none at all")
    parser.add_argument(
        "--micro-batch", type=int, default=BATCH, help="of our training; uncompiled ones run side by side"
    )
    parser.add_argument("--half-from", type=int, default=0, help="our training in bfloat16 from this resolution on")
    parser.add_argument(
        "--features", choices=("off", "beside", "instead"), default="off", help="our feature discriminator"
    )
    parser.add_argument("--no-compile", action="store_true", help="our training without torch.compile")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    try:
        _bench(arguments)
    except SynthfaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


def _bench(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as every command does that computes; it helps both sides
    network = SIZES[arguments.size]
    training = TrainingConfig(
        batch=BATCH,
        micro_batch=arguments.micro_batch,
        ada=AdaConfig(mode="fixed", start=arguments.p) if arguments.p else AdaConfig(mode="none"),
        half_from=arguments.half_from,
        features=FeatureConfig(mode=arguments.features),
        compile=not arguments.no_compile,
    )
    flops = operation_counts(network, training)
    sides = {"synthface": our_calls(make_trainer(network, training))}
    if arguments.official:
        peer = Official(
            arguments.official,
            network,
            training,
            real=_images(network.resolution),
            n_classes=CLASSES,
            n_samples=SAMPLES,
            augmented=arguments.p > 0,
        )
        sides["official"] = peer.calls()
    phases = [phase for phase in arguments.phases if arguments.p or phase != "augmentation"]
    peak = convolution_peak()
    report: dict[str, Any] = {
        "size": arguments.size,
        "threads": arguments.threads,
        "micro_batch": arguments.micro_batch,
        "half_from": arguments.half_from,
        "features": arguments.features,
        "p": arguments.p,
        "torch": torch.__version__,
        "peak_gflops": round(peak / 1e9, 1),
        "phases": {},
    }
    _print_head(report)
    for phase in phases:
        row = _row(_measure(phase, sides, arguments.rounds), flops[phase], peak)
        report["phases"][phase] = row
        _print_row(phase, row)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def _measure(phase: str, sides: dict[str, Calls], rounds: int) -> dict[str, list[float]]:
    """Return seconds an image for each side and round; the sides take turns."""
    for side in sides.values():
        for _ in range(2):  # compiles, and lets the allocator settle
            side[phase][1]()
    print(f"{phase}: warmed up", file=sys.stderr)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            images, call = side[phase]
            begin = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - begin) / images)
    return times


def convolution_peak() -> float:
    """Return the best FLOP/s of a 3x3 convolution over layer shapes like the networks' own."""
    best = 0.0
    with torch.inference_mode():
        for channels, side in ((64, 32), (128, 32), (128, 16), (256, 32), (512, 16)):
            x = torch.randn(BATCH, channels, side, side).contiguous(memory_format=torch.channels_last)
            w = torch.randn(channels, channels, 3, 3).contiguous(memory_format=torch.channels_last)
            count = 2 * 9 * channels**2 * side**2 * BATCH
            for _ in range(20):
                begin = time.perf_counter()
                torch.nn.functional.conv2d(x, w, padding=1)
                best = max(best, count / (time.perf_counter() - begin))
    return best


def make_trainer(network: NetworkConfig, training: TrainingConfig) -> GanTrainer:
    """Return a trainer on random images."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4 * CLASSES, network.resolution, network.resolution, 3), dtype=np.uint8)
    source = BatchSource(pixels, np.arange(len(pixels)) % CLASSES, training, seed=0)
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1)
    features = frozen_features(training, fabric.device)
    return GanTrainer(network, training, CLASSES, source, fabric, seed=0, features=features)


def our_calls(trainer: GanTrainer) -> Calls:
    """Return the calls to time on our side."""
    images, generator = _images(trainer.G.resolution), torch.Generator().manual_seed(0)
    requests = [ImageRequest(seed=index, code={index % CLASSES: 1.0}) for index in range(SAMPLES)]
    interval, p = trainer.config.r1_interval, trainer.ada.p

    def augmentation() -> None:
        augment(images.clone().requires_grad_(True), p, generator).sum().backward()

    return {
        "sampling": (SAMPLES, lambda: list(draw_images(trainer.G_ema, requests))),
        "generator step": (BATCH, trainer.generator_step),
        "discriminator step": (BATCH, trainer.discriminator_step),
        "R1 step": (BATCH, trainer.penalty_step),
        "augmentation": (BATCH, augmentation),
        "training": (BATCH * interval, lambda: [trainer.step() for _ in range(interval)]),
    }


def _images(resolution: int) -> torch.Tensor:
    images = torch.rand(BATCH, 3, resolution, resolution, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return images.contiguous(memory_format=torch.channels_last)


class OperationCounter(TorchDispatchMode):
    """Counts floating-point operations of convolutions and matrix products, second derivatives included.

    torch's own FlopCounterMode cannot see through ``autograd.grad`` inside a module.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def operation_counts(network: NetworkConfig, training: TrainingConfig) -> dict[str, float]:
    """Return floating-point operations an image of each phase."""
    trainer = make_trainer(network, dataclasses.replace(training, compile=False, half_from=0, micro_batch=BATCH))
    calls = our_calls(trainer)
    z, labels = torch.randn(BATCH, network.z_dim), torch.arange(BATCH)
    calls["sampling"] = (BATCH, torch.no_grad()(lambda: trainer.G_ema(z, labels)))
    counts = {}
    for phase in PHASES[:-1] if trainer.ada.p else PHASES[:-2]:
        images, call = calls[phase]
        with OperationCounter() as counter:
            call()
        counts[phase] = counter.total / images
    steps = counts["generator step"] + counts["discriminator step"]
    assert all(counts.values()), counts  # the counter sees its own thread alone, and micro-batches have theirs
    return counts | {"training": steps + counts["R1 step"] / training.r1_interval}


def _row(times: dict[str, list[float]], flops: float, peak: float) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for side, seconds in times.items():
        median = statistics.median(seconds)
        row[side] = {"images_per_second": _significant(1 / median), "gflops": _significant(flops / median / 1e9)}
        row[side]["share_of_peak"] = round(flops / median / peak, 3)
    if "official" in times:
        turns = zip(times["official"], times["synthface"], strict=True)
        row["ratio"] = _significant(statistics.median(theirs / ours for theirs, ours in turns))
    return row


def _significant(value: float, digits: int = 3) -> float:
    return round(value, digits - 1 - math.floor(math.log10(value))) if value > 0 else 0.0


def _print_head(report: dict[str, Any]) -> None:
    print(f"{report['size']}, {report['threads']} threads, convolution peak {report['peak_gflops']} GFLOP/s")
    print(f"{'phase':20}{'side':12}{'images/s':>10}{'GFLOP/s':>10}{'of peak':>9}{'ratio':>8}", flush=True)


def _print_row(phase: str, row: dict[str, Any]) -> None:
    for side in ("synthface", "official"):
        if side in row:
            figures = row[side]
            ratio = f"{row['ratio']:>7.2f}x" if side == "synthface" and "ratio" in row else ""
            rates = f"{figures['images_per_second']:>10}{figures['gflops']:>10}{figures['share_of_peak']:>9.0%}"
            print(f"{phase:20}{side:12}{rates}{ratio}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
