"""How processes are started: how long they wait for each other, and which cores they share."""

from datetime import timedelta
from typing import Any

import pytest
import torch

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
    monkeypatch.setattr(compute, "available_cores", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: asked.update(share=n))
    return asked


def test_processes_wait_for_each_other_for_days(asked_for: dict[str, Any]) -> None:
    launch_fabric(Compute(devices=2))
    assert asked_for["strategy"]._timeout >= timedelta(days=1)


def test_processes_share_the_cores_that_they_may_use(asked_for: dict[str, Any]) -> None:
    launch_fabric(Compute(devices=2))
    assert asked_for["share"] == 3
    launch_fabric(Compute(devices=20))
    assert asked_for["share"] == 1


def test_a_process_alone_waits_for_nobody(asked_for: dict[str, Any]) -> None:
    launch_fabric(Compute())
    assert asked_for["strategy"] == "auto"
    assert "share" not in asked_for
