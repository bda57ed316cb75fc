"""The browse command and, in a headless Chromium, its page: rows, filters, keyboard, details."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from headless_browser import CHROMIUM, Browser

from synthface.cli import main
from synthface.data import FaceSet, FaceSetWriter
from synthface.data.images import encode_png

ODD_NAME = "<img src=x onerror=alert(1)> & co"
N, EACH = 60, 5


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a set, an audit of it, and its page."""
    folder = tmp_path_factory.mktemp("browse")
    draw = np.random.default_rng(0)
    record = {"command": "generate", "config": {}, "inputs": {}, "seed": 0}
    with FaceSetWriter(folder / "set", kind="synthetic", record=record) as writer:
        for i in range(N):
            name = ODD_NAME if i == N - 1 else f"person-{i:03d}"
            for k in range(EACH):
                image = (draw.integers(0, 200, 3) + draw.integers(0, 10 + i, (32, 32, 3))).astype(np.uint8)
                writer.add(f"images/{i:03d}/{k}.png", image, identity=name, seed=2**61 + 10 * i + k, psi=0.7)
        writer.finish()
    manifest = FaceSet.load(folder / "set").manifest_sha256
    (folder / "audit").mkdir()
    audit = {
        "verdict": "FAIL", "claim": "One class shows a training person.", "flagged": ["person-007"],
        "flagged_images": [{"image": "images/003/2.png", "why": "A1: a copy"}],
        "made_by": {"inputs": {"synthetic manifest": manifest}},
    }  # fmt: skip
    (folder / "audit" / "audit.json").write_text(json.dumps(audit))
    page = folder / "page.html"
    assert main(["browse", str(folder / "set"), "--out", str(page), "--audit", str(folder / "audit")]) == 0
    return folder


