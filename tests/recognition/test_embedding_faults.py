"""Trainings that go wrong while their loss stays finite are spoken of."""

import logging

import numpy as np
import pytest
import torch

from synthface.recognition.embedding_faults import embedding_faults
from synthface.recognition.losses import LOSSES
from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.networks.build import build_network
from synthface.workflows import train_recognizer
from synthface.workflows.train_recognizer import Options

TINY = {"input_size": 32, "width": 0.125, "embedding_dim": 16, "batch": 16, "augment": "flip"}
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def network():
    return build_network(NetworkConfig(input_size=(32, 32), embedding_dim=16, width=0.125), seed=0).train()


def test_different_embeddings_are_no_fault_and_the_network_goes_on_training(network):
    assert embedding_faults(network, None, PIXELS) == []
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_looking_draws_nothing_that_the_training_would_have_drawn():
    config = NetworkConfig(architecture="IResNet-18", input_size=(32, 32), embedding_dim=16, dropout=0.4)
    made = build_network(config, seed=0).train()
    before = torch.random.get_rng_state()
    embedding_faults(made, None, PIXELS[:8])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_one_process_looks_without_waiting_for_others(monkeypatch):
    config = NetworkConfig(architecture="PatchResNet", input_size=(32, 32), embedding_dim=16, width=0.25, bits=8)
    made = build_network(config, seed=0).train()

    def waits(*_, **__):
        raise AssertionError("the other processes are not here")

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda *_: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", waits)
    with pytest.raises(AssertionError, match="not here"):
        made(torch.zeros(4, 3, 32, 32))
    embedding_faults(made, None, PIXELS[:8])


def test_one_embedding_for_all_is(network):
    class Same(type(network)):
        def forward(self, x):
            return super().forward(x) * 1e-4 + 1

    network.__class__ = Same
    (fault,) = embedding_faults(network, None, PIXELS)
    assert fault.startswith("all faces have the same embedding")


def test_lengths_outside_of_magfaces_band_are(network):
    def faults(l_a, u_a):
        return embedding_faults(network, LOSSES["magface"](4, 16, l_a=l_a, u_a=u_a), PIXELS)

    assert faults(0.01, 1000.0) == []
    (fault,) = faults(500.0, 1000.0)
    assert "100% of the embeddings are outside of MagFace's lengths 500 to 1000" in fault
    assert "--loss-options.l_a" in fault


def test_a_run_says_so(make_faceset, tmp_path, caplog):
    people = make_faceset("train")
    options = {"loss": "magface", "loss_options": {"l_a": 500.0, "u_a": 1000.0}, "epochs": 2}
    with caplog.at_level(logging.WARNING):
        train_recognizer.run(Options(faces=people.root, out=tmp_path / "run", **TINY, **options))
    warnings = [message for message in caplog.messages if "MagFace's lengths" in message]
    assert [message[:13] for message in warnings] == ["after epoch 1", "after epoch 2"]
