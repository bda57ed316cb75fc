"""The curves of a generator's training in one picture."""

from pathlib import Path
from typing import Any


def plot_training_curves(lines: list[dict[str, Any]], path: Path) -> None:
    """Draw losses, discriminator scores and augmentation over the images seen.

    Args:
        lines: lines of ``metrics.jsonl``.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    kimg = [line["seen_images"] / 1000 for line in lines]
    panels = {
        "loss": {"generator": "loss_generator", "discriminator": "loss_discriminator"},
        "mean score of the discriminator": {"real images": "score_real", "generated images": "score_fake"},
        "augmentation": {"p": "ada_p", "r_t": "r_t"},
    }
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for axes, (title, series) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for label, key in series.items():
            axes.plot(kimg, [line[key] for line in lines], label=label)
        axes.set(title=title, xlabel="thousand images")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
