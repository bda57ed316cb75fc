"""The identity player with the recogniser that ships and its batch-norm statistics."""

import torch

from gan.config import IdentityConfig, TrainingConfig
from synthface.workflows.gan_training.identity_term import identity_term


def _training(**identity: object) -> TrainingConfig:
    return TrainingConfig(batch=4, micro_batch=4, identity=IdentityConfig(**identity))  # type: ignore[arg-type]


def test_off_is_no_player_at_all() -> None:
    with identity_term(TrainingConfig(), n_classes=3, seed=0, device="cpu") as player:
        assert player is None


def test_the_shipped_recogniser_plays() -> None:
    training = _training(form="margin", statistics_weight=0.1)
    labels = torch.tensor([0, 0, 1, 2])
    with identity_term(training, n_classes=3, seed=0, device="cpu") as player:
        assert player is not None
        for step in range(2):
            images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(step)) * 2 - 1
            images.requires_grad_(True)
            value, figures = player(images, labels, 4 * step, first=0)
            value.backward()
            player.after_step(4 * step, lambda tensor: tensor)
            assert images.grad is not None
            assert torch.isfinite(images.grad).all()
            assert images.grad.abs().sum() > 0  # in the first step by the statistics alone
    assert set(figures) == {
        "identity_loss",
        "identity_cosine",
        "identity_known",
        "identity_statistics",
    }
    assert figures["identity_known"] == 1


def test_when_the_training_ends_its_hooks_are_gone() -> None:
    with identity_term(_training(form="centre", statistics_weight=0.1), n_classes=3, seed=0, device="cpu") as player:
        assert player is not None
        recognizer = player.recognizer
        assert isinstance(recognizer, torch.nn.Module)
        assert _watched(recognizer)
    assert not _watched(recognizer)


def _watched(model: torch.nn.Module) -> bool:
    """Say whether anything looks into a model: hooks, or a layer's ``forward`` that is not its class's."""
    return any("forward" in vars(part) or part._forward_hooks or part._forward_pre_hooks for part in model.modules())
