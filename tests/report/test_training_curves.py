"""The picture of a training: every figure that is measured has its curve, and what is missing is left out."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from PIL import Image

from synthface.report import training_curves
from synthface.report.training_curves import plot_training_curves


def _line(kimg: int, *, monitored: bool) -> dict[str, Any]:
    names = {key for curves in training_curves._LOSSES.values() for key in curves.values()}
    measures = {key for curves in training_curves._MEASURES.values() for key in curves.values()}
    line: dict[str, Any] = {"seen_images": kimg * 1000, **dict.fromkeys(names, 0.5)}
    if monitored:
        line["monitor"] = {**dict.fromkeys(measures, 0.4), "kernel_distance_error": 0.1, "frechet_floor": None}
    return line


@pytest.mark.parametrize("monitored", [False, True])
def test_every_panel_is_drawn(monitored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    original = Axes.set_title
    monkeypatch.setattr(
        Axes, "set_title", lambda self, label, *a, **k: (titles.append(label), original(self, label, *a, **k))[1]
    )
    lines = [_line(kimg, monitored=monitored and kimg % 2 == 0) for kimg in range(1, 6)]
    events = [{"event": "rollback", "to_seen_images": 2000}, {"event": "stop"}]
    plot_training_curves(lines, tmp_path / "curves.png", events=events)
    expected = [*training_curves._LOSSES, *(training_curves._MEASURES if monitored else ())]
    assert titles == expected
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.height > (600 if monitored else 200)


def test_only_references_are_dashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    styles: dict[str, str] = {}
    original = Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda self, *a, **k: (styles.update({k["label"]: k.get("ls", "-")}), original(self, *a, **k))[1]
    )
    plot_training_curves([_line(kimg, monitored=True) for kimg in (1, 2)], tmp_path / "curves.png")
    dashed = {label for label, style in styles.items() if style == "--"}
    assert dashed == {"floor: real to real", "real", "1 - cosine, real", "pixels, real"}


def test_the_same_lines_give_the_same_bytes(tmp_path: Path) -> None:
    lines = [_line(kimg, monitored=True) for kimg in (1, 2)]
    for name in ("a.png", "b.png"):
        plot_training_curves(lines, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
