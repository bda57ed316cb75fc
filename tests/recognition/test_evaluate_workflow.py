"""evaluate: pairs are found by name, missing ones are counted, and the reference figures of real models come out."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch

from synthface.core.errors import ConfigError, DataError
from synthface.data import FaceSetWriter
from synthface.data.formats.verification_bin import write_verification_bin
from synthface.data.images import decode_image, encode_png, resize_image
from synthface.metrics.verification_summary import too_few_for
from synthface.recognition import load_recognizer
from synthface.recognition.weights import write_network
from synthface.workflows import evaluate
from synthface.workflows.evaluate import Options


def _write_pairs(path, *, folds=2, mated=4, extra_missing=0):
    lines = [f"{folds}\t{mated}"]
    for fold in range(folds):
        for k in range(mated):
            lines.append(f"P{k}\t1\t{2 + fold}" if k >= extra_missing else f"Nobody\t1\t{2 + fold}")
        lines += [f"P{k}\t1\tP{k + 1}\t{2 + fold}" for k in range(mated)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_only_what_pairs_cannot_show_is_remarked_on():
    assert len(too_few_for(99)) == 2
    without, few = too_few_for(999)
    assert without.startswith("an FMR of 1e-2 is 9 of 999 non-mated pairs")
    assert few.startswith("999 non-mated pairs are too few for an FMR of 1e-3 (1,000 are needed)")
    assert [text[:20] for text in too_few_for(9_999)] == ["an FMR of 1e-3 is 9 "]
    assert too_few_for(10_000) == []


def _options(faceset, weights_file, tmp_path, **changes):
    pairs = changes.pop("pairs", None) or _write_pairs(tmp_path / "pairs.txt")
    values = {"recognizer": [str(weights_file)], "out": tmp_path / "results", "replicates": 100} | changes
    return Options(faces=faceset.root, pairs=pairs, **values)


def test_results_hold_every_figure_and_come_from_the_right_images(make_faceset, weights_file, tmp_path, capsys):
    faces = make_faceset("faces")
    assert evaluate.run(_options(faces, weights_file, tmp_path)) == 0
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    for key in ("accuracy_mean", "tmr_at_fmr_1e-2", "tmr_at_fmr_1e-3", "eer", "auc"):
        low, high = results[f"{key}_interval"]
        assert 0 <= low <= high <= 1
    assert (results["n_pairs"], results["n_missing"]) == (16, 0)
    assert results["recognizers"]["tiny"]["eer"] == results["eer"]
    page = (tmp_path / "results" / "index.html").read_text()
    for remark, needed in zip(results["remarks"], ("(100 are needed)", "(1,000 are needed)"), strict=True):
        assert remark.startswith("8 non-mated pairs are too few for an FMR of 1e-")
        assert needed in remark
        assert remark in page
    scores = np.load(tmp_path / "results" / "scores.npz")["tiny"]
    recognizer = load_recognizer(weights_file)
    first, second = recognizer.embed(faces.read_images([0, 1], 32, 32))  # P0_0001 and P0_0002: the first pair
    assert scores[0] == pytest.approx(float(first @ second), abs=1e-6)
    names = {path.name for path in (tmp_path / "results").iterdir()}
    plots = {f"{name}.{kind}" for name in ("roc", "det", "scores-tiny") for kind in ("png", "svg")}
    assert names == plots | {"index.html", "results.json", "scores.npz"}
    page = (tmp_path / "results" / "index.html").read_text()
    assert page.count("<svg") == 3
    assert "src=" not in page
    assert "<script" not in page
    assert "tiny" in capsys.readouterr().out


def test_same_question_is_answered_from_the_folder_another_is_refused(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces")
    evaluate.run(_options(faces, weights_file, tmp_path))
    content = (tmp_path / "results" / "results.json").read_bytes()
    svg = (tmp_path / "results" / "det.svg").read_bytes()
    assert evaluate.run(_options(faces, weights_file, tmp_path)) == 0
    with pytest.raises(ConfigError, match="something else"):
        evaluate.run(_options(faces, weights_file, tmp_path, flip=True))
    (tmp_path / "results").rename(tmp_path / "before")
    evaluate.run(_options(faces, weights_file, tmp_path))
    assert (tmp_path / "results" / "results.json").read_bytes() == content
    assert (tmp_path / "results" / "det.svg").read_bytes() == svg


def test_a_pairs_file_that_is_not_there_is_named(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces")
    options = {"recognizer": [str(weights_file)], "out": tmp_path / "results", "pairs": tmp_path / "absent.txt"}
    with pytest.raises(DataError, match=r"--pairs .*absent\.txt does not exist"):
        evaluate.run(evaluate.Options(faces=faces.root, **options))


def test_missing_pairs_are_an_error_until_allowed_and_then_counted(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces")
    pairs = _write_pairs(tmp_path / "missing.txt", extra_missing=1)
    with pytest.raises(DataError, match="2 of 16 pairs"):
        evaluate.run(_options(faces, weights_file, tmp_path, pairs=pairs))
    evaluate.run(_options(faces, weights_file, tmp_path, pairs=pairs, allow_missing=True))
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert (results["n_pairs"], results["n_missing"]) == (14, 2)


def test_excluded_people_take_their_pairs_with_them(make_faceset, weights_file, tmp_path):
    faces, trained_on = make_faceset("faces"), make_faceset("trained", identities=1)
    evaluate.run(_options(faces, weights_file, tmp_path, exclude=trained_on.root))
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert (results["n_pairs"], results["n_excluded"]) == (12, 4)  # P0 is in 1 mated, 1 non-mated pair a fold


def test_two_recognisers_stand_side_by_side(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces")
    twin = weights_file.with_name("twin.safetensors")
    twin.write_bytes(weights_file.read_bytes())
    evaluate.run(_options(faces, weights_file, tmp_path, recognizer=[str(weights_file), str(twin)]))
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert "eer" not in results
    assert results["recognizers"]["tiny"] == results["recognizers"]["twin"]
    with pytest.raises(ConfigError, match="twice"):
        _options(faces, weights_file, tmp_path, recognizer=["a", "a"])
    (tmp_path / "other").mkdir()
    namesake = tmp_path / "other" / weights_file.name
    namesake.write_bytes(weights_file.read_bytes())
    with pytest.raises(ConfigError, match="one name"):
        evaluate.run(_options(faces, weights_file, tmp_path, recognizer=[str(weights_file), str(namesake)]))


@pytest.mark.shared
def test_published_figures_on_the_first_fold_of_lfw(shared, tmp_path):
    """All 6,000 pairs take two minutes; 600 of them show the same recognisers at work."""
    lines = (shared / "data/lfw/pairs.txt").read_text().splitlines()
    fold = [line.split("\t") for line in lines[1:601]]
    wanted = {(words[0], int(words[1])) for words in fold}
    wanted |= {(words[0], int(words[2])) if len(words) == 3 else (words[2], int(words[3])) for words in fold}
    stems = {f"{person}_{number:04d}" for person, number in wanted}
    faces = FaceSetWriter(tmp_path / "faces", kind="real", record={"command": "test"})
    with tarfile.open(shared / "data/lfw/lfw_aligned_112-00000.tar") as archive, faces:
        for member in archive:
            person, _, name = member.name.rpartition("/")
            if name.removesuffix(".jpg") in stems:
                image = decode_image(io.BytesIO(archive.extractfile(member).read()).getvalue())
                faces.add(f"images/{name}.png", image, identity=person, source=member.name)
        faces.finish()
    pairs = tmp_path / "fold.txt"
    pairs.write_text("\n".join(["300", *lines[1:601]]))
    options = Options(
        faces=tmp_path / "faces", pairs=pairs, recognizer=["mobilefacenet-ms1m"], out=tmp_path / "out", replicates=100
    )
    evaluate.run(options)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["n_missing"] == 0
    assert results["eer"] < 0.015
    assert results["tmr_at_fmr_1e-2"] > 0.98


def test_a_bin_set_is_judged_with_mirrored_images_too(weights_file, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    network = load_recognizer(weights_file).network
    for module in network.modules():  # without offsets embeddings lie further apart
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.zero_()
            torch.nn.init.zeros_(module.bias)
    write_network(weights_file, network, about={"made_by": "test"})
    rng = np.random.default_rng(0)
    people = [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(28, 0).repeat(28, 1) for _ in range(41)]
    pairs = [(k, k if k % 2 else k + 1, bool(k % 2)) for k in range(40)]
    with (tmp_path / "set.bin").open("wb") as stream:
        write_verification_bin(stream, ((encode_png(people[a]), encode_png(people[b]), same) for a, b, same in pairs))
    options = Options(
        pairs=tmp_path / "set.bin", recognizer=[str(weights_file)], out=tmp_path / "results", flip=True, replicates=100
    )
    assert evaluate.run(options) == 0
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert (results["n_pairs"], results["n_mated"], results["eer"]) == (40, 20, 0)
    seen = np.stack([resize_image(image, 32, 32) for image in people])
    unit = load_recognizer(weights_file).embed(seen, flip=True)
    expected = [float(unit[a] @ unit[b]) for a, b, _ in pairs]
    np.testing.assert_allclose(np.load(tmp_path / "results" / "scores.npz")["tiny"], expected, atol=1e-5)
    plain = load_recognizer(weights_file).embed(seen)
    assert max(abs(float(plain[a] @ plain[b]) - score) for (a, b, _), score in zip(pairs, expected, strict=True)) > 1e-3


@pytest.mark.parametrize("name", ["same", "file"])
def test_a_name_that_the_scores_file_needs_itself_is_refused(make_faceset, weights_file, tmp_path, name):
    renamed = tmp_path / f"{name}.safetensors"
    renamed.write_bytes(weights_file.read_bytes())
    with pytest.raises(ConfigError, match=f"something else by the name {name}"):
        evaluate.run(_options(make_faceset("faces"), renamed, tmp_path))
    assert not (tmp_path / "results").exists()
