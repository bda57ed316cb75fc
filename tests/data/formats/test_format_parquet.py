"""Parquet: against pyarrow and datasets, in both directions."""

import io
import json

import pytest

from synthface.core.errors import ConfigError, DataError
from synthface.data.formats import open_sink, open_source
from synthface.data.formats.parquet import read_parquet

arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


def write(tmp_path, items, **settings):
    sink = open_sink("parquet", tmp_path, **settings)
    for item in items:
        sink.add(item)
    sink.finish()


def table_of(tmp_path, **columns):
    parquet.write_table(arrow.table(columns), tmp_path / "x.parquet")
    return [tmp_path / "x.parquet"]


def test_pyarrow_reads_what_is_written(tmp_path, items):
    write(tmp_path, items, shard_size=5)
    files = sorted((tmp_path / "data").glob("*"))
    assert [file.name for file in files] == [f"train-0000{k}-of-00003.parquet" for k in range(3)]
    rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
    assert [row["image"] for row in rows] == [{"bytes": item.content, "path": item.name} for item in items]
    assert [row["label"] for row in rows] == [k // 3 for k in range(12)]
    assert [json.loads(row["metadata"])["fields"] for row in rows] == [item.fields for item in items]


def test_datasets_reads_what_is_written_with_the_cards_types(tmp_path, items, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("pandas", reason="datasets needs pandas")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    (tmp_path / "set").mkdir()
    write(tmp_path / "set", items, shard_size=5)
    loaded = datasets.load_dataset(str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache"))
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded.num_rows == 12
    assert [row["label"] for row in loaded] == [k // 3 for k in range(12)]
    assert loaded[0]["image"].size == (24, 24)
    raw = loaded.cast_column("image", datasets.Image(decode=False))
    assert [row["image"]["bytes"] for row in raw] == [item.content for item in items]


def test_a_foreign_table_is_read(tmp_path, images):
    # the layout that the hub gives image data sets: image {bytes, path}, label; bytes alone occur too
    structs = [{"bytes": image, "path": f"{k}.jpg"} for k, image in enumerate(images[:3])]
    found = list(read_parquet(table_of(tmp_path, image=structs, label=[5, 5, 9])))
    assert [(i.content, i.label, i.identity, i.name) for i in found] == [
        (images[0], 5, "000005", "0.jpg"),
        (images[1], 5, "000005", "1.jpg"),
        (images[2], 9, "000009", "2.jpg"),
    ]
    found = list(read_parquet(table_of(tmp_path, image=images[:2], label=[1, 2])))
    assert [item.name for item in found] == ["x/000000000.jpg", "x/000000001.png"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": [b"x"]}, "no column 'image'"),
        ({"image": [{"bytes": None, "path": "/etc/passwd"}], "label": [1]}, "not followed"),
        ({"image": [b"x"]}, "who it shows"),
        ({"image": [b"x"], "label": [-1]}, "no whole number"),
        ({"image": [b"x"], "label": [1.5]}, "no whole number"),
        ({"image": [{"bytes": b"x", "path": "../../x.jpg"}], "label": [1]}, "no path inside a set"),
        ({"image": [b"x"], "label": [1], "metadata": ["{"]}, "no JSON"),
        ({"image": [b"x"], "label": [1], "metadata": [7]}, "no JSON"),
    ],
)
def test_hostile_tables_are_refused_in_one_line(tmp_path, columns, message):
    with pytest.raises(DataError, match=message) as caught:
        list(read_parquet(table_of(tmp_path, **columns)))
    assert "x.parquet" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damage_is_named(tmp_path, images):
    stream = io.BytesIO()
    parquet.write_table(arrow.table({"image": images, "label": [0] * 12}), stream)
    path = tmp_path / "x.parquet"
    for content in (b"PAR1", stream.getvalue()[:-9], b"PAR1" + bytes(100) + b"PAR1", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match="no whole parquet file"):
            list(read_parquet([path]))


def test_without_pyarrow_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'synthface-kit\[parquet\]'"):
        open_sink("parquet", tmp_path)


def test_row_groups_stay_small(tmp_path, items):
    write(tmp_path, items * 50)
    file = parquet.ParquetFile(next((tmp_path / "data").glob("*")))
    assert file.metadata.num_rows == 600
    assert file.metadata.row_group(0).num_rows == 256
    assert open_source(tmp_path).n_images == 600
