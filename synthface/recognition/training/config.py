"""How a recogniser is trained. Free of torch, so that the command line has its defaults from here."""

from dataclasses import dataclass
from typing import Literal

Optimizer = Literal["sgd", "adamw", "muon"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train; the defaults are a recipe that worked, not a tuned one.

    Args:
        epochs: passes over the images.
        batch: images a step, over all processes together.
        lr: highest learning rate; without milestones it rises over the first twentieth and then falls along a cosine
            to 0.
        optimizer: sgd with momentum, adamw (arXiv 1711.05101) with torch's own betas, or muon (``muon.Muon``) for the
            network's kernels and Adam for the rest; class centres of which a step sees a sample learn by SGD alone.
        momentum: of SGD.
        weight_decay: of convolution and linear weights and class centres; by muon, of the network's kernels alone;
            other parameters are left free.
        images_per_class: K of the batches of losses that learn from pairs; others see every image once an epoch.
        augment: preset of ``augmentation.PRESETS``.
        milestones: epochs, counted from 0, from which on the learning rate is a tenth of what it was, without a rise
            at the beginning; none: the rise and the cosine.
        shares: of the sets of a mixture in every epoch, in proportion; none: every image once.
        seed: of weights, order and augmentation.
        minutes: time to train for; where it is shorter than the epochs, the schedule ends with it.
    """

    epochs: int = 40
    batch: int = 128
    lr: float = 0.1
    optimizer: Optimizer = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    images_per_class: int = 4
    augment: str = "light"
    milestones: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()
    seed: int = 0
    minutes: float | None = None
