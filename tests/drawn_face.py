"""A face drawn from ellipses: nobody's, and yet the detector finds it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

# Where the drawing has its eyes, nose and mouth corners, in units of its radius from its centre.
DRAWN_LANDMARKS = np.array([[-0.38, -0.15], [0.38, -0.15], [0.0, 0.25], [-0.34, 0.68], [0.34, 0.68]])


def draw_face(
    width: int = 250,
    height: int = 250,
    centre: tuple[float, float] = (125.0, 125.0),
    radius: float = 50.0,
    skin: int = 0,
) -> Image.Image:
    """Return an RGB picture of one face; ``skin`` shifts its colour, so that faces can be told apart."""
    picture = Image.new("RGB", (width, height), (120, 130, 140))
    add_face(picture, centre, radius, skin)
    return picture


def add_face(picture: Image.Image, centre: tuple[float, float], radius: float, skin: int = 0) -> None:
    box = tuple(int(centre[k % 2] + sign * 1.6 * radius) for k, sign in ((0, -1), (1, -1), (0, 1), (1, 1)))
    patch = picture.crop(box)
    draw = ImageDraw.Draw(patch)
    middle_x, middle_y = centre[0] - box[0], centre[1] - box[1]

    def ellipse(x: float, y: float, half_width: float, half_height: float, colour: tuple[int, int, int]) -> None:
        left, right = middle_x + (x - half_width) * radius, middle_x + (x + half_width) * radius
        top, bottom = middle_y + (y - half_height) * radius, middle_y + (y + half_height) * radius
        draw.ellipse((left, top, right, bottom), fill=colour)

    ellipse(0, -0.15, 1.05, 1.4, (60, 40, 30))  # hair
    ellipse(0, 0.1, 0.85, 1.2, (224 - skin, 180 - skin, 150 - skin))
    for side in (-0.38, 0.38):
        draw.rectangle(
            (
                middle_x + (side - 0.2) * radius,
                middle_y - 0.42 * radius,
                middle_x + (side + 0.2) * radius,
                middle_y - 0.34 * radius,
            ),
            fill=(70, 45, 35),
        )
        ellipse(side, -0.15, 0.2, 0.1, (245, 240, 235))
        ellipse(side, -0.15, 0.09, 0.1, (40, 30, 30))
    ellipse(0, 0.25, 0.16, 0.1, (190 - skin, 140 - skin, 115 - skin))
    ellipse(0, 0.15, 0.07, 0.25, (235 - skin, 195 - skin, 168 - skin))
    ellipse(0, 0.68, 0.36, 0.1, (170, 70, 75))
    picture.paste(patch.filter(ImageFilter.GaussianBlur(radius * 0.03)), box[:2])


def landmarks_of(centre: tuple[float, float] = (125.0, 125.0), radius: float = 50.0) -> NDArray[np.float64]:
    """Return the [5, 2] points of a face drawn there."""
    return np.array(centre) + radius * DRAWN_LANDMARKS
