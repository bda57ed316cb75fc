"""Memory and time of a softmax over very many classes: the head of train-recognizer alone, on random embeddings.

    python scripts/bench_many_classes.py
    python scripts/bench_many_classes.py --classes 1000000 --dim 512 --rates 0.1 0.01 --json many.json

For each number of classes and each share of them that takes part in a step (``--loss-options.sample_rate``; Partial FC,
arXiv 2010.05222) a fresh process takes --steps steps of forward, backward and update, writes a checkpoint as a training
does, and reports the median step and how far its memory rose above that of an idle process. Table and momentum alone
are 8 C D bytes, in memory and (in the temporary folder) on disk.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> int:
    """Measure every combination in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=(10_000, 100_000, 1_000_000))
    parser.add_argument("--rates", type=float, nargs="+", default=(0.1, 0.01))
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--loss", default="cosface")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--one", nargs=2, metavar=("CLASSES", "RATE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(int(arguments.one[0]), float(arguments.one[1]), arguments)))
        return 0
    rows = []
    print(f"{'classes':>10}{'rate':>7}{'ms a step':>11}{'table, MB':>11}{'memory, MB':>12}")
    for n_classes in arguments.classes:
        for rate in arguments.rates:
            again = [*sys.argv, "--one", str(n_classes), str(rate)]
            done = subprocess.run([sys.executable, *again], check=True, capture_output=True, text=True)
            row = json.loads(done.stdout)
            rows.append(row)
            print(f"{n_classes:>10,}{rate:>7g}{row['ms_a_step']:>11}{row['table_mb']:>11}{row['memory_mb']:>12}")
    if arguments.json:
        settings = {name: getattr(arguments, name) for name in ("loss", "dim", "batch", "steps", "threads")}
        arguments.json.write_text(json.dumps(settings | {"rows": rows}, indent=1) + "\n")
    return 0


def measure(n_classes: int, rate: float, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one setting."""
    import torch

    from synthface.core.atomic import atomic_file
    from synthface.core.heap import keep_freed_memory
    from synthface.recognition.losses import LOSSES

    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head: Any = LOSSES[arguments.loss](n_classes, arguments.dim, sample_rate=rate, seed=0)
    generator = torch.Generator().manual_seed(0)
    seconds = []
    for _ in range(arguments.steps):
        embeddings = torch.randn(arguments.batch, arguments.dim, generator=generator).requires_grad_()
        labels = torch.randint(n_classes, (arguments.batch,), generator=generator)
        began = time.perf_counter()
        head(embeddings, labels).backward()
        head.centres.update(lr=0.1, momentum=0.9, weight_decay=5e-4)
        seconds.append(time.perf_counter() - began)
    with tempfile.TemporaryDirectory() as folder, atomic_file(Path(folder) / "checkpoint.pt") as stream:
        torch.save({"student": head.state_dict()}, stream)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "classes": n_classes,
        "rate": rate,
        "ms_a_step": round(statistics.median(seconds) * 1e3),
        "table_mb": round(8 * n_classes * arguments.dim / 1e6),
        "memory_mb": round((peak - idle) / 1e3),  # the kernel counts in kilobytes
    }


if __name__ == "__main__":
    sys.exit(main())
