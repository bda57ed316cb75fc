"""Speed of an inversion's optimisation step, in image-steps/s, beside the same objective written the usual way.

    python scripts/bench_inversion.py                                   # a MobileFaceNet with random weights: no data
    python scripts/bench_inversion.py --recognizer mobilefacenet-ms1m --batch 32 --compile --json bench.json

The peer is the style of DeepInversion's published code, written here anew: forward hooks on every batch norm that take
the mean of its NCHW input and the variance of a copy with a channel a row, autograd through all of it, parameters that
require gradients as a loaded model's do, everything allocated anew at each step, no compilation. Both sides step the
same images towards the same targets with the same views, terms, weights and Adam, on the same threads, by turns in one
process; before the clock starts, their losses and first steps are compared, and the script ends if they differ. --half
adds our compiled step with convolutions in bfloat16, which is not the same arithmetic: its losses may differ by 2 %.
Ratios are medians over rounds. Nothing else should run on the machine.
"""

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion import InversionConfig, StepReport, inversion_steps
from inversion.config import PriorForm
from inversion.schedule import learning_rate, plan_stages
from inversion.targets.groups import plan_groups
from inversion.variables import start_noise
from inversion.views import apply_views, draw_views
from synthface.core.heap import keep_freed_memory
from synthface.recognition import Recognizer, load_recognizer
from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.networks.build import build_network

Step = Callable[[], dict[str, float]]  # takes one step and returns its weighted terms
Run = Generator[StepReport, None, None]
STEPS = 10_000  # of the run that is stepped through; the clock stops long before
PEER, EAGER, COMPILED, HALF = "hooks, eager (peer)", "synthface, eager", "synthface, compiled", "synthface, bfloat16"
DIFFERENCE = {EAGER: 2e-3, COMPILED: 2e-3, HALF: 2e-2}  # of losses from the peer's, relative


