import numpy as np
import pytest

from synthface.data.detection.boxes import shift, square, suppress
from synthface.data.detection.mtcnn import Faces
from synthface.data.detection.subject import choose_subject

RNG = np.random.default_rng(0)


def naive_suppress(boxes, scores, threshold, over):
    left = sorted(range(len(boxes)), key=lambda k: -scores[k])
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        survivors = []
        for k in left:
            a, b = boxes[best], boxes[k]
            width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
            height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
            area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
            whole = area_a + area_b - width * height if over == "union" else min(area_a, area_b)
            if width * height / whole <= threshold:
                survivors.append(k)
        left = survivors
    return kept


@pytest.mark.parametrize("over", ["union", "smaller"])
def test_suppression_equals_the_slow_version(over):
    for _ in range(30):
        corner = RNG.uniform(0, 50, (40, 2))
        boxes = np.concatenate([corner, corner + RNG.uniform(5, 40, (40, 2))], axis=1)
        scores = RNG.integers(0, 8, 40) / 8  # with ties
        assert suppress(boxes, scores, 0.4, over=over).tolist() == naive_suppress(boxes, scores, 0.4, over)
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []


def test_offsets_are_in_units_of_the_box():
    np.testing.assert_allclose(
        shift(np.array([[10.0, 20, 30, 60]]), np.array([[0.1, 0.1, -0.5, 0.25]])), [[12, 24, 20, 70]]
    )


def test_squares_keep_the_centre_and_the_longer_side():
    boxes = RNG.uniform(0, 100, (50, 2))
    boxes = np.concatenate([boxes, boxes + RNG.uniform(1, 60, (50, 2))], axis=1)
    squares = square(boxes)
    sides = squares[:, 2:] - squares[:, :2]
    np.testing.assert_array_equal(sides[:, 0], sides[:, 1])
    np.testing.assert_array_equal(squares, squares.round())
    assert np.abs(sides[:, 0] - (boxes[:, 2:] - boxes[:, :2]).max(axis=1)).max() <= 0.5
    assert np.abs(squares[:, :2] + squares[:, 2:] - boxes[:, :2] - boxes[:, 2:]).max() <= 2


def faces(*boxes):
    return Faces(np.array(boxes, float), np.ones(len(boxes)), np.zeros((len(boxes), 5, 2)))


def test_the_subject_is_central_unless_it_is_much_smaller():
    middle, edge_larger, edge_huge = [90, 90, 160, 160], [0, 80, 90, 170], [0, 0, 240, 240]
    assert choose_subject(faces(edge_larger, middle), 250, 250) == 1
    assert choose_subject(faces(edge_larger, middle), 250, 250, "largest") == 0
    assert choose_subject(faces(middle, edge_huge), 250, 250) == 1
    assert choose_subject(faces(middle), 250, 250) == 0
