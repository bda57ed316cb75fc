"""New people: kept only if no training class and no earlier person looks like them to the recogniser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import synthface.recognition
from gan.config import NetworkConfig
from gan.networks.generator import Generator
from gan.sampling.images import ImageRequest, draw_images
from gan.weights import load_generator, save_generator
from synthface.core.errors import ConfigError, DataError
from synthface.data import FaceSet
from synthface.models import THRESHOLDS, shipped_model
from synthface.recognition.catalogue import CATALOGUE, find_weights
from synthface.workflows import generate
from synthface.workflows.generating import new_people, real_thresholds
from synthface.workflows.generating.new_people import DistinctConfig
from synthface.workflows.generating.real_thresholds import measured_thresholds, shipped_threshold

THRESHOLD = 0.55


class ColourRecognizer:
    """Embeds the mean colours of an image's quarters, centred: enough to tell drawn classes apart."""

    name, sha256, embedding_dim, side = "colours", "c" * 64, 12, 16

    def to(self, device: Any) -> "ColourRecognizer":
        return self

    def embed(self, images: np.ndarray) -> np.ndarray:
        halves = images.reshape(len(images), 2, 8, 2, 8, 3).mean(axis=(2, 4)).reshape(len(images), -1)
        centred = halves - halves.mean(axis=1, keepdims=True)
        return (centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "generator.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        G = Generator(NetworkConfig(resolution=16, z_dim=2, w_dim=32, channel_base=128, channel_max=16), 8)
    save_generator(G, path, info={"trained_on_manifest_sha256": "0" * 64})
    return path


@pytest.fixture(autouse=True)
def _colours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(synthface.recognition, "load_recognizer", lambda name: ColourRecognizer())
    monkeypatch.setattr(real_thresholds, "shipped_threshold", lambda *_, **__: THRESHOLD)


def _generate(model: Path, out: Path, **options: Any) -> FaceSet:
    settings: dict[str, Any] = {"identities": "mixed", "classes": "0-3", "per_class": 2, **options}
    generate.run(generate.Options(generator=model, out=out, **settings))
    return FaceSet.load(out)


def _template(model: Path, name: str, code: dict[int, float], seed: int) -> np.ndarray:
    from synthface.core.seeds import derive_seed

    requests = [ImageRequest(derive_seed(seed, "template", name, j), code) for j in range(8)]
    images = np.stack([image for _, image in draw_images(load_generator(model), requests)])
    mean = ColourRecognizer().embed(images).mean(axis=0)
    return mean / np.linalg.norm(mean)


def test_the_people_kept_are_distinct_and_no_training_class(model: Path, tmp_path: Path) -> None:
    from synthface.core.seeds import derive_seed

    faces = _generate(model, tmp_path / "set")
    numbers = [int(name.removeprefix("mixed-")) for name in faces.identities]
    codes = {r.identity: dict(zip(r.code["classes"], r.code["weights"], strict=True)) for r in faces.records if r.code}
    seed = derive_seed(0, "mixed")
    people = [
        _template(model, f"candidate {number}", codes[name], seed)
        for number, name in zip(numbers, faces.identities, strict=True)
    ]
    trained = [_template(model, f"class {k}", {k: 1.0}, 0) for k in range(8)]
    for i, person in enumerate(people):
        assert all(person @ other < THRESHOLD for other in [*people[:i], *trained])
    facts = json.loads((tmp_path / "set" / "faceset.json").read_text())["new_people"]
    assert facts["people"] == len(numbers) == 4
    assert facts["rejected_candidates"] == max(numbers) - 3 > 0


def test_a_person_does_not_depend_on_how_many_are_asked_for(model: Path, tmp_path: Path) -> None:
    many, few = _generate(model, tmp_path / "many"), _generate(model, tmp_path / "few", classes="2,0", per_class=1)
    by_path = {record.path: record for record in many.records}
    assert len(few) == 2
    assert all(by_path[record.path] == record for record in few.records)
    assert set(few.identities) == {many.identities[0], many.identities[2]}


def test_unfiltered_candidates_are_the_same_faces(model: Path, tmp_path: Path) -> None:
    kept = _generate(model, tmp_path / "kept")
    last = int(kept.identities[-1].removeprefix("mixed-"))
    every = _generate(model, tmp_path / "all", classes=f"0-{last}", distinct=DistinctConfig(fmr=0))
    assert len(every.identities) == last + 1 > len(kept.identities)
    by_path = {record.path: record for record in every.records}
    assert all(by_path[record.path] == record for record in kept.records)
    assert "new_people" not in every.info


def test_too_few_people_are_an_error_that_says_what_to_do(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_thresholds, "shipped_threshold", lambda *_, **__: -0.5)
    with pytest.raises(ConfigError, match=r"only 0 of the 4 people .* --distinct\.fmr 0"):
        _generate(model, tmp_path / "set", distinct=DistinctConfig(patience=20))
    assert not (tmp_path / "set").exists()


class _OnDevice:
    """A tensor as it comes back from a process group of CUDA devices: numpy cannot see it there."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def cpu(self) -> torch.Tensor:
        return self.tensor

    def numpy(self) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def __int__(self) -> int:
        return int(self.tensor)


class _TwoProcesses:
    """The first of two processes; the other one fills the rows that this one leaves at zero."""

    device, global_rank, world_size, is_global_zero = torch.device("cpu"), 0, 2, False

    def all_reduce(self, tensor: torch.Tensor, reduce_op: str) -> _OnDevice:
        assert reduce_op == "sum"
        return _OnDevice(tensor + tensor.roll(1, 0) if tensor.ndim else tensor * 2)


def test_templates_come_back_from_the_device_that_summed_them(model: Path) -> None:
    finder = new_people.NewPeople(
        load_generator(model),
        "a" * 64,
        DistinctConfig(images=2),
        code=lambda index: {index: 1.0},
        draw={"psi": 1.0, "noise_mode": "const"},
        seed=0,
        fabric=_TwoProcesses(),
    )
    recognizer: Any = ColourRecognizer()
    templates = finder._templates(recognizer, {f"class {k}": {k: 1.0} for k in range(4)}, 0)
    assert templates.shape == (4, 12)
    np.testing.assert_array_equal(templates[::2], templates[1::2])
    assert np.abs(templates).max() > 0
    assert finder._trained_templates(recognizer).shape == (8, 12)


def test_training_classes_are_drawn_once(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _generate(model, tmp_path / "first")
    names: list[str] = []
    original = new_people.NewPeople._templates

    def watched(self: Any, recognizer: Any, codes: Any, seed: int) -> Any:
        names.extend(codes)
        return original(self, recognizer, codes, seed)

    monkeypatch.setattr(new_people.NewPeople, "_templates", watched)
    second = _generate(model, tmp_path / "second", per_class=3)
    assert names
    assert not any(name.startswith("class") for name in names)
    assert second.identities == FaceSet.load(tmp_path / "first").identities


def test_sampled_people_need_classes_enough(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sampled needs 32 training classes; the generator has 8"):
        _generate(model, tmp_path / "set", identities="sampled")


def test_the_shipped_table_knows_the_recognisers_by_name() -> None:
    table = json.loads(shipped_model(THRESHOLDS).read_text())["recognizers"]
    assert find_weights("synthface-small").sha256 in table  # measure again after training another one
    assert {entry.sha256 for entry in CATALOGUE.values() if entry.sha256} <= set(table)
    for entry in table.values():
        for thresholds in entry["thresholds"].values():
            values = [thresholds[rate] for rate in sorted(thresholds, key=float)]
            assert values == sorted(values, reverse=True)


def test_thresholds_between_the_tabulated_rates() -> None:
    name = "synthface-small"
    digest = find_weights(name).sha256
    at = {fmr: shipped_threshold(name, digest, fmr, side=64) for fmr in (1e-2, 1e-3, 10**-2.5)}
    assert at[10**-2.5] == pytest.approx((at[1e-2] + at[1e-3]) / 2)
    assert shipped_threshold(name, digest, 1e-3, side=61) == at[1e-3]
    with pytest.raises(ConfigError, match="known from 1e-05 to 1e-02"):
        shipped_threshold(name, digest, 0.5, side=64)
    with pytest.raises(ConfigError, match=r"--distinct\.calibrate"):
        shipped_threshold("other", "0" * 64, 1e-3, side=64)


def test_a_rate_that_the_people_cannot_show_is_refused(tiny_faceset: Path) -> None:
    faces = FaceSet.load(tiny_faceset)
    with pytest.raises(DataError, match=r"4 people, 6 pairs: too few .* 143 are needed"):
        measured_thresholds(faces, "synthface-small", [1e-3], via_size=None)
