"""kill -9 at seeded random moments of every command that writes, run again, and compare with an undisturbed run.

    python scripts/kill_study.py                       50 kills
    python scripts/kill_study.py --kills 500 --seed 1

Each command of a small chain (prepare, generate, convert, describe, embed, release, regenerate) first runs undisturbed,
which also times it. Then, in turn, a command is started on a fresh output and a cache of its own, killed with SIGKILL
after a uniformly drawn share of that time, and run again to its end. Every file it leaves must be the same, byte for
byte, and no working folder may be left. Commands run in processes forked from this one, which has imported everything:
so the moments fall into the work, not into the imports. Prints JSON; exit code 1 if anything differs.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # forked processes must not inherit a pool of threads

import numpy as np
import torch
from PIL import Image

import synthface.recognition.recognizer
import synthface.workflows.describing.folder
import synthface.workflows.regenerate
import synthface.workflows.releasing.checking
import synthface.workflows.releasing.documents  # all of these are imported before the forks
from gan.config import NetworkConfig
from gan.networks.generator import Generator
from gan.weights import save_generator
from synthface.cli import main as synthface
from synthface.workflows.compute import Compute, launch_fabric
from synthface.workflows.generating.drawing_again import drawing_facts

RISK = ["--acknowledge-risk", "a study of killed runs, nothing leaves"]
MAX_TRIES_A_KILL = 4  # a command can end before its moment comes


@dataclass(frozen=True)
class Step:
    """A command; ``{base}`` stands for the undisturbed results, ``{out}`` for what it writes."""

    name: str
    arguments: tuple[str, ...]
    out: str

    def argv(self, base: Path, folder: Path) -> list[str]:
        """Return the arguments with their paths."""
        return [word.format(base=base, out=folder / self.out) for word in self.arguments]


def chain(per_class: int) -> list[Step]:
    """Return the commands in the order in which they need each other."""
    generate = f"generate --generator {{base}}/generator.safetensors --per-class {per_class} --noise-mode random"
    lines = [
        ("prepare", "prepare {base}/photos --detector none --out {out}", "faces"),
        ("generate", f"{generate} --out {{out}}", "synthetic"),
        ("convert to webdataset", "convert {base}/synthetic --to webdataset --shard-size 50 --out {out}", "shards"),
        ("convert to faceset", "convert {base}/shards --to faceset --out {out}", "back"),
        ("describe", "describe {base}/synthetic --detector none --recognizer none --out {out}", "sidecar"),
        ("embed", "embed {base}/synthetic --recognizer synthface-small --out {out}", "vectors.npz"),
        ("release folders", "release {base}/synthetic --sidecar {base}/sidecar --out {out}", "release"),
        (
            "release webdataset",
            "release {base}/synthetic --format webdataset --encoding jpeg --shard-size 50 --out {out}",
            "packed",
        ),
        ("regenerate", "regenerate {base}/packed --generator {base}/generator.safetensors --out {out}", "again"),
    ]
    return [
        Step(name, (*line.split(), *(RISK if name.startswith("release") else [])), out) for name, line, out in lines
    ]


def start(argv: list[str], cache: Path) -> int:
    """Run a command in a forked process; return its process id."""
    pid = os.fork()
    if pid == 0:
        code = 99
        with contextlib.suppress(BaseException):
            os.environ["SYNTHFACE_CACHE"] = str(cache)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            code = synthface(argv)
        os._exit(code)
    return pid


def finish(argv: list[str], cache: Path) -> None:
    """Run a command to its end; it must end well."""
    _, status = os.waitpid(start(argv, cache), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"synthface {' '.join(argv)}: ended with {os.waitstatus_to_exitcode(status)}")


def killed(argv: list[str], cache: Path, seconds: float) -> bool:
    """Run a command and kill it after some seconds; say whether it was still running."""
    pid = start(argv, cache)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder but the cache."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = ((path.relative_to(folder).as_posix(), path) for path in paths)
    return {name: path.read_bytes() for name, path in named if not name.startswith("cache/")}


def lay_out(base: Path) -> None:
    """Draw the photos, and save a small generator with random weights."""
    draw = np.random.default_rng(0)
    for k in range(12):
        (base / "photos" / f"person-{k:02d}").mkdir(parents=True)
        for j in range(12):
            pixels = draw.integers(0, 256, (112, 112, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(base / "photos" / f"person-{k:02d}" / f"{j:02d}.png")
    torch.manual_seed(0)
    config = NetworkConfig(resolution=32, z_dim=16, w_dim=16, channel_base=256, channel_max=16)
    save_generator(Generator(config, 12), base / "generator.safetensors", info={"trained_on_manifest_sha256": "0" * 64})


def study(folder: Path, n_kills: int, seed: int, per_class: int) -> dict[str, object]:
    """Kill, run again and compare, until so many kills have hit a running command."""
    base = folder / "base"
    lay_out(base)
    steps = chain(per_class)
    expected: dict[str, dict[str, bytes]] = {}
    seconds: dict[str, float] = {}
    for step in steps:
        alone = folder / "alone"
        alone.mkdir()
        began = time.perf_counter()
        finish(step.argv(base, alone), alone / "cache")
        seconds[step.name] = time.perf_counter() - began
        expected[step.name] = contents(alone)
        (alone / step.out).rename(base / step.out)
        shutil.rmtree(alone)
    moments = random.Random(seed)
    kills, early, left_working, differing = Counter[str](), 0, 0, []
    for number in range(MAX_TRIES_A_KILL * n_kills):
        if kills.total() == n_kills:
            break
        step = steps[number % len(steps)]
        trial = folder / f"trial-{number}"
        trial.mkdir()
        argv = step.argv(base, trial)
        share = moments.random()
        if killed(argv, trial / "cache", share * seconds[step.name]):
            kills[step.name] += 1
            left_working += any(".partial" in name for name in contents(trial))
        else:
            early += 1
        finish(argv, trial / "cache")
        found = contents(trial)
        if found != expected[step.name]:
            names = found.keys() | expected[step.name].keys()
            wrong = sorted(name for name in names if found.get(name) != expected[step.name].get(name))
            differing.append({"command": step.name, "share": round(share, 4), "files": wrong[:5]})
        shutil.rmtree(trial)
    return {
        "kills": kills.total(),
        "kills_by_command": dict(sorted(kills.items())),
        "kills_that_left_work_to_go_on_with": left_working,
        "ended_before_their_moment": early,
        "undisturbed_seconds": {name: round(value, 2) for name, value in seconds.items()},
        "differing": differing,
    }


def main() -> int:
    """Run the study and print its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-class", type=int, default=40, help="images of each of the 12 classes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    launch_fabric(Compute())  # imports Lightning
    drawing_facts("cpu")  # hashes the code that is loaded now, not what an editor makes of it meanwhile
    with tempfile.TemporaryDirectory() as folder:
        result = study(Path(folder), options.kills, options.seed, options.per_class)
    print(json.dumps(result, indent=2))
    return 1 if result["differing"] or result["kills"] != options.kills else 0


if __name__ == "__main__":
    sys.exit(main())
