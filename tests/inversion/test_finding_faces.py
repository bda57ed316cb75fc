"""What another system makes of the images: faces found and aligned anew, and failures that count as such."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_face import draw_face, landmarks_of

from inversion.scoring.scores import Bench, Gallery
from synthface.core.errors import WeightsError
from synthface.data.alignment import align_face
from synthface.workflows.inverting.finding import FaceFinder
from synthface.workflows.inverting.grading import Grader, view_realigned

needs_detector = pytest.mark.skipif(
    importlib.util.find_spec("mtcnn") is None, reason="the detect extra is not installed"
)


def drawn(*, degrees: float = 0.0, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A drawn face cropped to 112 pixels as if its landmarks were turned and moved, so that it stands askew."""
    centre = (125.0, 125.0)
    points = landmarks_of(centre, 50.0) - centre
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return align_face(np.asarray(draw_face()), points @ turn.T + centre + shift)


def away(first: np.ndarray, second: np.ndarray) -> float:
    inner = np.s_[24:88, 24:88]
    return float(np.abs(first[inner].astype(float) - second[inner]).mean())


@needs_detector
def test_a_face_that_stands_askew_is_set_straight_and_noise_has_none() -> None:
    finder = FaceFinder("cpu")
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    straight, askew = drawn(), drawn(degrees=15, shift=(6, -4))
    images = np.stack([straight, noise, askew])
    faces, found = finder.realign(images)
    assert found.tolist() == [True, False, True]
    assert faces.shape == (2, 112, 112, 3)
    assert away(faces[1], faces[0]) < away(askew, straight) / 1.5  # drawings are found less exactly than faces
    assert finder.hit_rate(iter([images[:1], images[1:]])) == {
        "rate": 2 / 3,
        "interval": pytest.approx([0.2077, 0.9385], abs=1e-3),  # Wilson, 2 of 3
        "n": 3,
    }
    nothing, flags = finder.realign(noise[None])
    assert nothing.shape == (0, 112, 112, 3)
    assert not flags.any()


def test_without_weights_nothing_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def missing() -> None:
        raise WeightsError("no weights here")

    monkeypatch.setattr("synthface.data.detection.mtcnn.load_cascade", missing)
    finder = FaceFinder("cpu")
    assert "no weights here" in caplog.text
    assert finder.hit_rate([np.zeros((1, 112, 112, 3), np.uint8)]) is None
    assert view_realigned([], finder, [], 0) is None


class _Finder:
    """Finds a face wherever the first pixel is not black, and moves it: the last row of pixels comes first."""

    knows = True

    def realign(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = images[:, 0, 0, 0] > 0
        return np.roll(images[found], 1, axis=1), found


class _Recognizer:
    """Embeds an image as its first row of pixels."""

    def __init__(self, name: str) -> None:
        self.name = name

    def embed(self, images: np.ndarray) -> np.ndarray:
        assert len(images)  # a block without faces must not come this far
        rows = images[:, 0, :, 0].astype(np.float32) - 127.5
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_images_without_a_face_fail_and_count_as_cosines_of_zero() -> None:
    generator = np.random.default_rng(0)
    photos = generator.integers(1, 256, (80, 2, 16, 3), dtype=np.uint8)  # two photos each of forty people
    photos[1::2] = np.clip(photos[::2].astype(int) + generator.integers(-20, 21, photos[::2].shape), 1, 255)
    identities = np.array([f"P{k // 2:02d}" for k in range(80)])
    sources = np.arange(0, 20, 2)
    judge = _Recognizer("judge")
    gallery = Gallery(judge.embed(photos), identities)
    bench = Bench(gallery.vectors[sources], identities[sources], gallery, sources)
    graders = [Grader(SimpleNamespace(name="own", embed=judge.embed), bench), Grader(judge, bench)]

    images = np.roll(photos[sources], -1, axis=1)  # what the detector finds are the very photos behind the targets
    images[:, 0, 0, 0] = 200
    hidden = np.array([0, 1, 2, 6])  # the first block of three shows no face at all
    images[hidden, 0, 0, 0] = 0
    view = view_realigned(graders, _Finder(), (images[k : k + 3] for k in range(0, 10, 3)), 0)
    assert view is not None
    assert view["faces_found"]["rate"] == 0.6
    assert view["faces_found"]["n"] == 10
    assert set(view["judges"]) == {"judge"}
    for scores in (view["same_model"], view["judges"]["judge"]):
        assert scores["cosine_mean"] == pytest.approx(0.6, abs=1e-6)
        assert scores["sar_type1_at_fmr_1e-3"] == pytest.approx(0.6)
        assert scores["counts"]["sar_type1_at_fmr_1e-3"] == scores["counts"]["cosine_mean"] == 10
        others = [gallery.vectors[row] @ gallery.vectors[row + 1] for row in np.delete(sources, hidden)]
        accepted = np.array(others) >= gallery.thresholds["1e-3"].value
        assert accepted.any()
        assert scores["sar_type2_at_fmr_1e-3"] == pytest.approx(accepted.sum() / 10)
        assert scores["cosine_other_photos"] == pytest.approx(np.sum(others) / 10, abs=1e-6)
        assert scores["rank1"] == pytest.approx(0.6)
        assert scores["counts"]["rank1"] == 10


@needs_detector
@pytest.mark.shared
def test_real_photos_come_through_realignment_nearly_unchanged(shared: Path) -> None:
    import tarfile

    from synthface.data.images import decode_image
    from synthface.recognition import load_recognizer

    with tarfile.open(shared / "data/lfw/lfw_aligned_112-00000.tar") as tar:
        members = [member for member in tar if member.isfile()][:240:10]
        photos = np.stack([decode_image(tar.extractfile(member).read()) for member in members])
    faces, found = FaceFinder("cpu").realign(photos)
    assert found.all()
    recognizer = load_recognizer("mobilefacenet-casia")
    before, after = recognizer.embed(photos), recognizer.embed(faces)
    cosines = (before * after).sum(1)
    assert cosines.mean() > 0.95
    assert cosines.min() > 0.8
    shifted = recognizer.embed(np.roll(photos, 12, axis=1))  # which is what realigning mends
    assert (before * shifted).sum(1).mean() < cosines.mean() - 0.1
