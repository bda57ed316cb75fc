"""The browse page: one HTML file with every thumbnail in it, written identity by identity."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from synthface.report.browse_data import script_json
from synthface.report.browse_sprites import COLUMNS, as_text
from synthface.report.page import render_page

_HERE = "<!--sprites-->"
_WARNINGS = {
    "real": "This page shows photos of real people. Do not publish it or pass it on.",
    "inverted": "This page shows reconstructions of real people. Treat it like their photos: do not publish it.",
}


@dataclass(frozen=True)
class PageHead:
    """What stands above the identities.

    Attributes:
        name: of the set.
        kind: real, synthetic or inverted.
        n_images: in the set.
        n_shown: in the page.
        n_identities: in the set.
        manifest_sha256: hash of the set's manifest.
        verdict: of the audit, if one was given.
        claim: its sentence.
        measures: rows of (what, figure) of the whole set.
    """

    name: str
    kind: str
    n_images: int
    n_shown: int
    n_identities: int
    manifest_sha256: str
    verdict: str | None = None
    claim: str | None = None
    measures: Sequence[tuple[str, str]] = ()


def write_browse_page(
    stream: IO[str], head: PageHead, data: Mapping[str, Any], sprites: Iterable[bytes], *, side: int
) -> None:
    """Write the page.

    Args:
        stream: text stream to write to.
        head: what stands above.
        data: what ``page_data`` returned.
        sprites: the thumbnails of each identity, in the order of the data.
        side: pixels a side of a thumbnail.
    """
    settings = {"side": side, "columns": COLUMNS, "manifest": head.manifest_sha256}
    page = render_page(
        "browse.html",
        head=head,
        warning=_WARNINGS.get(head.kind),
        data=script_json({**data, **settings}),
        scores=[{"name": score["name"], "label": score["label"]} for score in data["scores"]],
        has_flags=bool(data["flags"]) or any("flag" in identity for identity in data["identities"]),
        marker=_HERE,
    )
    before, after = page.split(_HERE)
    stream.write(before)
    for k, content in enumerate(sprites):
        stream.write(f'<script type="text/plain" id="s{k}">{as_text(content)}</script>\n')
    stream.write(after)
