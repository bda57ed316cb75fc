"""The C library's heap: told once, freed blocks stay with the process."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from synthface.core.heap import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(200):
    first, second = np.ones(2**20), np.ones(2**20)
    del first, second
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_blocks_are_not_fetched_from_the_system_again() -> None:
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, check=True).stdout)
        for mode in ("keep", "default")
    }
    assert faults["keep"] < faults["default"] / 5
