"""The curves of a generator's training in one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]

# Title of a panel, and its curves: label and key. Keys under "monitor" are of the measurements; "... real" is dashed.
_LOSSES: dict[str, dict[str, str]] = {
    "loss": {"generator": "loss_generator", "discriminator": "loss_discriminator"},
    "mean score of the discriminator": {"real images": "score_real", "generated images": "score_fake"},
    "augmentation": {"p": "ada_p", "r_t": "r_t"},
}
_MEASURES: dict[str, dict[str, str]] = {
    "Frechet distance, recogniser features": {"generated": "frechet", "floor: real to real": "frechet_floor"},
    "kernel distance, recogniser features": {"generated": "kernel_distance"},
    "manifolds, recogniser features": {name: name for name in ("precision", "recall", "density", "coverage")},
    "identities: EER": {"generated classes": "eer", "real": "eer_real"},
    "identities: Fisher ratio": {"generated classes": "fisher_ratio", "real": "fisher_ratio_real"},
    "diversity within a class": {
        "1 - cosine": "diversity",
        "1 - cosine, real": "diversity_real",
        "pixels": "diversity_pixels",
        "pixels, real": "diversity_pixels_real",
    },
    "collapse: variation as a share of real": {"over seeds": "seed_share", "over classes": "class_share"},
}
_COLUMNS = 4


def plot_training_curves(lines: Sequence[Line], path: Path, *, events: Sequence[Line] = ()) -> None:
    """Draw everything that is measured over the thousand images seen.

    Args:
        lines: lines of ``metrics.jsonl``.
        path: PNG to write.
        events: lines of ``events.jsonl``; each rollback is a vertical line where the run went back to.
    """
    from matplotlib.figure import Figure

    measured = [{"seen_images": line["seen_images"], **line["monitor"]} for line in lines if "monitor" in line]
    panels = [(title, curves, list(lines)) for title, curves in _LOSSES.items()]
    panels += [(title, curves, measured) for title, curves in _MEASURES.items() if measured]
    n_rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(4 * min(_COLUMNS, len(panels)), 3.2 * n_rows))
    grid = figure.subplots(n_rows, min(_COLUMNS, len(panels)), squeeze=False).ravel()
    for axes, (title, curves, source) in zip(grid, panels, strict=False):
        _draw_panel(axes, title, curves, source)
        for number, event in enumerate(event for event in events if event.get("event") == "rollback"):
            axes.axvline(
                event["to_seen_images"] / 1000, color="tab:red", ls=":", lw=1, label=None if number else "rollback"
            )
        axes.legend(fontsize=7)
    # Fixed margins: a layout that is solved for takes longer than the drawing.
    figure.subplots_adjust(left=0.04, right=0.99, top=1 - 0.1 / n_rows, bottom=0.15 / n_rows, wspace=0.2, hspace=0.4)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw_panel(axes: Any, title: str, curves: dict[str, str], lines: Sequence[Line]) -> None:
    kimg = [line["seen_images"] / 1000 for line in lines]
    style: dict[str, Any] = {"marker": "."} if len(lines) < 40 else {}
    for number, (label, key) in enumerate(curves.items()):
        values = [line.get(key) if line.get(key) is not None else float("nan") for line in lines]
        is_reference = key.endswith("_floor") or key.removesuffix("_real") in set(curves.values()) - {key}
        if is_reference:
            axes.plot(kimg, values, ls="--", lw=1, color=f"C{max(number - 1, 0)}", label=label)
        else:
            axes.plot(kimg, values, lw=1.2, color=f"C{number}", label=label, **style)
        if f"{key}_error" in (lines[0] if lines else {}):
            errors = [line[f"{key}_error"] for line in lines]
            low, high = (
                [value + sign * 2 * error for value, error in zip(values, errors, strict=True)] for sign in (-1, 1)
            )
            axes.fill_between(kimg, low, high, alpha=0.25, lw=0, label="2 standard errors")
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("thousand images", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
