"""Speed of embedding and of training a recogniser, beside the nearest thing that others would run.

    pip install -e '.[onnx]' onnx
    python scripts/bench_recognition.py
    python scripts/bench_recognition.py --only training --batch 128 --json bench.json
    python scripts/bench_recognition.py --network patchresnet --side 64 --half --no-compile

embedding   ``Recognizer.embed`` beside onnxruntime on the same network (exported here, batch norms folded by it), each
            from uint8 images in memory to unit embeddings; onnxruntime has the best of several batch sizes
training    a step of ``train-recognizer`` as the command takes it (compiled, channels-last) beside a plain eager loop
            in PyTorch, written below: the same network in its default memory layout, CosFace as a few lines of torch,
            SGD, the same batch; both mirror images and change nothing else

With --half ours computes in bfloat16, the peers in float32 as ever.

Both sides use the same threads and take turns; medians, and ratios of neighbouring turns. Nothing else should run on
the machine. Weights are random: speed does not depend on them.
"""

import argparse
import importlib
import io
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from synthface.core.heap import keep_freed_memory
from synthface.recognition.losses import LOSSES
from synthface.recognition.network_config import ARCHITECTURE_OF, NetworkConfig
from synthface.recognition.networks.build import build_network
from synthface.recognition.recognizer import Recognizer
from synthface.recognition.training.config import TrainingConfig
from synthface.recognition.training.student import Student
from synthface.recognition.training.trainer import Trainer, TrainingData

Call = tuple[int, Callable[[], Any]]  # images, and what takes them through
PHASES = ("embedding", "training")
TARGETS = {"embedding": 2.0, "training": 1.6}
PEERS = {"embedding": "onnxruntime", "training": "eager loop"}
BATCHES_OF_ONNXRUNTIME = (1, 8, 16, 32, 64)
CLASSES = 1000


def main() -> int:
    """Measure, compare and print; exit code 1 if a target is missed."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as every command does that computes; it helps both sides
    config = NetworkConfig(
        architecture=ARCHITECTURE_OF[arguments.network],
        input_size=(arguments.side, arguments.side),
        width=arguments.width,
    )
    report: dict[str, Any] = {"threads": arguments.threads, "torch": torch.__version__}
    report |= {name: getattr(arguments, name) for name in ("network", "side", "width", "batch", "half", "no_compile")}
    for phase in arguments.only:
        sides = _embedding(config, arguments) if phase == "embedding" else _training(config, arguments)
        report[phase] = row = _row(_measure(phase, sides, arguments.rounds))
        row["target"] = TARGETS[phase]
        if phase == "embedding" and arguments.half:
            row["least_cosine_to_float32"] = _least_cosine(config)
        rates = ", ".join(f"{name} {row[name]:.1f} images/s" for name in sides)
        print(f"{phase}: {rates}; ratio {row['ratio']:.2f} (target {row['target']:g})", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return int(any(report[phase]["ratio"] < TARGETS[phase] for phase in arguments.only))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--network", choices=ARCHITECTURE_OF, default="mobilefacenet")
    parser.add_argument("--side", type=int, default=112, help="pixels a side of the network's input")
    parser.add_argument("--width", type=float, default=1.0, help="factor on the network's channels")
    parser.add_argument("--images", type=int, default=256, help="images embedded a turn")
    parser.add_argument("--batch", type=int, default=64, help="images a training step")
    parser.add_argument("--steps", type=int, default=3, help="training steps a turn")
    parser.add_argument("--half", action="store_true", help="our side in bfloat16")
    parser.add_argument("--no-compile", action="store_true", help="our training without torch.compile")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


def _measure(phase: str, sides: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Return seconds an image for each side and turn."""
    for _, call in sides.values():
        call()  # compiles, and lets the allocator settle
    print(f"{phase}: warmed up", file=sys.stderr)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, (images, call) in sides.items():
            begin = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - begin) / images)
    return times


def _row(times: dict[str, list[float]]) -> dict[str, Any]:
    (_, ours), (_, theirs) = times.items()
    row: dict[str, Any] = {name: round(1 / statistics.median(seconds), 1) for name, seconds in times.items()}
    ratios = [other / own for own, other in zip(ours, theirs, strict=True)]
    return row | {"ratio": round(statistics.median(ratios), 2), "ratios": [round(each, 2) for each in ratios]}


def _least_cosine(config: NetworkConfig) -> float:
    recognizer, images = Recognizer(build_network(config, seed=0).eval(), name="bench"), _pixels(64, config.side)
    return round(float((recognizer.embed(images) * recognizer.embed(images, half=True)).sum(axis=1).min()), 5)


