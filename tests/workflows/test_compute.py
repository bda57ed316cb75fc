"""How processes are started: how long they wait for each other, and which cores they share."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from synthface.core.errors import ConfigError
from synthface.workflows import compute
from synthface.workflows.compute import Compute, launch_fabric


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a Fabric that starts nothing was asked for."""
    asked: dict[str, Any] = {}

    class Recorder:
        def __init__(self, **options: Any) -> None:
            asked.update(options)

        def launch(self) -> None:
            """Nothing is started."""

    monkeypatch.setattr("lightning.fabric.Fabric", Recorder)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("SYNTHFACE_FIRST_PROCESS", "")  # which a launch sets: put back at the end
    monkeypatch.setattr(compute, "available_cores", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: asked.update(share=n))
    return asked


def test_processes_share_the_cores_that_they_may_use(asked_for: dict[str, Any]) -> None:
    launch_fabric(Compute(devices=2))
    assert asked_for["share"] == 3
    launch_fabric(Compute(devices=20))
    assert asked_for["share"] == 1


def test_a_process_alone_waits_for_nobody(asked_for: dict[str, Any]) -> None:
    launch_fabric(Compute())
    assert asked_for["strategy"] == "auto"
    assert "share" not in asked_for


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing says that a launcher, a cluster or a person has arranged for several machines."""
    for name in ("MASTER_PORT", "STANDALONE_PORT", "TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variables", [{}, {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "bash"}, {"MASTER_ADDR": "first"}])
def test_machines_that_cannot_find_each_other_are_refused(
    variables: dict[str, str], no_launcher: None, asked_for: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"--nodes 2: no launcher .* start the command with torchrun or srun"):
        launch_fabric(Compute(nodes=2))
    assert not asked_for
    launch_fabric(Compute(devices=2))


@pytest.mark.parametrize(
    "variables",
    [
        {"TORCHELASTIC_RUN_ID": "none"},  # torchrun
        {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "sface"},
        {"MASTER_PORT": "29500"},  # by hand; the first machine needs neither MASTER_ADDR nor NODE_RANK
    ],
)
def test_machines_that_find_each_other_are_not(
    variables: dict[str, str], no_launcher: None, asked_for: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    launch_fabric(Compute(nodes=2))
    assert asked_for["num_nodes"] == 2


_MEET_BY_A_PORT = """
import torch
from synthface.workflows.compute import Compute, launch_fabric

fabric = launch_fabric(Compute(nodes=2))
assert fabric.all_reduce(torch.ones(1), reduce_op="sum") == 2
"""


@pytest.mark.slow
def test_machines_meet_by_the_port_alone(tmp_path: Path, no_launcher: None) -> None:
    script = tmp_path / "meets.py"
    script.write_text(_MEET_BY_A_PORT)
    with socket.socket() as free:
        free.bind(("", 0))
        port = str(free.getsockname()[1])
    named = {**os.environ, "MASTER_PORT": port}
    first = subprocess.Popen([sys.executable, script], env=named)
    second = subprocess.run([sys.executable, script], env={**named, "NODE_RANK": "1"}, timeout=300)
    assert (first.wait(300), second.returncode) == (0, 0)


# A handler registered before the processes are started runs after those that the start registers.
_TELLS_AT_THE_END = """
import atexit
import torch
from synthface.workflows.compute import Compute, launch_fabric

atexit.register(lambda: print(f" together at the end: {torch.distributed.is_initialized()} ", end=""))
fabric = launch_fabric(Compute(devices=2))
assert fabric.all_reduce(torch.ones(1), reduce_op="sum") == 2
waits = torch.distributed.group.WORLD._get_backend(torch.device("cpu")).options._timeout
assert waits.days >= 1, waits
"""


@pytest.mark.slow
def test_processes_wait_for_each_other_and_leave_before_the_interpreter_goes(tmp_path: Path) -> None:
    # Otherwise a thread of gloo may want Python's lock when there is none, and the process ends in SIGABRT.
    script = tmp_path / "tells.py"
    script.write_text(_TELLS_AT_THE_END)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=1200, check=True)
    assert ended.stdout.split() == ["together", "at", "the", "end:", "False"] * 2


_FIRST_IS_SLOW_TO_END = """
import atexit
import sys
import time
from synthface.workflows.compute import Compute, launch_fabric

fabric = launch_fabric(Compute(devices=2))
fabric.barrier()
if fabric.global_rank == 0:
    atexit.register(time.sleep, 7)
sys.exit(3)
"""


@pytest.mark.slow
def test_a_first_process_that_is_slow_to_end_returns_its_own_exit_code(tmp_path: Path) -> None:
    # Fabric looks every five seconds whether another has ended in an error, and then kills the first.
    script = tmp_path / "slow_to_end.py"
    script.write_text(_FIRST_IS_SLOW_TO_END)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=1200)
    assert ended.returncode == 3, ended.stderr
