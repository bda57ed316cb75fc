"""Commands killed with SIGKILL at random moments end with the bytes of an undisturbed run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "kill_study.py"


@pytest.mark.slow
def test_three_kills_change_nothing() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--per-class", "8", "--seed", "7"]
    study = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert study.returncode == 0, study.stderr[-2000:] + study.stdout
    result = json.loads(study.stdout)
    assert (result["kills"], result["differing"]) == (3, [])
