"""Damage every kind of file that synthface reads, thousands of times each, and see that it is read or refused.

    python scripts/fuzz_readers.py --cases 10000 --out fuzz.json

A case is a small valid file with a few changes drawn from (seed, reader, number): bytes set, inserted, cut or repeated,
values that break parsers, structure forged from within (names that leave the folder, links, wrong lengths), or nothing
but random bytes. A case is good if it is read or refused by a SynthfaceError of one line. It is bad if anything else is
raised, if the process dies, takes more than --seconds or more than --megabytes above what it started with, opens a file
outside its folder, writes anything, starts a process, connects, or unpickles (an audit hook sees these, as far as
Python does them). Readers run in processes of their own; a case that kills one is noted, and the next begins behind it.
With --out, readers that are done are not run again. Exit code 1 if any case was bad; --case runs one and shows it.
"""

import argparse
import json
import mmap
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fuzz_corpus import READERS, Reader
from fuzz_damage import damaged

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = "outside.png"  # a valid image beside the case's folder, which no reader may open
_NOT_BEGUN = b"\xff" * 8  # in the place of a case's number while a child imports and makes the valid files
_TO_BEGIN = 20  # times the patience with a case
_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "os.remove",
              "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "shutil.rmtree",
              "pickle.find_class", "ctypes.dlopen", "exec")  # fmt: skip
_READABLE = tuple({str(Path(p).resolve()) for p in (*sys.path, sys.prefix, sys.base_prefix, ROOT) if p})
_READABLE += ("/proc/", "/sys/", "/usr/", "/lib", "/dev/null", "/dev/urandom", "/etc/localtime")


class TooSlow(BaseException):
    """Raised by the alarm; no reader catches it."""


class Watch:
    """Notes what a reader does that no reader should."""

    def __init__(self) -> None:
        self.folder = ""
        self.seen: list[str] = []
        self.on = False
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            writes = isinstance(arguments[1], str) and any(letter in arguments[1] for letter in "wax+")
            inside = path.startswith(self.folder + os.sep)
            if writes or not (inside or path.startswith(_READABLE)):
                self.seen.append(f"open {path} {arguments[1]}")
        elif event in _FORBIDDEN and not _is_importing():
            self.seen.append(event)


def _is_importing() -> bool:
    """Say whether the import machinery or the standard library's own code making is at work (late imports, classes)."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(60):
        if frame is None:
            return False
        name = frame.f_code.co_filename
        if "importlib" in name or name.endswith(("dataclasses.py", "collections/__init__.py")):
            return True
        frame = frame.f_back
    return False


def main() -> int:
    """Run the readers asked for and print a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="cases a reader")
    parser.add_argument("--readers", nargs="+", choices=list(READERS), default=list(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0, help="longest time of a case")
    parser.add_argument("--megabytes", type=int, default=1024, help="memory above what the process started with")
    parser.add_argument("--out", type=Path, help="JSON with the results; readers in it are not run again")
    parser.add_argument("--case", type=int, help="run this one case of one reader in this process")
    options = parser.parse_args()
    if options.case is not None:
        return show(READERS[options.readers[0]], options)
    done = json.loads(options.out.read_text()) if options.out and options.out.is_file() else {}
    for name in options.readers:
        key = f"{name} seed {options.seed}"
        if done.get(key, {}).get("cases", 0) < options.cases:
            done[key] = fuzz(READERS[name], options)
            if options.out:
                options.out.write_text(json.dumps(done, indent=1))
        print(json.dumps({"reader": name, **done[key]}), flush=True)
    return int(any(result["bad"] for result in done.values()))


def fuzz(reader: Reader, options: argparse.Namespace) -> dict[str, Any]:
    """Run one reader's cases; return counts and the bad cases."""
    start, began = 0, time.perf_counter()
    counts: Counter[str] = Counter()
    bad: list[dict[str, Any]] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        work, log = Path(name) / "work", Path(name) / "log"
        while start < options.cases:
            current = mmap.mmap(-1, 8)
            current[:8] = _NOT_BEGUN
            log.unlink(missing_ok=True)
            pid = os.fork()
            if pid == 0:
                _child(reader, options, work, log, start, current)
            death = _wait(pid, current, 3 * options.seconds)
            reached = start if current[:8] == _NOT_BEGUN else int.from_bytes(current[:8], "little")
            for line in log.read_text().splitlines() if log.exists() else ():
                entry = json.loads(line)
                counts.update(entry["counts"])
                bad += entry["bad"]
                slowest = max(slowest, entry["slowest"])
            if death is None:
                break
            bad.append({"case": reached, "what": death})
            start = reached + 1
    seconds = time.perf_counter() - began
    return {
        "cases": options.cases, **dict(sorted(counts.items())), "bad": len(bad), "slowest_seconds": round(slowest, 2),
        "cases_a_second": round(options.cases / seconds), "first_bad": bad[:10],
    }  # fmt: skip


def _wait(pid: int, current: mmap.mmap, patience: float) -> str | None:
    """Wait for a child; return how it died, None if it finished."""
    last, since = b"", time.monotonic()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return None if code == 0 else f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if current[:8] != last:
            last, since = current[:8], time.monotonic()
        elif time.monotonic() - since > patience * (_TO_BEGIN if last == _NOT_BEGUN else 1):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "hang"
        time.sleep(0.02)


def _child(
    reader: Reader, options: argparse.Namespace, work: Path, log: Path, start: int, current: mmap.mmap
) -> NoReturn:
    """Run cases until all are done, and leave the process in any case."""
    try:
        _run_cases(reader, options, work, log, start, current)
    except BaseException:  # noqa: BLE001  (nothing may unwind into the parent's code)
        traceback.print_exc()
        os._exit(70)
    os._exit(0)


def _run_cases(
    reader: Reader, options: argparse.Namespace, work: Path, log: Path, start: int, current: mmap.mmap
) -> None:
    whole = _prepare(reader, work)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + options.megabytes * 2**20,) * 2)
    signal.signal(signal.SIGALRM, _alarm)
    watch = Watch()
    with log.open("a") as stream:
        for number in range(start, options.cases):
            current[:8] = number.to_bytes(8, "little")
            before = time.perf_counter()
            outcome, detail = run_case(reader, whole, work, number, options, watch)
            bad = [] if detail is None else [{"case": number, "what": detail}]
            entry = {"counts": {outcome: 1}, "bad": bad, "slowest": time.perf_counter() - before}
            stream.write(json.dumps(entry) + "\n")
            stream.flush()


