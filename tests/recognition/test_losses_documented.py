"""docs/methods.md names every loss with every option and its default."""

from pathlib import Path

import pytest

from synthface.recognition import LOSSES

METHODS = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LOSSES)
def test_a_row_says_its_defaults_and_source(name):
    rows = [line for line in METHODS.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1
    for key, default in LOSSES[name].defaults.items():
        assert f"`{key}={default}`" in rows[0]
    assert LOSSES[name].source in rows[0]


def test_losses_that_need_pairs_are_told():
    pairs = {name for name, loss in LOSSES.items() if loss(4, 4).needs_pairs}
    last_three = {"triplet-semihard", "triplet-batchhard", "margin-distance-weighted"}
    assert pairs == last_three | {"contrastive", "range", "anisotropy", "id-triplet"}
    assert set(list(LOSSES)[-3:]) == last_three
