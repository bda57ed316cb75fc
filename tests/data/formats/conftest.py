"""Small sets of images for the tests of formats."""

import io

import numpy as np
import pytest
from PIL import Image

from synthface.data.formats import Item


def encode(seed: int, kind: str = "JPEG", size: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((size, size)).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="session")
def images() -> list[bytes]:
    """Twelve image files of three kinds."""
    return [encode(k, ("JPEG", "PNG", "WEBP")[k % 3]) for k in range(12)]


@pytest.fixture
def items(images: list[bytes]) -> list[Item]:
    """Twelve items of four identities, with names and fields that only a sidecar can carry."""
    suffixes = (".jpg", ".png", ".webp")
    return [
        Item(
            content,
            f"李 雷/{k // 3}",
            f"images/who {k // 3}/{k}{suffixes[k % 3]}",
            None,
            {"seed": k, "psi": 0.5, "code": {"parents": [k, 1]}},
        )
        for k, content in enumerate(images)
    ]
