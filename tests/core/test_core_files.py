import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from synthface.core.atomic import atomic_file, atomic_folder, partial_path, require_absent, write_atomic
from synthface.core.cache_folder import cache_folder
from synthface.core.errors import AuditError, ConfigError, DataError, SynthfaceError, WeightsError
from synthface.core.hashing import canonical_json, sha256_bytes, sha256_file, sha256_json
from synthface.core.run_record import library_versions, run_record, to_json, write_json
from synthface.core.seeds import derive_seed, numpy_generator


class StoppedError(Exception):
    pass


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"

    def stop_half_way():
        with atomic_folder(out) as working:
            (working / "half").write_text("x")
            raise StoppedError

    with pytest.raises(StoppedError):
        stop_half_way()
    assert not out.exists()
    with atomic_folder(out) as working:
        assert not (working / "half").exists()  # what an interrupted run left is cleared
        (working / "whole").write_text("x")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["whole"]
    assert not partial_path(out).exists()


def test_an_artefact_is_never_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match=r"--out .*already exists"):
        require_absent(tmp_path / "out")
    with pytest.raises(ConfigError, match="--run"):
        require_absent(tmp_path / "out", flag="--run")


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with pytest.raises(TypeError), atomic_file(path) as stream:
        stream.writelines([b"new", "no bytes"])
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_hashes_are_sha256(tmp_path):
    content = bytes(range(256)) * 9000
    (tmp_path / "f").write_bytes(content)
    assert sha256_file(tmp_path / "f") == sha256_bytes(content) == hashlib.sha256(content).hexdigest()
    assert sha256_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2


def test_equal_json_values_have_equal_text():
    assert canonical_json({"b": [1, None], "a": "ñ"}) == '{"a":"ñ","b":[1,null]}'
    assert sha256_json({"x": 1, "y": 2}) == sha256_json({"y": 2, "x": 1})
    assert sha256_json({"x": 1}) != sha256_json({"x": "1"})
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": math.nan})


def test_seeds_depend_on_every_part_and_its_kind():
    seeds = [
        derive_seed(0, "a", 1),
        derive_seed(1, "a", 1),
        derive_seed(0, "a", 2),
        derive_seed(0, "a", "1"),
        derive_seed(0, 1, "a"),
        derive_seed(0, "a"),
        derive_seed(0, "a1"),
        derive_seed(0, "a\x1f", 1),
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, "a", 1) == derive_seed(0, "a", 1)


def test_a_seed_stays_the_same_for_ever():
    text = "\x1f".join(["7", "str:generate", "int:3"])
    assert derive_seed(7, "generate", 3) == int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def test_neighbouring_seeds_give_unrelated_draws():
    draws = np.stack([numpy_generator(seed, "x").standard_normal(2000) for seed in range(20)])
    correlation = np.corrcoef(draws) - np.eye(20)
    assert np.abs(correlation).max() < 6 / math.sqrt(2000)  # six standard errors
    np.testing.assert_array_equal(numpy_generator(3, "x").standard_normal(5), draws[3, :5])


def test_run_records_say_what_made_a_thing_and_not_when(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Config:
        path: Path
        sizes: tuple[int, ...]

    record = run_record("make", Config(Path("a") / "b", (1, 2)), seed=3, inputs={"z": "1", "a": "2"})
    assert record["config"] == {"path": "a/b", "sizes": [1, 2]}
    assert list(record["inputs"]) == ["a", "z"]
    assert record == run_record("make", Config(Path("a") / "b", (1, 2)), seed=3, inputs={"a": "2", "z": "1"})
    assert {"python", "synthface-kit", "numpy", "torch", "machine"} <= set(library_versions())
    write_json(tmp_path / "r.json", record)
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == to_json(record)


def test_the_cache_goes_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "mine"))
    assert cache_folder("a", "b") == tmp_path / "mine" / "a" / "b"
    assert cache_folder("a", "b").is_dir()
    monkeypatch.delenv("SYNTHFACE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("a") == tmp_path / "xdg" / "synthface" / "a"


def test_every_user_error_is_a_synthface_error():
    assert all(issubclass(error, SynthfaceError) for error in (ConfigError, DataError, WeightsError, AuditError))
