"""Time the exact search: its share of this machine's sgemm peak, and against faiss.

    python scripts/bench_search.py --n 100000 --m 100000 --dim 512 --k 10 --threads 2

Peak, search and faiss each run in a process of their own, with equally many threads, on the same vectors: photos of
people, ten each, in random order. faiss is ``IndexFlatIP`` of faiss-cpu (pip install faiss-cpu); without it that part
is left out. Rates are by the clock; "of CPU time" compares by processor time, which says more on a busy machine.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

BIG = 500_000  # for the extrapolated time, 512 dimensions


def main() -> None:
    """Run the parts and print the table."""
    options = parse()
    if options.role:
        print(json.dumps({"peak": peak, "ours": ours, "faiss": by_faiss}[options.role](options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        before = child(options, "peak")
        mine = child(options, "ours")
        between = child(options, "peak")
        other = child(options, "faiss")
        after = child(options, "peak")
        best = max((before, between, after), key=lambda result: result["rate"])
        report(options, best, mine, other)


def parse() -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="queries")
    parser.add_argument("--m", type=int, default=100_000, help="photos in the gallery")
    parser.add_argument("--dim", type=int, default=512, help="dimensions")
    parser.add_argument("--k", type=int, default=10, help="nearest photos kept a query, at most 100")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of every part")
    parser.add_argument("--role", choices=["peak", "ours", "faiss"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def child(options: argparse.Namespace, role: str) -> dict[str, Any]:
    """Run one part in its own process and return what it prints."""
    # our threads each take a shard and multiply with one BLAS thread; faiss divides its work by OpenMP
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    environment["OPENBLAS_NUM_THREADS"] = str(options.threads) if role == "faiss" else "1"
    flags = [f"--{name}={getattr(options, name)}" for name in ("n", "m", "dim", "k", "threads", "folder")]
    done = subprocess.run(
        [sys.executable, __file__, *flags, f"--role={role}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{role} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def peak(options: argparse.Namespace) -> dict[str, Any]:
    """Multiply large matrices, as many at a time as there are threads; the best of several rounds."""
    import numpy as np

    best = {"rate": 0.0, "cpu_rate": 0.0}
    for shape in ((1920, 1920, options.dim), (3840, 3840, options.dim), (3000, 3000, 3000)):
        m, n, d = shape
        rng = np.random.default_rng(0)
        first, second = (rng.standard_normal(sizes, dtype=np.float32) for sizes in ((m, d), (d, n)))
        outs = [np.empty((m, n), np.float32) for _ in range(options.threads)]
        times = max(1, int(1e11 / (2 * m * n * d)))

        def work(out: Any, first: Any = first, second: Any = second, times: int = times) -> None:
            for _ in range(times):
                np.matmul(first, second, out=out)

        with ThreadPoolExecutor(options.threads) as pool:
            for _ in range(4):
                wall, cpu = time.perf_counter(), time.process_time()
                list(pool.map(work, outs))
                done = 2 * m * n * d * times * options.threads / 1e9
                best["rate"] = max(best["rate"], done / (time.perf_counter() - wall))
                best["cpu_rate"] = max(best["cpu_rate"], done / (time.process_time() - cpu))
    return best


def simulate(options: argparse.Namespace) -> tuple[Any, Any]:
    """Return [n, D] queries and [m, D] photos, ten a person, in random order."""
    import numpy as np

    rng = np.random.default_rng(1)
    people = rng.standard_normal((max(1, (options.n + options.m) // 10), options.dim), dtype=np.float32)

    def photos(count: int) -> Any:
        vectors = rng.standard_normal((count, options.dim), dtype=np.float32)
        vectors += people[rng.integers(len(people), size=count)]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    return photos(options.n), photos(options.m)


def ours(options: argparse.Namespace) -> dict[str, Any]:
    """Search with the audit's engine."""
    import numpy as np

    from synthface.privacy.gallery import Gallery
    from synthface.privacy.search import Blocks, ShardedSearch
    from synthface.privacy.search.result import merge_all

    queries, photos = simulate(options)
    rows = np.arange(len(photos))
    before = forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    gallery = Gallery(photos, rows, rows.astype(str), rows)
    shards = options.threads * -(-options.n // (options.threads * Blocks().shard))  # as many for each thread
    plan = ShardedSearch(gallery, queries, 0, options.k, Blocks(shard=-(-options.n // shards)))
    _ = gallery.counts  # threads would each make it
    with ThreadPoolExecutor(options.threads) as pool:
        result = merge_all(pool.map(plan.run, plan.shards))
    return finish(options, wall, cpu, before, result.top_scores, result.top_rows)


def by_faiss(options: argparse.Namespace) -> dict[str, Any]:
    """Search with faiss."""
    try:
        import faiss
    except ImportError:
        return {}
    faiss.omp_set_num_threads(options.threads)
    queries, photos = simulate(options)
    before = forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    index = faiss.IndexFlatIP(options.dim)
    index.add(photos)
    scores, rows = index.search(queries, options.k)
    return finish(options, wall, cpu, before, scores, rows)


def finish(
    options: argparse.Namespace, wall: float, cpu: float, before: float, scores: Any, rows: Any
) -> dict[str, Any]:
    """Return times and memory; leave the result in a file."""
    import numpy as np

    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    np.savez(options.folder / f"{options.role}.npz", scores=scores, rows=rows)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "beyond": memory() - before, "memory": memory()}


def memory() -> float:
    """Return the most memory this process has held since ``forget_peak``, in MB."""
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux: since the start
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def forget_peak() -> float:
    """Start to measure the peak of memory from what is held now, where the system can, and return that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return memory()


def report(options: argparse.Namespace, best: dict[str, Any], mine: dict[str, Any], other: dict[str, Any]) -> None:
    """Print what was measured."""
    billions = 2 * options.n * options.m * options.dim / 1e9
    rate, cpu_rate = billions / mine["seconds"], billions / mine["cpu_seconds"]
    print(f"{options.n:,} x {options.m:,} x {options.dim}, k = {options.k}, {options.threads} threads")
    print(f"sgemm peak           {best['rate']:8.1f} GFLOP/s   ({best['cpu_rate']:.1f} a second of CPU time)")
    print(f"search               {rate:8.1f} GFLOP/s   ({cpu_rate:.1f} a second of CPU time), {mine['seconds']:.1f} s")
    print(
        f"share of the peak    {rate / best['rate']:8.1%}             ({cpu_rate / best['cpu_rate']:.1%} of CPU time)"
    )
    print(f"memory               {mine['memory']:8.0f} MB, of it {mine['beyond']:.0f} MB beyond the vectors")
    minutes = 2 * BIG * BIG * 512 / 1e9 / rate / 60
    print(f"{BIG:,} x {BIG:,} x 512 at this rate: {minutes:.0f} minutes")
    if not other:
        print("faiss is not installed: not compared")
        return
    print(
        f"faiss IndexFlatIP    {billions / other['seconds']:8.1f} GFLOP/s, {other['seconds']:.1f} s, "
        f"{other['beyond']:.0f} MB beyond the vectors"
    )
    print(
        f"faster than faiss    {other['seconds'] / mine['seconds']:8.2f} times          "
        f"({other['cpu_seconds'] / mine['cpu_seconds']:.2f} in CPU time)"
    )
    print(agreement(options.folder))


def agreement(folder: Path) -> str:
    """Say how the two results differ."""
    import numpy as np

    with np.load(folder / "ours.npz") as mine, np.load(folder / "faiss.npz") as other:
        same = mine["rows"] == other["rows"]
        gap = np.abs(mine["scores"] - other["scores"]).max()
    return (
        f"same photo as faiss  {same.mean():8.4%} of {same.size:,} places; scores differ by at most {gap:.1e} "
        "(faiss sorts by float32)"
    )


if __name__ == "__main__":
    main()
