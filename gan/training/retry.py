"""Trying again from a good checkpoint, with a change that makes a repeat of the failure unlikely."""

from gan.training.optimizers import lower_full_rates
from gan.training.trainer import GanTrainer


def begin_attempt(trainer: GanTrainer, attempt: int) -> None:
    """Give every later step other seeds than earlier attempts had, and lower learning rates.

    Call it after ``load_state_dict``.

    Args:
        trainer: the trainer.
        attempt: rollbacks so far; 0 changes nothing.
    """
    trainer.source.begin_attempt(attempt)
    for optimizer in (trainer.optimizer_G, trainer.optimizer_D):
        lower_full_rates(optimizer, attempt)