def _alarm(*_: object) -> None:
    raise TooSlow


def _prepare(reader: Reader, work: Path) -> dict[str, bytes]:
    """Make the valid files, and read them once: what is imported late is then there."""
    shutil.rmtree(work, ignore_errors=True)
    inside = work / "inside"
    inside.mkdir(parents=True)
    whole = reader.make(work / "making")
    shutil.rmtree(work / "making", ignore_errors=True)
    from fuzz_corpus import face

    (work / OUTSIDE).write_bytes(face(99))
    _write(inside, whole)
    reader.read(inside)
    return whole


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def run_case(
    reader: Reader, whole: dict[str, bytes], work: Path, number: int, options: argparse.Namespace, watch: Watch
) -> tuple[str, str | None]:
    """Return the outcome of one case, and what is wrong with it, if anything."""
    from synthface.core.errors import SynthfaceError

    draw = random.Random(f"{options.seed} {reader.name} {number}")
    inside = work / "inside"
    content = damaged(draw, whole[reader.target], reader.forge)
    _write(inside, {reader.target: content, **(reader.mend(content) if reader.mend else {})})
    watch.folder, watch.seen, watch.on = os.path.realpath(inside), [], True
    signal.setitimer(signal.ITIMER_REAL, options.seconds)
    outcome, detail = "read", None
    try:
        reader.read(inside)
    except SynthfaceError as error:
        outcome = f"refused: {type(error).__name__}"
        if len(str(error).splitlines()) != 1:
            outcome, detail = "message of several lines", repr(str(error))[:300]
    except TooSlow:
        outcome = detail = "too slow"
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is a finding)
        last = traceback.extract_tb(error.__traceback__)[-1]
        outcome, detail = "other error", f"{type(error).__name__}: {error!s:.120} ({last.filename}:{last.lineno})"
        if options.case is not None:
            traceback.print_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        watch.on = False
    if watch.seen:
        outcome, detail = "escape", "; ".join(watch.seen[:3])
    return outcome, detail


def show(reader: Reader, options: argparse.Namespace) -> int:
    """Run one case here and print what happened."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name) / "work"
        whole = _prepare(reader, work)
        signal.signal(signal.SIGALRM, _alarm)
        outcome, detail = run_case(reader, whole, work, options.case, options, Watch())
    print(outcome, detail or "")
    return int(detail is not None)


if __name__ == "__main__":
    raise SystemExit(main())