def test_the_page_is_one_file_that_loads_nothing(pages: Path) -> None:
    text = (pages / "page.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert "default-src 'none'" in text
    assert "<img" not in text  # not even the one in a name
    assert text.count('<script type="text/plain" id="s') == N
    assert "FAIL" in text
    assert not (pages / "page.html.partial").exists()


def test_the_same_set_gives_the_same_page(pages: Path, tmp_path: Path) -> None:
    words = ["browse", str(pages / "set"), "--audit", str(pages / "audit"), "--out"]
    assert main([*words, str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_bytes() == (pages / "page.html").read_bytes()


def test_what_is_refused(pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "audit"
    other.mkdir()
    (other / "audit.json").write_text('{"verdict": "PASS", "made_by": {"inputs": {"synthetic manifest": "0"}}}')
    for words, message in (
        ([str(pages / "set"), "--out", str(pages / "page.html")], "already exists"),
        ([str(pages / "set"), "--out", str(tmp_path / "x.html"), "--audit", str(other)], "another set"),
        ([str(pages / "set"), "--out", str(tmp_path / "x.html"), "--audit", str(tmp_path)], "audit.json"),
        ([str(pages / "set"), "--out", str(tmp_path / "x.html"), "--thumbnail", "4"], "--thumbnail"),
        ([str(tmp_path / "none"), "--out", str(tmp_path / "x.html")], "does not exist"),
    ):
        assert main(["browse", *words]) == 3
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


def test_pages_of_real_people_say_so(
    tmp_path: Path, write_faceset: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    real = write_faceset(tmp_path / "real", n_identities=2, per_identity=3, size=32)
    assert main(["browse", str(real), "--out", str(tmp_path / "real.html"), "--per-identity", "2"]) == 0
    text = (tmp_path / "real.html").read_text()
    assert "real people. Do not publish" in text
    assert "4 of the 6 images" in " ".join(text.split())
    assert "do not publish" in capsys.readouterr().out


@pytest.fixture(scope="module")
def browser(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def _address(pages: Path, state: str = "") -> str:
    return (pages / "page.html").as_uri() + (f"#{state}" if state else "")


def _status(browser: Browser) -> str:
    return str(browser.evaluate("document.getElementById('status').textContent"))


def _rows(browser: Browser) -> list[str]:
    script = (
        "[...document.querySelectorAll('.row')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)"
        ".map((row) => row.querySelector('h2').firstChild.textContent)"
    )
    return list(browser.evaluate(script))


def test_rows_near_the_window_exist_and_no_others(browser: Browser, pages: Path) -> None:
    browser.open(_address(pages))
    assert _status(browser) == f"{N} identities, {N * EACH} images"
    first = _rows(browser)
    assert first[:2] == [ODD_NAME, "person-000"]
    assert len(first) < N
    browser.evaluate("scrollTo(0, 1e7)")
    browser.settle()
    assert _rows(browser)[-1] == f"person-{N - 2:03d}"
    assert ODD_NAME not in _rows(browser)
    assert not browser.problems


@pytest.mark.slow
def test_of_thousands_of_identities_few_are_drawn_at_a_time(browser: Browser, tmp_path: Path) -> None:
    images = [encode_png(np.full((32, 32, 3), 8 * k, np.uint8)) for k in range(32)]
    with FaceSetWriter(tmp_path / "set", kind="synthetic", record={"command": "test", "config": {}}) as writer:
        for k in range(15_000):
            path, name = f"images/{k // 5:04d}/{k % 5}.png", f"person-{k // 5:04d}"
            writer.add(path, images[k % 32], identity=name, width=32, height=32)
        writer.finish()
    page = tmp_path / "page.html"
    assert main(["browse", str(tmp_path / "set"), "--out", str(page)]) == 0
    browser.open(page.as_uri())
    assert _status(browser) == "3,000 identities, 15,000 images"
    assert browser.evaluate("document.getElementsByTagName('*').length") < 3_000 + 500  # a sprite each, and little else
    steps = """new Promise(async (ok) => {
      const rows = [];
      for (let k = 1; k <= 100; k++) {
        scrollTo(0, 150 * k);
        await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
        rows.push(document.querySelectorAll(".row").length);
      }
      ok(Math.max(...rows));
    })"""
    assert browser.evaluate(steps) < 100
    browser.evaluate("scrollTo(0, 1e7)")
    browser.settle()
    assert _rows(browser)[-1] == "person-2999"
    assert not browser.problems


def test_thumbnails_are_drawn(browser: Browser, pages: Path) -> None:
    browser.open(_address(pages))
    style = "getComputedStyle(document.querySelector('[data-image=\"6\"]'))"
    address = browser.evaluate(f"{style}.backgroundImage")
    assert address.startswith('url("blob:')
    load = f"const i = new Image(); i.onload = () => ok([i.width, i.height]); i.src = {address[4:-1]};"
    size = browser.evaluate(f"new Promise((ok) => {{ {load} }})")
    assert size == [64 * EACH, 64]
    assert browser.evaluate(f"{style}.backgroundPosition") == "-64px 0px"


def test_filters_search_and_order(browser: Browser, pages: Path) -> None:
    browser.open(_address(pages, "q=person-01"))
    assert _rows(browser) == [f"person-01{k}" for k in range(10)]
    assert _status(browser) == f"10 of {N} identities, 50 of {N * EACH} images"
    browser.open(_address(pages, "flagged=1&order=flags"))
    assert _rows(browser) == ["person-007", "person-003"]
    assert _status(browser).endswith(f"6 of {N * EACH} images")
    browser.open(_address(pages, "sharpness-min=500&order=sharpness-high"))
    assert 0 < int(_status(browser).split()[0]) < N
    script = (
        "[...document.querySelectorAll('.row')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)"
        ".map((row) => Number(row.textContent.match(/sharpness ([0-9.]+)/)[1]))"
    )
    sharpest = browser.evaluate(script)
    assert sharpest == sorted(sharpest, reverse=True)
    assert len(set(sharpest)) > 3
    browser.open(_address(pages, "q=nobody"))
    assert _rows(browser) == []
    assert browser.evaluate("document.getElementById('none').hidden") is False


def test_a_filter_counts_what_python_counts(browser: Browser, pages: Path) -> None:
    from synthface.metrics.image_quality import contrast

    faces = FaceSet.load(pages / "set")
    values = np.array([float(f"{contrast(faces.read_image(k)[None])[0]:.4g}") for k in range(len(faces))])
    limit = values.min() + (values.max() - values.min()) * 0.3
    browser.open(_address(pages, "contrast-min=300"))
    assert _status(browser).split(", ")[1].startswith(f"{(values >= limit).sum()} of ")


def test_it_can_be_used_by_keyboard_alone(browser: Browser, pages: Path) -> None:
    browser.open(_address(pages, "q=person"))
    browser.evaluate("document.getElementById('query').focus()")
    focused = "document.activeElement.getAttribute('aria-label')"
    for _ in range(12):
        browser.press("Tab")
        if (browser.evaluate(focused) or "").startswith("person"):
            break
    assert browser.evaluate(focused) == "person-000, image 1 of 5"
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowLeft")
    assert browser.evaluate(focused) == "person-000, image 5 of 5"
    browser.press("ArrowRight", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight")
    assert browser.evaluate(focused) == "person-003, image 3 of 5, flagged"
    browser.press("Enter")
    assert browser.evaluate("document.getElementById('details').open")
    facts = browser.evaluate("document.getElementById('details-facts').innerText")
    assert str(2**61 + 32) in facts
    assert "images/003/2.png" in facts
    assert FaceSet.load(pages / "set").records[17].sha256 in facts
    assert browser.evaluate("document.getElementById('details-flag').textContent") == "A1: a copy"
    browser.press("ArrowRight", "Escape")
    assert not browser.evaluate("document.getElementById('details').open")
    assert browser.evaluate(focused) == "person-003, image 4 of 5"
    browser.press("End")
    assert browser.evaluate(focused) == f"person-{N - 2:03d}, image 5 of 5"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().bottom <= innerHeight")
    assert browser.evaluate("document.querySelectorAll('[data-image][tabindex=\"0\"]').length") == 1
    browser.press("/")
    assert browser.evaluate("document.activeElement.id") == "query"


def test_it_fits_a_phone(browser: Browser, pages: Path) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    browser.open(_address(pages))
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    assert (
        browser.evaluate("getComputedStyle(document.querySelector('.strip')).gridTemplateColumns.split(' ').length")
        == 5
    )
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_details_show_the_face_and_the_buttons_on_a_phone(browser: Browser, pages: Path) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=500, deviceScaleFactor=2, mobile=True)
    browser.open(_address(pages))
    browser.evaluate("document.querySelector('#list button[data-image]').click()")
    for name in ("face", "close"):
        edges = browser.evaluate(
            f"(({{top, bottom}}) => [top, bottom])(document.getElementById('{name}').getBoundingClientRect())"
        )
        assert 0 <= edges[0] < edges[1] <= 500
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_scores_of_the_sidecar_become_filters(browser: Browser, pages: Path, tmp_path: Path) -> None:
    from synthface.core.hashing import sha256_file

    faces = FaceSet.load(pages / "set")
    lines = [{"path": r.path, "similarity": k / 1000, "landmarks": [[1, 2]]} for k, r in enumerate(faces.records)]
    folder = tmp_path / "sidecar"
    folder.mkdir()
    (folder / "sidecar.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    digest = sha256_file(folder / "sidecar.jsonl")
    summary = {"sidecar_sha256": digest, "made_by": {"inputs": {"faceset": faces.manifest_sha256}}}
    (folder / "sidecar.json").write_text(json.dumps(summary))
    page = tmp_path / "page.html"
    assert main(["browse", str(faces.root), "--out", str(page), "--sidecar", str(folder)]) == 0
    browser.open(page.as_uri() + "#similarity-min=900&order=similarity-high")
    at_least = 0.9 * (len(faces) - 1) / 1000
    expected = sum(k / 1000 >= at_least for k in range(len(faces)))
    assert f"{expected} of {len(faces)} images" in _status(browser)
    assert _rows(browser)[0] == faces.records[-1].identity


@pytest.mark.parametrize("encoding", ["keep", "jpeg"])
def test_a_release_takes_its_own_sidecar_and_that_of_its_origin(
    write_faceset: Callable[..., Path], tmp_path: Path, encoding: str
) -> None:
    faces = write_faceset(tmp_path / "set", n_identities=2, per_identity=2, kind="synthetic", size=32)
    described = ["describe", str(faces), "--detector", "none", "--recognizer", "none", "--out", str(tmp_path / "told")]
    assert main(described) == 0
    release = ["release", str(faces), "--sidecar", str(tmp_path / "told"), "--encoding", encoding]
    assert main([*release, "--acknowledge-risk", "a test of pages", "--out", str(tmp_path / "release")]) == 0
    for number, folder in enumerate(("told", "release")):
        page = ["browse", str(tmp_path / "release"), "--out", str(tmp_path / f"{number}.html")]
        assert main([*page, "--sidecar", str(tmp_path / folder)]) == 0
