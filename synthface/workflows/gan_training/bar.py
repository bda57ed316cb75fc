"""The progress bar of a training: in images, or in seconds where those end it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan.training.trainer import GanTrainer
    from synthface.workflows.train_gan import Options


def training_bar(options: "Options", trainer: "GanTrainer", seconds: float) -> Any:
    """Return the bar, at the place where a resumed run goes on."""
    import sys

    from tqdm import tqdm

    timed = options.kimg is None
    total = round((options.minutes or 0) * 60 if options.kimg is None else options.kimg * 1000)
    return tqdm(
        desc="training",
        total=total,
        initial=round(seconds) if timed else trainer.seen_images,
        unit="s" if timed else "image",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} s{postfix}" if timed else None,
        mininterval=0.5 if sys.stderr.isatty() else 60,
        maxinterval=60,
        disable=not trainer.fabric.is_global_zero,
    )
