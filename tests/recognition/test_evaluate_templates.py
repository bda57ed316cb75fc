"""evaluate without a pairs file: pairs and templates drawn by person; quality-aware scores fitted on other people."""

import json

import numpy as np
import pytest

from synthface.core.errors import ConfigError, DataError
from synthface.metrics.quality_aware import QualityWeight
from synthface.recognition import load_recognizer
from synthface.workflows import evaluate
from synthface.workflows.evaluate import Options
from synthface.workflows.evaluating.pair_list import drawn_pairs


def _options(faceset, weights_file, tmp_path, **changes):
    values = {"recognizer": [str(weights_file)], "out": tmp_path / "results", "replicates": 100, "draw": 1} | changes
    return Options(faces=faceset.root, **values)


def test_templates_hold_each_image_once_and_nobody_is_in_two_folds(make_faceset):
    faces = make_faceset("faces", identities=41, per_identity=7)
    pairs = drawn_pairs(faces, {"P3"}, per_fold=2, template_size=3, seed=0)
    images = np.concatenate(pairs.templates)
    assert len(set(images.tolist())) == len(images) == 40 * 7
    assert sorted({len(template) for template in pairs.templates}) == [1, 3]
    for template in pairs.templates:
        assert len({faces.records[row].identity for row in template}) == 1
    for (first, second), same, names in zip(pairs.rows, pairs.same, pairs.identities, strict=True):
        shown = [faces.records[pairs.templates[k][0]].identity for k in (first, second)]
        assert shown == names.tolist()
        assert (shown[0] == shown[1]) == same
        assert "P3" not in shown
    of_fold = [set(pairs.identities[pairs.folds == fold].ravel()) for fold in range(10)]
    assert sum(map(len, of_fold)) == len(set().union(*of_fold))


def test_template_scores_are_cosines_of_mean_directions(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces", identities=20)
    assert evaluate.run(_options(faces, weights_file, tmp_path, templates=3)) == 0
    found = np.load(tmp_path / "results" / "scores.npz")
    pairs = drawn_pairs(faces, set(), per_fold=1, template_size=3, seed=0)
    unit = load_recognizer(weights_file).embed(faces.read_images(range(len(faces)), 32, 32))
    a, b = (unit[pairs.templates[k]].mean(axis=0) for k in found["rows"][0])
    assert found["tiny"][0] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
    assert "of templates, up to 3 images each" in (tmp_path / "results" / "index.html").read_text()


@pytest.mark.parametrize("scores", ["quality-aware", "quality-linear"])
def test_quality_aware_scores_are_the_fitted_formula(make_faceset, weights_file, tmp_path, scores):
    faces, others = make_faceset("faces", identities=20), make_faceset("others", identities=30, prefix="Q")
    options = {"scores": scores, "fit": others.root}
    assert evaluate.run(_options(faces, weights_file, tmp_path, **options)) == 0
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    weight = QualityWeight(**results["recognizers"]["tiny"]["quality_weight"])
    found = np.load(tmp_path / "results" / "scores.npz")
    unit, norms = load_recognizer(weights_file).embed_with_norms(faces.read_images(range(len(faces)), 32, 32))
    first, second = found["rows"].T
    cosines, quality = (unit[first] * unit[second]).sum(axis=1), np.minimum(norms[first], norms[second])
    omega = weight.beta * cosines - weight.alpha
    expected = cosines + (np.minimum(0, omega) if scores == "quality-aware" else omega) * quality
    np.testing.assert_allclose(found["tiny"], expected, atol=1e-5)
    assert results["made_by"]["inputs"]["fit"] == others.manifest_sha256
    assert f"{scores}, fitted" in (tmp_path / "results" / "index.html").read_text()
    with pytest.raises(DataError, match="of the people compared"):
        evaluate.run(
            _options(faces, weights_file, tmp_path, scores="quality-aware", fit=faces.root, out=tmp_path / "no")
        )


def test_flags_that_do_not_go_together_are_named(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces")
    with pytest.raises(ConfigError, match="quality-aware needs a --fit"):
        _options(faces, weights_file, tmp_path, scores="quality-aware")
    with pytest.raises(ConfigError, match="cosine takes no --fit"):
        _options(faces, weights_file, tmp_path, fit=faces.root)
    with pytest.raises(ConfigError, match="lists single images"):
        _options(faces, weights_file, tmp_path, pairs=tmp_path / "pairs.txt", templates=2)
    with pytest.raises(ConfigError, match="images to draw pairs from"):
        Options(recognizer=["x"], out=tmp_path / "results")


def test_too_many_pairs_are_refused_by_the_flag_that_asks_for_them(make_faceset):
    faces = make_faceset("faces", identities=20, per_identity=3)
    with pytest.raises(DataError, match=r"--draw 1000: fold 1 of 10 has .* ask for 6, the most"):
        drawn_pairs(faces, set(), per_fold=1000, template_size=1, seed=0)
