"""Time conversions between formats beside plain copy loops, and show that memory stays flat.

    python scripts/bench_convert.py --n 100000

Makes N small JPEGs of N/20 identities in folders, then runs each step in a process of its own: two copy loops over the
same files (read, SHA-256, write; and the same with every copy read and hashed again), and ``synthface convert`` along
the chain folders -> recordio -> webdataset -> parquet -> faceset. A conversion reads its result back and compares it,
so the second loop is the fair one; "reading back" is what this takes, measured once more alone, as a share of the
step's CPU time. Imports and start count on both sides. Peak memory is printed for N and for N/10.
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
from typing import NamedTuple

CHAIN = ["folders", "recordio", "webdataset", "parquet", "faceset"]
COPY, COPY_BACK = "copy loop", "copy loop, read back"


class Step(NamedTuple):
    """What a step took: seconds by the clock, of CPU time, of it for reading back (0 where none), and peak memory."""

    seconds: float
    processor: float
    reading: float
    megabytes: float


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
    """Print for each step images/s, share of the copy loops' speed, share of reading back, and peak memory."""
    found: dict[str, list[Step]] = {}
    for count in (n // 10, n):
        root = folder / str(count)
        n_bytes = make(root / "source", count, size)
        steps = [(COPY, ["copy", "", str(root / "source"), str(root / "copied")])]
        steps.append((COPY_BACK, ["copy", "back", str(root / "source"), str(root / "copied-and-read")]))
        before = "source"
        for name in CHAIN:
            words = ["convert", str(root / before), "--to", name, "--kind", "synthetic", "--out", str(root / name)]
            steps.append((f"{before} -> {name}", words))
            before = name
        for name, words in steps:
            found.setdefault(name, []).append(run(words))
    print(f"{n:,} JPEGs of {size} pixels a side, {n_bytes / n / 1000:.1f} kB each")
    print("of copy, of copy+back: speed as a share of the copy loops'; first by the clock, then by CPU time")
    head = "".join(f"{clock:>10}{'of copy':>9}{'of copy+back':>14}" for clock in ("images/s", "by CPU"))
    print(f"{'step':<26}{head}{'reading back':>14}{f'MB at {n // 10:,}':>16}{f'MB at {n:,}':>16}")
    copy, back = found[COPY][1], found[COPY_BACK][1]
    for name, (small, large) in found.items():
        cells = [
            f"{n / getattr(large, clock):>10,.0f}{getattr(copy, clock) / getattr(large, clock):>9.0%}"
            f"{getattr(back, clock) / getattr(large, clock):>14.0%}"
            for clock in ("seconds", "processor")
        ]
        share = f"{large.reading / large.processor:.0%}" if large.reading else "-"
        print(f"{name:<26}{''.join(cells)}{share:>14}{small.megabytes:>16.0f}{large.megabytes:>16.0f}")


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


def run(words: list[str]) -> Step:
    """Run a step in its own process."""
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    command = [sys.executable, __file__, "--child", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr}")
    return Step(*map(float, done.stdout.splitlines()[-1].split()))


def child(kind: str, *words: str) -> None:
    """Do one step and print its measures; imports and start count."""
    begun, processor = time.perf_counter(), time.process_time()
    if kind == "copy":
        copy(Path(words[1]), Path(words[2]), back=bool(words[0]))
    else:
        from synthface.cli import main as synthface

        if synthface([kind, *words]):
            sys.exit(1)
    seconds, processor = time.perf_counter() - begun, time.process_time() - processor
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(seconds, processor, reading(Path(words[-1])) if kind == "convert" else 0.0, megabytes)


def reading(out: Path) -> float:
    """Return the CPU seconds of reading a set and checking its hashes, as a conversion does in its second half."""
    from synthface.data.formats import open_source

    begun = time.process_time()
    for _ in open_source(out).items():
        pass
    return time.process_time() - begun


def copy(source: Path, out: Path, *, back: bool) -> None:
    """Copy a folder of folders file by file, with the hash that any careful copy takes."""
    for folder in sorted(source.iterdir()):
        (out / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir()):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            (out / folder.name / path.name).write_bytes(content)
            if back and hashlib.sha256((out / folder.name / path.name).read_bytes()).hexdigest() != digest:
                sys.exit(f"{out / folder.name / path.name} is not what was written")


if __name__ == "__main__":
    main()
