"""Trying again from a good checkpoint, with a change that makes a repeat of the failure unlikely."""

from gan.trainer import GanTrainer

LEARNING_RATE_FACTOR = 0.5  # of every attempt after the first, for both networks


def begin_attempt(trainer: GanTrainer, attempt: int) -> None:
    """Give every later step other seeds than earlier attempts had, and lower learning rates.

    Call it after ``load_state_dict``. The optimisers remember for which attempt their rates are, so that a resumed
    run keeps its rates and a state from before the failure gets the new ones.

    Args:
        trainer: the trainer.
        attempt: rollbacks so far; 0 changes nothing.
    """
    trainer.source.begin_attempt(attempt)
    for optimizer in (trainer.optimizer_G, trainer.optimizer_D):
        for group in optimizer.param_groups:
            group["lr"] *= LEARNING_RATE_FACTOR ** (attempt - group.get("attempt", 0))
            group["attempt"] = attempt