def _embedding(config: NetworkConfig, arguments: argparse.Namespace) -> dict[str, Call]:
    network = build_network(config, seed=0).eval()
    images = _pixels(arguments.images, config.side)
    recognizer = Recognizer(network, name="bench")
    peer = OnnxEmbedding(network, threads=arguments.threads)
    batch = peer.best_batch(images)
    print(f"embedding: onnxruntime is fastest in batches of {batch}", file=sys.stderr)
    difference = np.abs(recognizer.embed(images) - peer(images, batch)).max()
    if difference > 1e-4:
        raise SystemExit(f"the two embeddings differ by {difference:.1e}: not the same network")
    sides = {
        "synthface": lambda: recognizer.embed(images, half=arguments.half),
        "onnxruntime": lambda: peer(images, batch),
    }
    return {name: (len(images), call) for name, call in sides.items()}


class OnnxEmbedding:
    """The network as an ONNX file under onnxruntime, from uint8 images to unit embeddings."""

    def __init__(self, network: Any, *, threads: int) -> None:
        onnxruntime: Any = importlib.import_module("onnxruntime")
        side, self._scale = network.config.side, network.config.pixel_scale
        stream = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the older exporter, which needs nothing but the onnx package
            torch.onnx.export(
                network,
                (torch.zeros(2, 3, side, side),),
                stream,
                input_names=["images"],
                output_names=["embeddings"],
                dynamic_axes={"images": {0: "n"}, "embeddings": {0: "n"}},
                dynamo=False,
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = onnxruntime.InferenceSession(stream.getvalue(), options, providers=["CPUExecutionProvider"])

    def __call__(self, images: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        """[N, S, S, 3] -> [N, D]."""
        parts = []
        for start in range(0, len(images), batch):
            part = images[start : start + batch].transpose(0, 3, 1, 2)
            pixels = np.ascontiguousarray((part.astype(np.float32) / 127.5 - 1) * np.float32(self._scale))
            parts.append(self._session.run(None, {"images": pixels})[0])
        raw = np.concatenate(parts)
        unit: NDArray[np.float32] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        return unit

    def best_batch(self, images: NDArray[np.uint8]) -> int:
        """Return the batch size that is fastest here."""
        seconds = {}
        for batch in BATCHES_OF_ONNXRUNTIME:
            some = images[: max(batch, 32)]
            self(some, batch)
            begin = time.perf_counter()
            self(some, batch)
            seconds[batch] = (time.perf_counter() - begin) / len(some)
        return min(seconds, key=lambda batch: seconds[batch])


def _training(config: NetworkConfig, arguments: argparse.Namespace) -> dict[str, Call]:
    n_images = arguments.batch * arguments.steps
    pixels = _pixels(n_images, config.side)
    labels = np.random.default_rng(1).integers(0, CLASSES, n_images)
    head = LOSSES["cosface"](CLASSES, config.embedding_dim, scale=64.0, seed=0)
    student = Student(build_network(config, seed=0), head, half=arguments.half)
    training = TrainingConfig(epochs=10**6, batch=arguments.batch, augment="flip")
    trainer = Trainer(_fabric(), student, TrainingData(pixels, labels), training, compiled=not arguments.no_compile)
    peer = EagerLoop(config, pixels, labels, arguments.batch)
    sides = {"synthface": lambda: list(trainer.run_epoch()), "eager loop": peer.epoch}
    return {name: (n_images, call) for name, call in sides.items()}


class EagerLoop:
    """What a careful person writes in an evening: no compiling, no memory layout, CosFace by hand."""

    def __init__(self, config: NetworkConfig, pixels: NDArray[np.uint8], labels: NDArray[np.int64], batch: int) -> None:
        self.network = _with_torchs_own_prelu(build_network(config, seed=0)).train()
        self.weight = nn.Parameter(torch.randn(CLASSES, config.embedding_dim) * 0.01)
        self.parameters = [*self.network.parameters(), self.weight]
        self.optimizer = torch.optim.SGD(self.parameters, lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        self.labels, self.batch = torch.from_numpy(labels), batch

    def epoch(self) -> None:
        """Train on every image once."""
        order = torch.randperm(len(self.labels))
        for chosen in order.split(self.batch):
            images = self.images[chosen].float() / 127.5 - 1
            mirrored = torch.rand(len(chosen)) < 0.5
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
            cosine = F.linear(F.normalize(self.network(images)), F.normalize(self.weight))
            margin = 0.35 * F.one_hot(self.labels[chosen], CLASSES)
            loss = F.cross_entropy(64 * (cosine - margin), self.labels[chosen])
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters, 5.0)
            self.optimizer.step()
            loss.item()


def _with_torchs_own_prelu(network: nn.Module) -> nn.Module:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.PReLU):
                plain = nn.PReLU(child.num_parameters)
                plain.load_state_dict(child.state_dict())
                setattr(module, name, plain)
    return network


def _fabric() -> Any:
    """Return what ``Trainer`` asks of Lightning Fabric in one process; importing the real one takes seconds."""
    return SimpleNamespace(
        device=torch.device("cpu"),
        global_rank=0,
        world_size=1,
        setup=lambda module, optimizer: (module, optimizer),
        backward=lambda loss: loss.backward(),
    )


def _pixels(n: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


if __name__ == "__main__":
    sys.exit(main())
