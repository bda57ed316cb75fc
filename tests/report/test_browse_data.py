"""What the browse page knows: factored records, scores, flags, thumbnails and their plan."""

import io
import json

import numpy as np
from PIL import Image

from synthface.report.browse_data import Flags, Score, page_data, script_json, shown_rows
from synthface.report.browse_sprites import COLUMNS, plan_sprites, sprite

RECORDS = [
    {"path": f"images/{who}/{k}.png", "identity": who, "psi": 0.7, "seed": 2**60 + 10 * i + k, "class_index": i}
    for i, who in enumerate("ab")
    for k in range(3)
]


def _back(data: dict, row: int) -> dict:
    """Put a record together again from the page's data."""
    shown = [i for i, identity in enumerate(data["identities"]) for _ in range(identity["shown"])]
    identity = data["identities"][shown[row]]
    of_image = {key: values[row] for key, values in data["fields"].items()}
    return {
        **data["shared"], **identity.get("fields", {}), **of_image,
        "path": data["paths"][row], "identity": identity["name"],
    }  # fmt: skip


def test_records_come_back_whole_with_seeds_as_text() -> None:
    data = page_data(RECORDS, shown_rows([r["identity"] for r in RECORDS], None))
    assert data["shared"] == {"psi": 0.7}
    assert [identity["fields"] for identity in data["identities"]] == [{"class_index": 0}, {"class_index": 1}]
    for row, record in enumerate(RECORDS):
        assert _back(data, row) == record | {"seed": str(record["seed"])}


def test_fields_that_some_records_lack() -> None:
    records = [
        {"path": "1", "identity": "a", "quality": 0.5}, {"path": "2", "identity": "a"}, {"path": "3", "identity": "b"}
    ]  # fmt: skip
    data = page_data(records, shown_rows(["a", "a", "b"], None))
    assert data["fields"] == {"quality": [0.5, None, None]}
    assert data["shared"] == {}


def test_scores_and_flags_follow_the_images_that_are_shown() -> None:
    rows = shown_rows([r["identity"] for r in RECORDS], 2)
    assert rows == {"a": [0, 1], "b": [3, 4]}
    score = Score("s", "score", [float(k) if k != 4 else float("nan") for k in range(6)])
    flags = Flags({"b": "too near"}, {"images/a/1.png": "A3", "images/a/2.png": "not shown"})
    data = page_data(RECORDS, rows, scores=[score], flags=flags)
    assert data["scores"][0]["values"] == [0.0, 1.0, 3.0, None]
    assert (data["scores"][0]["low"], data["scores"][0]["high"]) == (0.0, 3.0)
    assert data["flags"] == {"1": "A3"}
    assert [(i["total"], i["shown"], i.get("flag")) for i in data["identities"]] == [(3, 2, None), (3, 2, "too near")]


def test_a_sample_is_spread_over_an_identity() -> None:
    rows = shown_rows(["a"] * 100, 4)
    assert rows == {"a": [0, 25, 50, 75]}


def test_json_in_a_script_cannot_end_it() -> None:
    text = script_json({"identity": "</script><script>alert(1)</script>\u2028", "n": 1})
    assert "<" not in text
    assert json.loads(text)["identity"].startswith("</script>")


def test_a_sprite_holds_every_thumbnail_in_its_place() -> None:
    images = [np.full((20, 20, 3), 10 * k, np.uint8) for k in range(COLUMNS + 2)]
    content = sprite(images, 32)
    assert content == sprite(images, 32)
    sheet = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    assert sheet.shape == (64, 32 * COLUMNS, 3)
    for k in range(len(images)):
        y, x = divmod(k, COLUMNS)
        assert abs(sheet[32 * y + 16, 32 * x + 16] - 10 * k).max() <= 6


def test_the_plan_keeps_to_its_size_and_to_what_is_given() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), dtype=np.uint8)
    rows = [list(range(40)) for _ in range(30)]
    whole = plan_sprites(rows, lambda k: noise[k], max_bytes=10**9)
    assert (whole.side, whole.per_identity) == (64, 40)
    fewer = plan_sprites(rows, lambda k: noise[k], max_bytes=whole.n_bytes // 3)
    assert fewer.side == 64
    assert 4 <= fewer.per_identity <= 14
    smaller = plan_sprites(rows, lambda k: noise[k], max_bytes=whole.n_bytes // 20)
    assert (smaller.side < 64, smaller.per_identity) == (True, 4)
    given = plan_sprites(rows, lambda k: noise[k], max_bytes=1, side=48, per_identity=7)
    assert (given.side, given.per_identity) == (48, 7)
