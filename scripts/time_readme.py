"""Time the README's two commands as a newcomer meets them: in a fresh clone, with an environment of its own.

    python scripts/time_readme.py --json docs/runs/readme-commands.json
    python scripts/time_readme.py --commands scripts/quickstart --shared ~/shared

Clones the commit that is checked out (changes that are not committed are not in it) into a temporary folder, runs every
line of the README's first block of commands there, the quickstart once more with the environment in place, and deletes
the folder. Installing needs a package index; pip's cache counts as it is. Ends with 1 if a command failed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from synthface.core.cores import available_cores
from synthface.core.run_record import library_versions, write_json

CHECKOUT = Path(__file__).resolve().parent.parent
NOT_A_NEWCOMERS = ("PYTHONPATH", "VIRTUAL_ENV", "SYNTHFACE_CACHE", "SYNTHFACE_MODELS", "SYNTHFACE_SHARED")
AGAIN = "scripts/quickstart"


def main() -> int:
    """Clone, run, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", help="only these of the README's commands")
    parser.add_argument("--shared", type=Path, help="folder of real photos and recognisers, for the tests that need it")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone, home = Path(folder) / "synthface", Path(folder) / "cache"
        subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(clone)], check=True)
        commands = arguments.commands or readme_commands((clone / "README.md").read_text(encoding="utf-8"))
        environment = {name: value for name, value in os.environ.items() if name not in NOT_A_NEWCOMERS}
        environment["SYNTHFACE_CACHE"] = str(home)
        if arguments.shared:
            environment["SYNTHFACE_SHARED"] = str(arguments.shared.resolve())
        runs = [_timed(command, clone, environment) for command in commands]
        if AGAIN in commands:
            shutil.rmtree(clone / "quickstart", ignore_errors=True)  # else it would find its results
            shutil.rmtree(home, ignore_errors=True)
            runs.append(_timed(AGAIN, clone, environment))
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True, text=True)
    if arguments.json:
        write_json(
            arguments.json,
            {"commit": commit.stdout.strip(), "cores": available_cores(), "versions": library_versions(), "runs": runs},
        )
    return int(any(run["exit_code"] for run in runs))


def readme_commands(readme: str) -> list[str]:
    """Return the commands of the first block of shell in the README, without comments."""
    block = re.search(r"```sh\n(.*?)```", readme, flags=re.DOTALL)
    if block is None:
        raise SystemExit("error: README.md has no block of commands")
    return [line.split("#")[0].strip() for line in block[1].splitlines() if line.split("#")[0].strip()]


def _timed(command: str, clone: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run a command in the clone, its output passed through; return what it was, how long it took, how it ended."""
    began = time.perf_counter()
    first_time = not (clone / ".venv").exists()
    code = subprocess.run(command, shell=True, cwd=clone, env=environment, check=False).returncode
    seconds = round(time.perf_counter() - began, 1)
    print(f"{command}: {seconds} s, exit code {code}{', installing included' if first_time else ''}", flush=True)
    return {"command": command, "installs": first_time, "seconds": seconds, "exit_code": code}


if __name__ == "__main__":
    sys.exit(main())
