"""The pages that ship and that the first command makes, on a desktop's screen and on a phone's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from headless_browser import CHROMIUM, Browser

from synthface.models import GENERATOR_AUDIT_PAGE, shipped_model
from synthface.workflows import quickstart

LOADED = "document.readyState == 'complete' && location.href != 'about:blank'"
BROKEN = "[...document.images].filter((image) => !image.complete || !image.naturalWidth).length"
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def _look(browser: Browser, page: Path) -> None:
    for width, mobile in ((1280, False), (390, True)):
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=mobile)
        browser.open(page.as_uri(), LOADED)
        browser.settle()
        assert browser.evaluate("window.innerWidth") == width
        assert browser.evaluate(WIDER) == 0, f"at {width} pixels {page.name} has to be moved sideways"
        assert browser.evaluate(BROKEN) == 0
        assert browser.evaluate("document.querySelector('h1').getBoundingClientRect().height") > 0
    assert not browser.problems


def test_the_audit_that_ships(browser: Browser) -> None:
    _look(browser, shipped_model(GENERATOR_AUDIT_PAGE))


@pytest.mark.slow
def test_the_first_page(browser: Browser, tmp_path: Path) -> None:
    quickstart.run(quickstart.Options(out=tmp_path / "quickstart", identities=4, per_identity=3))
    _look(browser, tmp_path / "quickstart" / "index.html")
