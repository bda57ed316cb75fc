"""Pages from templates: autoescaped, self-contained, no scripts."""

import base64
import io
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_DASH = "\N{EN DASH}"


def render_page(template: str, **values: Any) -> str:
    """Render a template of this package; every string is escaped unless it is marked safe.

    Templates extend ``base.html`` with its blocks ``title``, ``badge``, ``lead``, ``content`` and ``footer``. Filters:
    ``number`` and ``percent`` for figures, ``svg`` for drawings of this package.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("synthface.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "svg": Markup}
    return environment.get_template(template).render(**values)


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with so many significant digits; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return _DASH
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) < 1e-3:
        return f"{value:.1e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{value:,.0f}"


def percent(share: float | None, decimals: int = 1) -> str:
    """Write a share as a percentage; a dash where there is none."""
    return _DASH if share is None or not math.isfinite(share) else f"{100 * share:.{decimals}f} %"


def image_uri(image: NDArray[np.uint8] | Image.Image, kind: Literal["png", "jpeg"] = "jpeg") -> str:
    """Return an image ([H, W, 3] uint8 or Pillow) as a data URI; the same pixels give the same text."""
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    if kind == "png":
        picture.save(stream, format="PNG", optimize=True)
    else:
        picture.save(stream, format="JPEG", quality=88, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
