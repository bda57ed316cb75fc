"""Devices and processes: one Lightning Fabric for training, embedding and generating."""

import atexit
import logging
import os
import time
import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from synthface.core.cores import available_cores
from synthface.core.errors import ConfigError
from synthface.core.heap import keep_freed_memory

# The first process at a barrier waits for the last, which may write the results, evaluate, or have the slower share of
# a run of days. Lightning's default of half an hour would end such a run. It stays for the start, where a process whose
# first one has died would try to reach it for as long; later nobody needs it to notice that, since gloo does, and
# Fabric, torchrun and SLURM end the others.
_LONGEST_WAIT = timedelta(days=7)
_FIRST_PROCESS = "SYNTHFACE_FIRST_PROCESS"  # its number, for those that Fabric starts for it
_SECONDS_TO_LEAVE = 30.0


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where to run: the part of a command's Options that is about machines.

    Processes started by torchrun or SLURM are recognised by themselves.

    Args:
        device: cpu, cuda, mps, or auto for the best there is.
        devices: processes on this machine (CPU) or accelerators to use.
        nodes: machines.
    """

    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    devices: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        if self.devices < 1 or self.nodes < 1:
            raise ConfigError("--devices and --nodes are at least 1")


def launch_fabric(compute: Compute) -> Any:
    """Start Lightning Fabric on the devices asked for and return it, in every process.

    Several devices run one process each (DDP), started here or by torchrun or SLURM.

    Raises:
        ConfigError: the devices are not there, or nothing tells the processes of several machines where to meet.
    """
    keep_freed_memory()
    if compute.nodes > 1 and not _machines_can_meet():
        raise ConfigError(
            f"--nodes {compute.nodes}: no launcher has started this process, so the machines cannot find each other; "
            "start the command with torchrun or srun (docs/guides/scaling-up.md), or set MASTER_ADDR, MASTER_PORT and "
            "NODE_RANK on each"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightning.fabric import Fabric
        from lightning.fabric.utilities.exceptions import MisconfigurationException
    for name in ("lightning.fabric", "lightning.fabric.utilities.distributed", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    launched_outside = int(os.environ.get("WORLD_SIZE", "1")) > 1
    devices = int(os.environ.get("LOCAL_WORLD_SIZE", compute.devices)) if launched_outside else compute.devices
    several = launched_outside or devices * compute.nodes > 1
    try:
        strategy = "ddp" if several else "auto"
        fabric = Fabric(accelerator=compute.device, devices=devices, num_nodes=compute.nodes, strategy=strategy)
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise ConfigError(f"--device {compute.device} with {devices} devices cannot be used here ({error})") from None
    if several:
        _share_cores(devices)
        if not launched_outside:
            os.environ[_FIRST_PROCESS] = str(os.getpid())
    fabric.launch()
    if several:
        _wait_for_each_other()
        atexit.register(_leave_after_the_first)
        atexit.register(_end_threads_of_collectives)  # the last to be registered is the first to be called
    return fabric


def _machines_can_meet() -> bool:
    """Say whether the processes of several machines agree on where they meet.

    A launcher that Lightning recognises sees to it. Without one Lightning takes any free port, each machine another,
    and all would wait for half an hour, unless a variable names the port.
    """
    if not {"MASTER_PORT", "STANDALONE_PORT"}.isdisjoint(os.environ):
        return True
    with warnings.catch_warnings():  # of a srun that is there and was not used
        warnings.simplefilter("ignore")
        from lightning.fabric.plugins.environments import (
            LSFEnvironment,
            MPIEnvironment,
            SLURMEnvironment,
            TorchElasticEnvironment,
        )

        launchers = (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment)
        return any(launcher.detect() for launcher in launchers)


def is_first_process() -> bool:
    """Say whether this process is the one that writes results (of those started here, by torchrun or by SLURM)."""
    # Read from the environment: starting Fabric just to ask would cost seconds when all comes from the cache.
    ranks = (os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))
    return all(rank == "0" for rank in ranks)


def _wait_for_each_other() -> None:
    import torch.distributed

    if (everyone := torch.distributed.group.WORLD) is not None:
        everyone.set_timeout(_LONGEST_WAIT)


def _end_threads_of_collectives() -> None:
    """Join gloo's threads while there is an interpreter for them.

    Such a thread frees the last collective's tensors, for which it needs Python's lock. If it gets there when the
    interpreter is being taken down, the process aborts after its work is done: exit code 134, now and then. torch
    leaves the call to its users, and Lightning makes it for NCCL alone.
    """
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _leave_after_the_first() -> None:
    """Let the process that the user started end before those that Fabric started for it.

    Fabric looks every few seconds whether one of them has ended in an error, and then kills the first: when all were
    about to end in the same error, or by the same Ctrl-C, it would not come to say so, nor return its exit code.
    """
    deadline = time.monotonic() + _SECONDS_TO_LEAVE
    while os.environ.get(_FIRST_PROCESS) == str(os.getppid()) and time.monotonic() < deadline:
        time.sleep(0.05)


def _share_cores(devices: int) -> None:
    import torch

    torch.set_num_threads(max(1, available_cores() // devices))
