"""The red-team script: its tests of difference, and a run from end to end."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from synthface.data.embeddings import Embeddings

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "red_team_inversion.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("red_team_inversion", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["red_team_inversion"] = module
    spec.loader.exec_module(module)
    return module


def test_p_is_small_where_there_is_a_difference_and_not_where_there_is_none(script: ModuleType) -> None:
    generator = np.random.default_rng(0)
    same, other = generator.normal(size=(2, 60))
    assert script.permutation_test(same + 1, other, 0)["p"] < 1e-3
    none = script.permutation_test(same, other, 0)
    assert none["p"] > 0.02
    low, high = none["interval"]
    assert low < same.mean() - other.mean() < high
    assert high - low == pytest.approx(4 * 0.98 * np.sqrt(2 / 60), rel=0.25)


def test_photos_of_the_centre_are_never_those_compared_with(script: ModuleType) -> None:
    generator = np.random.default_rng(0)
    vectors = script.unit(generator.normal(size=(90, 8)))
    names = np.array([f"p{k // 3}" for k in range(90)])
    people = script.choose_people(Embeddings(vectors, names, names), 20, 0, "train")
    for centre, inside, outside in zip(people.centres, people.inside, people.outside, strict=True):
        assert set(inside).isdisjoint(outside)
        assert len({names[row] for row in (*inside, *outside)}) == 1
        assert np.allclose(centre, script.unit(vectors[inside].mean(0, keepdims=True))[0], atol=1e-6)
    made, real = script.similarities(people.centres, people, vectors)
    assert np.allclose(made, real)  # an image that is its centre scores what the photos score


def test_nearest_people_are_compared_in_equal_numbers(script: ModuleType) -> None:
    scores = np.array([[0.1, 0.9, 0.3, 0.4], [0.2, 0.1, 0.8, 0.5]], np.float32)
    assert script.difference_of_nearest(scores, np.array([True, True, False, False])) == pytest.approx((0.5 - 0.6) / 2)


def test_from_end_to_end(script: ModuleType, write_faceset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from test_invert_workflow import write_recognizer

    R, judge = (str(write_recognizer(tmp_path / f"tiny{k}.safetensors", k)) for k in range(2))
    sets = {
        name: str(write_faceset(tmp_path / name, n_identities=6, per_identity=2, size=32))
        for name in ("train", "holdout", "generated")
    }
    words = ["--recognizer", R, "--judge", judge, "--people", "4", "--steps", "2", "--out", str(tmp_path / "out")]
    words += [part for name, path in sets.items() for part in (f"--{name}", path)]
    assert script.main(words) == 0
    first = (tmp_path / "out" / "red_team.json").read_bytes()
    results = json.loads(first)
    assert results["people"]["photos"]["difference"] == pytest.approx(0, abs=0.5)
    assert 0 < results["classes"]["p"] <= 1
    assert "images_less_photos" in capsys.readouterr().out
    assert script.main(words) == 0
    assert (tmp_path / "out" / "red_team.json").read_bytes() == first
    words[words.index("4")] = "40"
    assert script.main(words) == 3
    assert "--people 40" in capsys.readouterr().err
