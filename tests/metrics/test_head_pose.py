"""Head pose: heads turned by known angles, seen from far away."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthface.metrics.head_pose import FACE_MODEL, head_pose, rotation


def seen(yaw: float, pitch: float, roll: float, scale: float = 0.5) -> np.ndarray:
    return scale * (FACE_MODEL @ rotation(yaw, pitch, roll).T)[:, :2] + [56, 60]


@given(st.floats(-80, 80), st.floats(-60, 60), st.floats(-170, 170), st.floats(0.05, 20))
def test_known_angles_come_back(yaw: float, pitch: float, roll: float, scale: float) -> None:
    pose = head_pose(seen(yaw, pitch, roll, scale)[None])
    assert [pose.yaw[0], pose.pitch[0], pose.roll[0]] == pytest.approx([yaw, pitch, roll], abs=1e-6)
    assert pose.residual[0] == pytest.approx(0, abs=1e-9)


def test_signs_are_those_that_the_words_say() -> None:
    front = seen(0, 0, 0)
    right, down, clockwise = seen(30, 0, 0), seen(0, 30, 0), seen(0, 0, 30)
    middle = (front[0] + front[1]) / 2
    assert right[2, 0] > middle[0] + 3  # the nose goes to the viewer's right
    assert down[2, 1] > front[2, 1] + 3  # and down
    assert clockwise[1, 1] > clockwise[0, 1]  # the eye on the right is the lower one


def test_a_mirrored_face_looks_the_other_way() -> None:
    landmarks = seen(25, 10, 5) + np.random.default_rng(0).normal(0, 0.7, (5, 2))
    mirrored = (landmarks * [-1, 1])[[1, 0, 2, 4, 3]]
    pose, other = head_pose(landmarks[None]), head_pose(mirrored[None])
    assert other.yaw == pytest.approx(-pose.yaw)
    assert other.roll == pytest.approx(-pose.roll)
    assert other.pitch == pytest.approx(pose.pitch)
    assert other.residual == pytest.approx(pose.residual)
    assert pose.residual[0] > 0.001


def test_small_errors_of_landmarks_make_small_errors_of_angles() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (500, 5, 2))  # eyes 32 pixels apart
    pose = head_pose(seen(10, -5, 3) + noise)
    assert np.abs(np.median(pose.yaw) - 10) < 1
    assert pose.yaw.std() < 6
    assert pose.roll.std() < 3