def main() -> int:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recognizer", default="random", help="name or path; random: a MobileFaceNet of noise")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--prior-form", choices=("kl", "paper", "deepinversion"), default="kl")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side; the median counts")
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true", help="also our step under torch.compile")
    parser.add_argument("--half", action="store_true", help="also our compiled step with convolutions in bfloat16")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as every command does that computes; it helps both sides
    recognizer = make_recognizer(arguments.recognizer)
    config = bench_config(arguments.batch, arguments.prior_form)
    targets = np.random.default_rng(0).normal(size=(arguments.batch, recognizer.embedding_dim))
    with ExitStack() as runs:
        sides = {PEER: peer_side(copy.deepcopy(recognizer), targets, config)}
        for name, asked in ((EAGER, True), (COMPILED, arguments.compile), (HALF, arguments.half)):
            if asked:
                how = {"compile_step": name != EAGER, "half": name == HALF}
                run = inversion_steps(copy.deepcopy(recognizer), targets, config, **how)
                sides[name] = our_side(runs.enter_context(closing(cast("Run", run))))
        warm_up_seconds = agree(sides)
        seconds = measure(sides, arguments.rounds, arguments.steps, arguments.batch)
    report = {
        "recognizer": recognizer.name,
        "batch": arguments.batch,
        "threads": arguments.threads,
        "prior_form": arguments.prior_form,
        "torch": torch.__version__,
        "sides": {
            name: {
                "image_steps_per_second": round(1 / statistics.median(times), 1),
                "ratio_to_peer": round(_median_ratio(seconds[PEER], times), 2),
                "first_steps_seconds": round(warm_up_seconds[name], 1),
            }
            for name, times in seconds.items()
        },
    }
    print_report(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def make_recognizer(name: str) -> Recognizer:
    """Load a recogniser, or draw a MobileFaceNet of the published shape."""
    if name != "random":
        return load_recognizer(name)
    return Recognizer(build_network(NetworkConfig(), seed=0), name="random MobileFaceNet")


def bench_config(batch: int, prior_form: PriorForm) -> InversionConfig:
    """Return the default weights and views, for pixels from noise at full size all the time."""
    return InversionConfig(
        steps=STEPS,
        start="noise",
        symmetric_share=0.0,
        group_size=batch,
        least_batch=1,
        sides=(112,),
        stage_shares=(1.0,),
        prior_form=prior_form,
    )


def our_side(run: Run) -> Step:
    """Step through ``inversion_steps``, as every caller does."""
    return lambda: next(run).terms


def peer_side(model: nn.Module, targets: np.ndarray, config: InversionConfig) -> Step:
    """Return the step of the peer: same start, views, terms and optimiser, in the usual style."""
    group = plan_groups(targets, config, seed=0)[0]
    wanted = torch.from_numpy(group.targets)
    maps = draw_views(config, 0, group.seed_parts)
    (stage,) = plan_stages(config)
    images = start_noise((3, stage.side, stage.side), config.start_std, 0, group.seed_parts).requires_grad_()
    optimiser = torch.optim.Adam([images], lr=config.learning_rate, betas=config.betas)
    model.eval().requires_grad_(True)
    collected: list[Tensor] = []

    def collect(layer: nn.BatchNorm2d, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        collected.append(_layer_term(inputs[0], layer, config.prior_form))

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(collect)
    number = 0

    def step() -> dict[str, float]:
        nonlocal number
        collected.clear()
        optimiser.zero_grad()
        model.zero_grad()
        optimiser.param_groups[0]["lr"] = learning_rate(config, stage, number)
        views = images if maps is None else apply_views(images, torch.from_numpy(maps[number]))
        cosines = F.cosine_similarity(model(views), wanted)
        prior = torch.stack(collected).mean() if config.prior_form == "kl" else torch.stack(collected).sum()
        terms = {
            "identity": config.identity_weight * (1 - cosines.mean()),
            "prior": config.prior_weight * prior,
            "tv_l1": config.tv_l1_weight * (images.diff(dim=3).abs().mean() + images.diff(dim=2).abs().mean()),
        }
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        optimiser.step()
        images.data.clamp_(-1, 1)
        number += 1
        return {name: term.item() for name, term in terms.items()}

    return step


def _layer_term(x: Tensor, layer: nn.BatchNorm2d, form: str) -> Tensor:
    rows = x.transpose(0, 1).reshape(x.shape[1], -1)  # a copy, as there
    mean, variance = torch.mean(x, (0, 2, 3)), torch.var(rows, 1, unbiased=False)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    if form == "deepinversion":
        return torch.norm(layer.running_var - variance) + torch.norm(layer.running_mean - mean)
    variance, reference = variance + layer.eps, layer.running_var + layer.eps
    if form == "paper":
        return (layer.running_mean - mean).pow(2).sum() + (reference.sqrt() - variance.sqrt()).pow(2).sum()
    ratio = variance / reference
    return 0.5 * (ratio - 1 - ratio.log() + (mean - layer.running_mean).pow(2) / reference).mean()


def agree(sides: dict[str, Step]) -> dict[str, float]:
    """Take two steps of each side; return the seconds, and end if the sides are not at the same place after them."""
    seconds, reached = {}, {}
    for name, step in sides.items():
        begin = time.perf_counter()
        history = [step() for _ in range(2)]
        seconds[name] = time.perf_counter() - begin
        print(f"{name}: warmed up", file=sys.stderr)
        reached[name] = [terms[key] for terms in history for key in ("identity", "prior", "tv_l1")]
    expected, *others = reached.items()
    for name, values in others:
        if not np.allclose(values, expected[1], rtol=DIFFERENCE[name]):
            raise SystemExit(f"{name} does not compute what {expected[0]} does: {values} and {expected[1]}")
    return seconds


def measure(sides: dict[str, Step], rounds: int, steps: int, batch: int) -> dict[str, list[float]]:
    """Return seconds an image-step for each side and round; the sides take turns."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, step in sides.items():
            begin = time.perf_counter()
            for _ in range(steps):
                step()
            times[name].append((time.perf_counter() - begin) / (steps * batch))
    return times


def _median_ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(their / our for their, our in zip(theirs, ours, strict=True))


def print_report(report: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{report['recognizer']}, batch {report['batch']}, {report['threads']} threads, prior {report['prior_form']}")
    print(f"{'side':24}{'image-steps/s':>14}{'ratio':>8}{'first 2 steps':>15}")
    for name, row in report["sides"].items():
        ratio, first = f"{row['ratio_to_peer']:.2f}x", f"{row['first_steps_seconds']:.1f} s"
        print(f"{name:24}{row['image_steps_per_second']:>14.1f}{ratio:>8}{first:>15}")


if __name__ == "__main__":
    sys.exit(main())
