import importlib.util
import io
import tarfile

import numpy as np
import pytest
import torch
from drawn_face import add_face, draw_face, landmarks_of
from PIL import Image

from synthface.core.errors import ConfigError, DataError
from synthface.data.alignment import TEMPLATE, align_face, similarity
from synthface.data.detection.cropper import crop_detected
from synthface.data.detection.mtcnn import DetectorConfig, FaceDetector
from synthface.data.images import decode_image

if importlib.util.find_spec("mtcnn") is None:
    pytest.skip("the detect extra is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def detector():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield FaceDetector()
    torch.set_num_threads(n_threads)


def pixels(**options):
    return np.asarray(draw_face(**options))


@pytest.mark.parametrize(
    ("width", "height", "centre", "radius"),
    [(250, 250, (125, 125), 50), (250, 250, (70, 160), 40), (400, 260, (290, 110), 60), (1600, 1300, (900, 500), 300)],
)
def test_a_drawn_face_is_found_where_it_was_drawn(detector, width, height, centre, radius):
    found = detector.detect([pixels(width=width, height=height, centre=centre, radius=radius)])[0]
    assert len(found) == 1
    assert found.scores[0] > 0.9
    error = np.abs(found.landmarks[0] - landmarks_of(centre, radius)) / radius
    assert error.max() < 0.15  # the eyes are 0.76 apart: a swap of axes or of points cannot pass
    left, top, right, bottom = found.boxes[0]
    assert left < centre[0] < right
    assert top < centre[1] < bottom


def test_all_faces_of_all_photos_are_found_each_in_its_own(detector):
    two = draw_face(width=500, centre=(120, 125), radius=45)
    add_face(two, (370, 125), 60)
    empty = np.full((100, 300, 3), 128, np.uint8)
    photos = [empty, np.asarray(two), pixels(), np.zeros((16, 16, 3), np.uint8), np.zeros((20, 900, 3), np.uint8)]
    found = detector.detect(photos)
    assert [len(faces) for faces in found] == [0, 2, 1, 0, 0]
    assert sorted(found[1].landmarks[:, 2, 0].round(-1).tolist()) == [120, 370]
    assert detector.detect([]) == []


def test_company_in_the_batch_does_not_move_a_face(detector):
    photo = pixels()
    alone = detector.detect([photo])[0]
    among = detector.detect([pixels(radius=35), photo, pixels(width=300), photo])
    for faces in (among[1], among[3]):
        np.testing.assert_allclose(faces.landmarks, alone.landmarks, atol=1e-3)


def test_the_smallest_face_looked_for_is_a_choice(detector):
    small = [pixels(width=600, height=600, centre=(300, 300), radius=22)]
    assert len(FaceDetector(DetectorConfig(min_face=0.05)).detect(small)[0]) == 1
    assert len(FaceDetector(DetectorConfig(min_face=0.4)).detect(small)[0]) == 0
    with pytest.raises(ConfigError, match="--min-face 2"):
        DetectorConfig(min_face=2)
    with pytest.raises(ConfigError, match="below 12"):
        DetectorConfig(min_face_pixels=5)


def test_the_crop_can_be_made_again_from_what_is_noted(detector):
    photo = pixels(centre=(110, 130))
    crop, none = crop_detected(detector, [photo, np.zeros((64, 64, 3), np.uint8)])
    assert isinstance(none, DataError)
    assert str(none) == "no face found"
    np.testing.assert_array_equal(crop.image, align_face(photo, np.array(crop.landmarks)))
    matrix = similarity(np.array(crop.landmarks), TEMPLATE)
    drawn = landmarks_of((110, 130)) @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(drawn - TEMPLATE).max() < 10
    assert (crop.alignment, 0.9 < crop.quality <= 1) == ("arcface", True)


def first_photos(path, n, step):
    photos = {}
    with tarfile.open(path) as archive:
        for index, member in enumerate(archive):
            if index % step == 0:
                photos[member.name] = decode_image(archive.extractfile(member).read())
            if len(photos) == n:
                break
    return photos


@pytest.mark.shared
def test_real_faces_are_found_and_agree_with_another_alignment(shared, detector):
    photos = first_photos(shared / "data/lfw/lfw_deepfunneled_250-00000.tar", 150, 5)
    crops = crop_detected(detector, list(photos.values()))
    assert sum(isinstance(crop, DataError) for crop in crops) == 0
    reference = first_photos(shared / "data/lfw/lfw_aligned_112-00000.tar", 900, 1)
    differences, shifts = [], []
    for name, crop in zip(photos, crops, strict=True):
        if name in reference:
            ours, theirs = (x.astype(float).mean(axis=2) for x in (crop.image, reference[name]))
            differences.append(np.abs(crop.image.astype(float) - reference[name]).mean())
            down, right = np.gradient(ours)
            inner = np.s_[20:100, 20:100]
            design = np.column_stack([right[inner].ravel(), down[inner].ravel()])
            shifts.append(np.linalg.lstsq(design, (theirs - ours)[inner].ravel(), rcond=None)[0])
    assert len(differences) >= 60
    assert np.mean(differences) < 10  # of 255; another crop of the same people differs by 40 and more
    assert np.abs(np.median(shifts, axis=0)).max() < 0.25  # pixels


@pytest.mark.shared
def test_a_real_photo_is_the_same_turned_grey_or_cmyk(shared, detector):
    photo = next(iter(first_photos(shared / "data/lfw/lfw_deepfunneled_250-00000.tar", 1, 1).values()))
    plain = crop_detected(detector, [photo])[0]
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(photo))).save(turned, "PNG", exif=exif)
    grey, cmyk = io.BytesIO(), io.BytesIO()
    Image.fromarray(photo).convert("L").save(grey, "PNG")
    Image.fromarray(photo).convert("CMYK").save(cmyk, "JPEG", quality=95)
    crops = crop_detected(detector, [decode_image(stream.getvalue()) for stream in (turned, grey, cmyk)])
    np.testing.assert_array_equal(crops[0].image, plain.image)
    for crop in crops[1:]:
        assert np.abs(np.array(crop.landmarks) - plain.landmarks).max() < 3
