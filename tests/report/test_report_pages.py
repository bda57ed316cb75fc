"""Pages and figures: self-contained, escaped, the same every time, and the public one without names or pictures."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from synthface.report.audit_card import audit_card
from synthface.report.audit_page import PairPicture, audit_page, without_small_groups
from synthface.report.coarse import coarse_text
from synthface.report.contact_sheet import contact_sheet
from synthface.report.figures import BLUE, ORANGE, cmc_figure, density_figure, log_roc_figure
from synthface.report.page import image_uri, number, percent

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Checker(HTMLParser):
    """Collects tags, ids and unbalanced elements."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.problems = [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        if "id" in values:
            self.ids.append(values["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if "id" in dict(attrs):
            self.ids.append(dict(attrs)["id"])

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)


def check(passed, **changes):
    value = {
        "key": "auc", "statistic": "AUC of <things>", "value": 0.78123456, "rule": "upper <=", "threshold": 0.55,
        "passed": passed, "n": 158, "unit": "classes", "recognizer": "one", "interval": [0.71234, 0.83456],
        "baseline": 0.5, "training": None, "control": None, "p_value": 0.00012345, "p_adjusted": 0.001, "need": "",
    }  # fmt: skip
    return value | changes


def gate(name, passed, checks, kind="leak"):
    return {"id": name, "title": f"Title {name}", "kind": kind, "passed": passed, "applicable": True, "text": "Words.",
            "checks": checks, "needs": []}  # fmt: skip


@pytest.fixture
def page_arguments():
    rng = np.random.default_rng(0)
    scores = {
        name: rng.normal(0.1, 0.1, 300)
        for name in ("mated", "non_mated", "nearest_train", "nearest_holdout", "person_train", "person_holdout",
                     "linked", "unlinked")
    }  # fmt: skip
    face = np.full((64, 64, 3), 128, np.uint8)
    return {
        "result": {
            "verdict": "FAIL",
            "claim": "Claim <b>.",
            "sizes": {"synthetic": {"images": 3160, "identities": 158}, "train": {"images": 2000, "identities": 158}},
            "linked_by": "names",
            "recognizers": ["one"],
            "needs": ["something"],
            "flagged": ["Secret Class"],
            "overlap": [["Secret Person", "Other Person"]],
            "gates": {"V1": gate("V1", True, [], "validity"), "A4": gate("A4", False, [check(True), check(False)])},
            "profile": "default",
            "differences": {},
            "config": {"confidence": 0.95, "alpha": 0.01, "max_rounds": 3},
            "remediation": None,
            "unaudited": ["images/secret.png"],
            "recognizer_facts": {"one": {"architecture": "small", "trained_on": "patterns"}},
        },
        "evidence": {
            "one": SimpleNamespace(
                other_train=None, other_holdout=None, **scores, ranks=rng.integers(1, 158, 158), pairs=()
            )
        },
        "provenance": {"synthetic manifest": "ab" * 32},
        "versions": {"python": "3.11"},
        "pairs": [PairPicture("Secret Class", "Secret Person", face, face, {"one": 0.7}, True)],
    }


def test_private_page_is_whole_and_escaped(page_arguments):
    html = audit_page(**page_arguments, public=False)
    page = Checker()
    page.feed(html)
    assert not page.open
    assert not page.problems
    assert len(set(page.ids)) == len(page.ids)
    assert "Claim &lt;b&gt;." in html
    assert "AUC of &lt;things&gt;" in html
    pictures = [values for tag, values in page.tags if tag == "img"]
    assert len(pictures) == 2
    assert all(values["alt"] for values in pictures)
    assert all(values.get("aria-label") for tag, values in page.tags if tag == "svg")
    assert all("scope" in values for tag, values in page.tags if tag == "th")


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(page_arguments):
    html = audit_page(**page_arguments, public=False)
    links = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "<script" not in html
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_public_page_shows_no_names_pictures_or_exact_scores(page_arguments):
    html = audit_page(**page_arguments, public=True)
    assert "Secret" not in html
    assert "Other Person" not in html
    assert "<img" not in html
    assert "0.78" in html
    assert "0.7812" not in html
    assert "0.781" not in html


def test_no_hold_out_no_count_of_audits_and_no_real_faces_no_warning(page_arguments):
    result = page_arguments["result"]
    assert "audits of this set" not in audit_page(**page_arguments, public=False) + audit_card(result, {})
    assert "It shows real faces" in audit_page(**page_arguments, public=False)
    page_arguments["pairs"] = []
    assert "shows real faces" not in audit_page(**page_arguments, public=False)
    result["sizes"]["holdout"] = result["sizes"].pop("train")
    for text in (audit_page(**page_arguments, public=True), audit_card(result, {})):
        assert "audits of this set in its clean-up" in text
        assert "others against this hold-out are not counted" in text
    del result["sizes"]["holdout"]
    assert "Keep this page" not in audit_page(**page_arguments, public=False)


def test_no_exact_figure_is_left_in_a_sentence_for_the_public(page_arguments):
    result = page_arguments["result"]
    words = "p of guessing (AUC 0.509 [0.484, 0.534]), C_T -12.34"
    told = check(False, statistic=words, need="0.8765 would do", value=0.5)
    result["gates"]["A4"] = gate("A4", False, [told]) | {"text": "Correlation 0.9137."}
    result |= {"claim": "the alarm finds 97.6% [95.1%, 99.3%]", "needs": ["above 0.8765"]}
    page_arguments["evidence"] = {}  # no drawings, which are full of figures
    public = audit_page(**page_arguments, public=True)
    card = audit_card(result, {})
    for text in (public, card):
        assert not any(figure in text for figure in ("0.509", "0.484", "12.34", "0.8765", "0.9137", "97.6", "95.1"))
        assert "98% [95%, 99%]" in text
    assert "p of guessing (AUC 0.51 [0.48, 0.53]), C_T -12" in public
    assert "97.6% [95.1%, 99.3%]" in audit_page(**page_arguments, public=False)


@pytest.mark.parametrize(
    ("exact", "rough"),
    [
        ("AUC 0.509, p = 2.31e-05.", "AUC 0.51, p = 2.3e-05."),
        ("at most 0.37% of 1,234 classes", "at most 0.37% of 1,234 classes"),
        ("12.7 by chance", "13 by chance"),
        ("net-0.255x and net_v1.255 of version 1.2.34", "net-0.255x and net_v1.255 of version 1.2.34"),
        ("from 0.255-0.375 in models/0.255", "from 0.255-0.375 in models/0.255"),
    ],
)
def test_figures_in_sentences_are_rounded_and_names_are_not(exact, rough):
    assert coarse_text(exact) == rough


def test_small_groups_are_hidden_with_one_more_so_that_nobody_can_subtract():
    def rows(*counts):
        common = {"recognizer": "one", "by": "age", "n_holdout": 50, "auc": None}
        return [{**common, "group": str(k), "n_train": count} for k, count in enumerate(counts)]

    def told(*counts):
        return [row["n_train"] for row in without_small_groups(rows(*counts))]

    assert told(40, 6, 10, 24) == [40, None, None, 24]
    assert told(40, 6, 3, 24) == [40, None, None, 24]
    assert told(40, 10) == [40, 10]
    assert told(9) == [None]
    assert {row["n_holdout"] for row in without_small_groups(rows(6, 40))} == {50}


def test_the_failed_check_speaks_for_the_gate(page_arguments):
    html = audit_page(**page_arguments, public=False)
    assert html.index('mark fail">failed') < html.index("Every check")


def test_pages_and_figures_are_the_same_every_time(page_arguments):
    assert audit_page(**page_arguments, public=False) == audit_page(**page_arguments, public=False)


def test_figures_follow_the_page_and_carry_no_date():
    values = np.linspace(0, 1, 50)
    drawings = [
        density_figure("a", 'alt "text"', {"x": (values, BLUE), "y": (values**2, ORANGE)}, x_label="score"),
        cmc_figure("b", "alt", np.array([1, 2, 50]), 100),
        log_roc_figure("c", "alt", values + 0.2, values),
    ]
    for svg in drawings:
        assert svg.startswith("<svg")
        assert svg.endswith("</svg>")
        assert "currentColor" in svg
        assert "#010203" not in svg
        assert "dc:date" not in svg
        assert "DejaVu" not in svg
        referred = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
        assert referred <= set(re.findall(r'\bid="([^"]+)"', svg))
    assert "alt &#34;text&#34;" in drawings[0]


def test_numbers_are_written_for_people():
    assert number(0.78123) == "0.781"
    assert number(1234567) == "1,234,567"
    assert number(12.0) == "12"
    assert number(0.00012) == "1.2e-04"
    assert number(0) == "0"
    assert number(None) == number(float("nan")) == "\N{EN DASH}"
    assert percent(0.1234) == "12.3 %"


def test_images_become_data_uris_that_are_read_back():
    import base64
    import io

    image = np.random.default_rng(0).integers(0, 255, (8, 6, 3), dtype=np.uint8)
    uri = image_uri(image, "png")
    back = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    np.testing.assert_array_equal(np.asarray(back), image)
    assert image_uri(image).startswith("data:image/jpeg;base64,")


def test_contact_sheet_places_every_image():
    red, blue = (np.full((4, 4, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    sheet = np.asarray(contact_sheet([[red, blue], [blue]], gap=1))
    assert sheet.shape == (9, 9, 3)
    assert sheet[0, 0].tolist() == [255, 0, 0]
    assert sheet[0, 5].tolist() == [0, 0, 255]
    assert sheet[5, 0].tolist() == [0, 0, 255]
    assert sheet[5, 5].tolist() == [255, 255, 255]
