"""Time conversions between formats beside a plain copy loop, and show that memory stays flat.

    python scripts/bench_convert.py --n 100000

Makes N small JPEGs of N/20 identities in folders, then runs each step in a process of its own: a copy loop over the
same files (read, SHA-256, write), and ``synthface convert`` along the chain folders -> recordio -> webdataset ->
parquet -> faceset. A conversion reads its result back and compares it; the copy loop does not. Peak memory is printed
for N and for N/10, beside that of an interpreter with the same imports.
"""

import argparse
import hashlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHAIN = ["folders", "recordio", "webdataset", "parquet", "faceset"]


def main() -> None:
    """Run all parts and print the table."""
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="images")
    parser.add_argument("--size", type=int, default=112, help="pixels a side")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        bench(Path(name), options.n, options.size)


def bench(folder: Path, n: int, size: int) -> None:
    """Print a line a step: images/s, share of the copy loop's speed, peak memory at two sizes."""
    peaks: dict[str, list[float]] = {}
    rates: dict[str, tuple[float, float]] = {}
    for count in (n // 10, n):
        root = folder / str(count)
        n_bytes = make(root / "source", count, size)
        steps = [("copy loop", ["copy", str(root / "source"), str(root / "copied")])]
        before = "source"
        for name in CHAIN:
            words = ["convert", str(root / before), "--to", name, "--kind", "synthetic", "--out", str(root / name)]
            steps.append((f"{before} -> {name}", words))
            before = name
        for name, words in steps:
            seconds, processor, megabytes = run(words)
            peaks.setdefault(name, []).append(megabytes)
            rates[name] = count / seconds, count / processor
    print(f"{n:,} JPEGs of {size} pixels a side, {n_bytes / n / 1000:.1f} kB each")
    head = f"{'step':<26}{'images/s':>10}{'of copy':>9}{'by CPU time':>13}{'of copy':>9}"
    print(f"{head}{f'MB at {n // 10:,}':>16}{f'MB at {n:,}':>16}")
    for name, both in rates.items():
        small, large = peaks[name]
        cells = [
            f"{rate:>{width},.0f}{rate / copied:>9.0%}"
            for rate, copied, width in zip(both, rates["copy loop"], (10, 13), strict=True)
        ]
        print(f"{name:<26}{cells[0]}{cells[1]}{small:>16.0f}{large:>16.0f}")


def make(folder: Path, n: int, size: int) -> int:
    """Write n JPEGs, twenty an identity; return their bytes."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    n_bytes = 0
    for k in range(n):
        path = folder / f"{k // 20:06d}" / f"{k % 20:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        coarse = Image.fromarray(generator.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        coarse.resize((size, size)).save(stream, "JPEG", quality=90)
        n_bytes += path.write_bytes(stream.getvalue())
    return n_bytes


def run(words: list[str]) -> tuple[float, float, float]:
    """Run a step in its own process; return its seconds by the clock and of CPU time, and its peak memory in MB."""
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    command = [sys.executable, __file__, "--child", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr}")
    seconds, processor, megabytes = map(float, done.stdout.splitlines()[-1].split())
    return seconds, processor, megabytes


def child(kind: str, *words: str) -> None:
    """Do one step and print its seconds, CPU seconds and peak memory; imports and start count."""
    begun, processor = time.perf_counter(), time.process_time()
    if kind == "copy":
        copy(Path(words[0]), Path(words[1]))
    else:
        from synthface.cli import main as synthface

        if synthface([kind, *words]):
            sys.exit(1)
    seconds = time.perf_counter() - begun
    print(seconds, time.process_time() - processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def copy(source: Path, out: Path) -> None:
    """Copy a folder of folders file by file, with the hash that any careful copy takes."""
    for folder in sorted(source.iterdir()):
        (out / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir()):
            content = path.read_bytes()
            hashlib.sha256(content).hexdigest()
            (out / folder.name / path.name).write_bytes(content)


if __name__ == "__main__":
    main()
