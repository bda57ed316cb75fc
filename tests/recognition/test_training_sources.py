"""What train-recognizer is given: mixtures with shares, and formats read as they are."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from synthface.core.errors import ConfigError
from synthface.recognition.training.batches import MixedBatches
from synthface.recognition.training.config import TrainingConfig
from synthface.recognition.training.trainer import Trainer, TrainingData
from synthface.workflows import convert, train_recognizer
from synthface.workflows.train_recognizer import Options
from synthface.workflows.training_recognizers.sources import open_training_set, parts_of, together

TINY = {"input_size": 32, "width": 0.125, "embedding_dim": 16, "batch": 16, "augment": "flip", "epochs": 2, "lr": 0.05}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))


def test_each_set_has_its_share_of_every_epoch():
    parts = np.repeat([0, 1], [900, 100])
    batches = MixedBatches(parts, (0.6, 0.4), 50, seed=1)
    assert (batches.size, batches.steps_per_epoch) == (50, 20)
    epochs = []
    for epoch in range(2):
        steps = [batches.images(epoch, step) for step in range(20)]
        order = np.concatenate(steps)
        epochs.append(order)
        counts = np.bincount(order, minlength=1000)
        assert counts[:900].sum() == 600
        assert counts[:900].max() == 1
        assert set(counts[900:]) == {4}  # a hundred images four times each
        assert abs(np.mean(parts[steps[0]]) - 0.4) < 0.25  # shuffled through each other
        again = MixedBatches(parts, (3, 2), 50, seed=1)
        mine = again.slots(rank=1, world_size=2)
        np.testing.assert_array_equal(again.images(epoch, 7)[mine], steps[7][1::2])
    assert len(set(epochs[0]) & set(epochs[1])) < 600  # other images of the large set
    with pytest.raises(ConfigError, match="--shares"):
        MixedBatches(parts, (0.6, 0.4, 0.1), 50, seed=1)


def test_sets_together_keep_their_people_apart(make_faceset):
    sets = [make_faceset("a", identities=3), make_faceset("b", identities=2, per_identity=5)]
    mixed = together(sets)
    assert (len(mixed), len(mixed.identities)) == (3 * 8 + 2 * 5, 5)
    assert np.bincount(parts_of(mixed)).tolist() == [24, 10]
    row = next(row for row, record in enumerate(mixed.records) if record.identity == "1/P1")
    source = next(
        k for k, record in enumerate(sets[1].records) if record.path == mixed.records[row].path.replace("/1/", "/")
    )
    np.testing.assert_array_equal(mixed.read_image(row), sets[1].read_image(source))
    assert together(sets).root == mixed.root
    assert together(sets[:1]) is sets[0]


def test_a_mixture_trains_and_its_people_are_checked(make_faceset, tmp_path):
    sets = [make_faceset("a", identities=3), make_faceset("b", identities=4, prefix="Q")]
    options = Options(faces=sets[0].root, also=[sets[1].root], shares=[0.5, 0.5], out=tmp_path / "run", **TINY)
    assert train_recognizer.run(options) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())["made_by"]
    assert record["config"]["shares"] == [0.5, 0.5]
    from synthface.core.errors import DataError

    with pytest.raises(DataError, match="shares 4 identities"):
        train_recognizer.run(
            Options(faces=sets[0].root, also=[sets[1].root], validate=sets[1].root, out=tmp_path / "no", **TINY)
        )
    with pytest.raises(ConfigError, match="draws its batches by identity"):
        train_recognizer.run(
            Options(
                faces=sets[0].root,
                also=[sets[1].root],
                shares=[1, 1],
                loss="triplet-batchhard",
                out=tmp_path / "no",
                **TINY,
            )
        )
    with pytest.raises(ConfigError, match="--shares"):
        Options(faces=sets[0].root, shares=[1.0], out=tmp_path / "no")


@pytest.mark.parametrize("form", ["recordio", "folders"])
def test_other_formats_are_trained_on_as_they_are(make_faceset, tmp_path, form):
    faces = make_faceset("faces")
    convert.run(convert.Options(source=faces.root, to=form, out=tmp_path / form))
    opened = open_training_set(tmp_path / form, flag="--faces")
    assert len(opened) == len(faces)
    assert len(opened.identities) == len(faces.identities)
    assert open_training_set(tmp_path / form, flag="--faces").root == opened.root
    for name, source in (("direct", tmp_path / form), ("faceset", opened.root)):
        train_recognizer.run(Options(faces=source, out=tmp_path / name, **TINY | {"epochs": 1}))
    weights = [(tmp_path / name / "recognizer.safetensors").read_bytes() for name in ("direct", "faceset")]
    assert weights[0] == weights[1]


class _Recorder(torch.nn.Module):
    """A student that learns nothing and keeps the images it is shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.network = torch.nn.Identity()
        self.head, self.shown = None, []

    def forward(self, images, labels, teacher, attributes=None):
        self.shown.append(images)
        loss = self.weight.sum()
        return loss, loss, loss


def test_an_image_shown_again_in_an_epoch_is_changed_anew():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    parts = np.repeat([0, 1], [10, 2])  # with equal shares, the last two are shown three times each
    data = TrainingData(pixels, np.arange(12), parts=parts)
    config = TrainingConfig(epochs=1, batch=4, augment="strong", shares=(1, 1))
    shown = {}
    for world_size in (1, 2):
        for rank in range(world_size):
            setup = {"setup": lambda *modules: modules, "backward": torch.Tensor.backward, "broadcast": lambda x: x}
            fabric = SimpleNamespace(world_size=world_size, global_rank=rank, device="cpu", **setup)
            student = _Recorder()
            assert len(list(Trainer(fabric, student, data, config).run_epoch())) == 3
            shown[world_size, rank] = torch.stack(student.shown)
    alone = shown[1, 0].flatten(0, 1)
    assert len(torch.unique(alone.flatten(1), dim=0)) == 12
    assert len(set(MixedBatches(parts, (1, 1), 4, seed=0).order(0))) < 12
    together_shown = torch.stack([shown[2, 0], shown[2, 1]], dim=2).flatten(0, 2)
    torch.testing.assert_close(together_shown, alone)
