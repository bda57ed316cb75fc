"""The measure command: files, schema, no names, one resolution, idempotent. Embeddings are stood in for."""

import importlib.resources
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from synthface.cli import main
from synthface.core.errors import DataError
from synthface.core.hashing import sha256_bytes
from synthface.data import Embeddings, FaceSet, FaceSetWriter
from synthface.recognition import catalogue
from synthface.workflows import measure
from synthface.workflows.pairs_file import locate_pairs

ASKED: list[tuple[str, int | None]] = []


def _write(out: Path, kind: str, *, people: int, images: int, size: int, prefix: str) -> Path:
    rng = np.random.default_rng(len(prefix))
    with FaceSetWriter(out, kind=kind, record={"command": "test", "config": {}, "inputs": {}}) as writer:  # type: ignore[arg-type]
        for k in range(people):
            colours = rng.integers(30, 220, (4, 4, 3))
            for j in range(images):
                noisy = np.clip(colours + rng.integers(-20, 20, (4, 4, 3)), 0, 255).astype(np.uint8)
                image = noisy.repeat(size // 4, axis=0).repeat(size // 4, axis=1)
                writer.add(f"images/{prefix}{k}/{j}.png", image, identity=f"{prefix}{k}")
        writer.finish()
    return out


def _embed(faceset: FaceSet, name: str, *, compute: object = None, via_size: int | None = None) -> Embeddings:
    ASKED.append((faceset.kind, via_size))
    pixels = faceset.read_images(range(len(faceset)), 4, 4).reshape(len(faceset), -1).astype(np.float64)
    pixels -= 125
    norms = np.linalg.norm(pixels, axis=1)
    info = {"recognizer": name, "recognizer_sha256": sha256_bytes(name.encode())}
    return Embeddings(
        (pixels / norms[:, None]).astype(np.float32),
        np.array([record.identity for record in faceset.records]),
        np.array([record.path for record in faceset.records]),
        norms.astype(np.float32),
        info,
    )


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(measure, "embed_faceset", _embed)
    known = lambda name: SimpleNamespace(name=name, sha256=sha256_bytes(name.encode()))  # noqa: E731
    monkeypatch.setattr(catalogue, "find_weights", known)
    _write(tmp_path / "made", "synthetic", people=12, images=6, size=32, prefix="class")
    _write(tmp_path / "real", "real", people=20, images=8, size=48, prefix="Jane Doe ")
    ASKED.clear()
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing out: it takes most of the time."""
    monkeypatch.setattr("synthface.report.measure_page.measure_drawings", lambda _: {})


def _run(sets: Path, *words: str) -> int:
    return main(["measure", str(sets / "made"), "--out", str(sets / "out"), "--replicates", "100", *words])


def test_a_set_beside_real_people(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from jsonschema import Draft202012Validator

    assert _run(sets, "--beside", str(sets / "real"), "--recognizers", "first", "second") == 0
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines()] == ["set", "this", "set", "this", "set"]
    text = (sets / "out" / "measure.json").read_text()
    results = json.loads(text)
    schema = importlib.resources.files("synthface.report").joinpath("measure.schema.json").read_text()
    Draft202012Validator(json.loads(schema)).validate(results)
    assert results["side"] == 32
    assert set(ASKED) == {("synthetic", None), ("real", 32)}, "both sets at the resolution of the smaller"
    assert results["sets"]["beside"]["measured_identities"] == 12, "as many as there are synthetic ones"
    assert results["sets"]["beside"]["measured_images"] == 12 * 6, "as many of each as the synthetic set has"
    assert results["sets"]["beside"]["pool_identities"] == 20
    assert results["images"]["beside"]["diversity"]["identities"] == 20
    files = {path.name for path in (sets / "out").iterdir()}
    stems = ("det", "scores-first", "scores-second", "norms-first", "norms-second", "sharpness", "contrast")
    assert files == {"measure.json", "index.html"} | {f"{stem}.{kind}" for stem in stems for kind in ("svg", "png")}
    page = (sets / "out" / "index.html").read_text()
    for content in (text, page, table):
        assert "Jane" not in content
        assert str(sets) not in content
    assert "http" not in page.replace("http://www.w3.org/", "")


def test_the_same_question_again_and_another_one(sets: Path, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(sets) == 0
    first = capsys.readouterr().out
    before = {path.name: path.read_bytes() for path in (sets / "out").iterdir()}
    ASKED.clear()
    assert _run(sets) == 0
    assert capsys.readouterr().out == first
    assert not ASKED, "nothing is embedded a second time"
    assert _run(sets, "--r", "0.5") == 3
    assert "--out" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in (sets / "out").iterdir()}


def test_the_same_inputs_give_the_same_bytes(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthface.report.measure_page.png_drawing", lambda _: b"")
    for name in ("out", "again"):
        assert _run(sets, "--beside", str(sets / "real"), "--out", str(sets / name)) == 0
    for path in (sets / "out").iterdir():
        assert path.read_bytes() == (sets / "again" / path.name).read_bytes(), path.name


def test_alone_it_has_no_distances_and_no_threshold_of_an_unknown_recogniser(sets: Path, quick: None) -> None:
    assert _run(sets, "--recognizers", "mine", "--identities", "5") == 0
    results = json.loads((sets / "out" / "measure.json").read_text())
    figures = results["recognizers"]["mine"]
    assert results["sets"]["measured"]["measured_identities"] == 5
    assert figures["threshold"]["cosine"] is None
    assert "distances" not in figures
    assert "identities" not in figures["measured"]
    assert "is not known" in (sets / "out" / "index.html").read_text()


def test_a_pairs_list_may_spell_accents_otherwise_than_the_set(tmp_path: Path) -> None:
    with FaceSetWriter(tmp_path / "named", kind="real", record={"command": "test", "inputs": {}}) as writer:
        for path, person, source in (
            ("1", "Jos\u00e9", "Jose\u0301"),
            ("2", "Jose\u0301", "Jos\u00e9"),
            ("3", "Bo", "Bo"),
        ):
            image = np.zeros((16, 16, 3), np.uint8)
            writer.add(f"images/{path}.png", image, identity=person, source=f"x/{source}_000{path}.jpg")
        faces = writer.finish()
    (tmp_path / "pairs.txt").write_text("1\nJose\u0301 1 2\nBo 3 Jos\u00e9 2\n", encoding="utf-8")
    located = locate_pairs(tmp_path / "pairs.txt", faces, flag="--pairs")
    np.testing.assert_array_equal(located.rows, [[0, 1], [2, 1]])


def test_a_pairs_list_that_evaluate_reads(sets: Path, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    out = sets / "named"
    with FaceSetWriter(out, kind="real", record={"command": "test", "config": {}, "inputs": {}}) as writer:
        for k in range(40):
            for j in range(4):
                image = np.random.default_rng([k, j]).integers(0, 256, (16, 16, 3)).astype(np.uint8)
                writer.add(f"images/{k}/{j}.png", image, identity=f"p{k}", source=f"p{k}/p{k}_{j + 1:04d}.jpg")
        writer.finish()
    words = ["measure", str(out), "--out", str(sets / "m"), "--pairs-out", str(sets / "pairs.txt"), "--pairs-per-fold"]
    assert main([*words, "5", "--replicates", "100"]) == 0
    located = locate_pairs(sets / "pairs.txt", FaceSet.load(out), flag="--pairs")
    assert located.n_listed == len(located.rows) == 100
    assert main([*words[:-2], str(sets / "pairs.jsonl"), words[-1], "5", "--replicates", "100"]) == 0
    by_path = locate_pairs(sets / "pairs.jsonl", FaceSet.load(out), flag="--pairs")
    for name in ("rows", "same", "folds"):
        np.testing.assert_array_equal(getattr(by_path, name), getattr(located, name))
    line = '{"first": "images/0/0.png", "second": "images/1/0.png", "same": 1, "fold": 0}'
    (sets / "bad.jsonl").write_text(line)
    with pytest.raises(DataError, match=r"--pairs .*bad.jsonl, line 1: not"):
        locate_pairs(sets / "bad.jsonl", FaceSet.load(out), flag="--pairs")
    assert main([*words, "5", "--replicates", "100"]) == 0, "the same list again"
    assert main([*words, "4", "--replicates", "100"]) == 3
    capsys.readouterr()
    assert _run(sets, "--pairs-out", str(sets / "other.txt"), "--pairs-per-fold", "1") == 3
    assert "fold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--via-size", "40"], "--via-size 40"),
        (["--r", "1.5"], "--r"),
        (["--fmr", "0"], "--fmr"),
        (["--pairs", "10"], "--pairs"),
        (["--recognizers", "a", "a"], "--recognizers"),
        (["--beside", "made"], "--beside"),
        (["--beside", "single"], "--beside"),
    ],
)
def test_misuse_is_one_line(
    sets: Path, quick: None, words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(sets / "single", "real", people=5, images=1, size=32, prefix="Jane Doe ")
    assert _run(sets, *(str(sets / word) if word in ("made", "single") else word for word in words)) == 3
    error = capsys.readouterr().err.strip()
    assert named in error
    assert "\n" not in error
    assert not (sets / "out").exists()
