"""The documents of a release: valid for mlcroissant, without names, and honest about what is unknown."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from synthface.cli import main
from synthface.core.errors import ConfigError
from synthface.data import FaceSet, FaceSetWriter
from synthface.report.cards import croissant
from synthface.report.release_cards import ReleaseFacts, ReleaseFile, Stated, release_documents

FORMATS = ("folders", "webdataset", "parquet", "recordio")
STATED = Stated(
    title="Example faces", creator="Example Lab", contact="privacy@example.org", licence="CC-BY-4.0",
    url="https://example.org/faces", version="1.2.0", published="2026-11-22", training_data="passport photos of staff",
    training_licence="contract", training_basis="written consent",
)  # fmt: skip
AUDIT = {
    "sizes": {"train": {"images": 5882, "identities": 1126}},
    "not_concluded": ["copies are not excluded"],
    "gates": {
        "A1": {"id": "A1", "title": "No copies", "kind": "leak", "passed": True, "applicable": True},
        "A7": {"id": "A7", "title": "Different people", "kind": "warning", "passed": False, "applicable": True},
    },
    "flagged": ["Secret Class"],
    "flagged_images": [{"image": "images/Secret Class/1.png", "why": "A3"}],
    "overlap": [["Secret Person", "Other Person"]],
    "made_by": {"inputs": {"train manifest": "aa", "synthetic manifest": "bb"}},
}
MEASURE = {
    "recognizers": {
        "one": {
            "measured": {
                "eer": {"value": 0.279, "interval": [0.273, 0.286]},
                "merged_pairs": {"value": 0.5, "interval": None},
                "consistency": {"value": 1.0, "interval": None},
            }
        }
    }
}
FACTS = ReleaseFacts(
    set_id="0123456789abcdef", format="folders", kind="synthetic", n_images=6000, n_identities=300, width=64, height=64,
    verdict="PASS", claim="No class flagged.", audit_sha256="cd" * 32, audit=AUDIT, measure=MEASURE, stated=STATED,
    files=(ReleaseFile("manifest.jsonl", "ab" * 32, 10),), columns=("path", "identity", "seed"),
    generator={"sha256": "ef" * 32, "trained_on_manifest_sha256": "aa", "seen_images": 58976, "seed": 0},
    made_by={"command": "generate", "config": {"psi": 0.7, "identities": "mixed", "per_class": 20}, "seed": 1},
)  # fmt: skip


def _texts(facts: ReleaseFacts) -> dict[str, str]:
    return {name: content.decode() for name, content in release_documents(facts).items()}


def test_the_same_facts_give_the_same_bytes() -> None:
    assert release_documents(FACTS) == release_documents(FACTS)
    assert set(release_documents(FACTS)) == {
        "README.md", "DATASHEET.md", "MODEL_CARD.md", "CITATION.cff", "croissant.json"
    }  # fmt: skip


def test_no_name_of_the_audit_is_in_any_document() -> None:
    for text in _texts(FACTS).values():
        assert "Secret" not in text
        assert "Other Person" not in text


def test_what_the_runs_and_the_publisher_say_is_on_the_cards() -> None:
    texts = _texts(FACTS)
    for name in ("README.md", "DATASHEET.md", "croissant.json"):
        for words in ("Example Lab", "privacy@example.org", "passport photos of staff", "contract", "written consent",
                      "5,882 photos of 1,126 people", "PASS", "27.9 %", "Copies are not excluded."):  # fmt: skip
            assert words in texts[name], (name, words)
        assert "not recorded (`--card" not in texts[name]
    assert "58,976" in texts["MODEL_CARD.md"]
    assert "| A7 | Different people | warning |" in texts["README.md"]
    assert "did not pass" not in texts["README.md"]


def test_a_cutoff_of_the_truncation_is_on_the_cards_where_there_was_one() -> None:
    config = {**FACTS.made_by["config"], "cutoff": 4}
    cut = replace(FACTS, made_by={**FACTS.made_by, "config": config}, columns=("path", "psi", "cutoff"))
    assert "with psi 0.7 in the first 4 layers, noise mode" in _texts(cut)["README.md"]
    assert '"manifest/cutoff"' in _texts(replace(cut, format="recordio"))["croissant.json"]
    assert "with psi 0.7, noise mode" in _texts(FACTS)["README.md"]


def test_what_is_unknown_says_how_to_supply_it() -> None:
    bare = replace(FACTS, stated=Stated(), audit=None, measure=None, verdict="not audited", generator={}, made_by={})
    texts = _texts(bare)
    for flag in ("creator", "contact", "licence", "training_data", "training_licence", "training_basis"):
        assert f"not recorded (`--card.{flag}` of `synthface release`)" in texts["README.md"]
    assert "was not measured" in texts["README.md"]
    assert "did not pass" in texts["README.md"]
    assert "--measure" in texts["MODEL_CARD.md"]
    assert "None" not in "".join(texts[name] for name in ("README.md", "MODEL_CARD.md", "CITATION.cff"))


def test_every_flag_on_the_cards_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["release", "--help"])
    shown = capsys.readouterr().out
    assert all(f"--card.{name}" in shown for name in vars(Stated()))


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE", "not audited"])
def test_a_risk_that_was_taken_stands_on_every_card(verdict: str) -> None:
    reason = "shared with the review board | <b>only</b>"
    texts = _texts(replace(FACTS, verdict=verdict, acknowledged=reason))
    for name in ("README.md", "DATASHEET.md"):
        assert verdict in texts[name]
        assert "review board" in texts[name]
        assert "<b>" not in texts[name]
    assert any(reason in line for line in json.loads(texts["croissant.json"])["rai:personalSensitiveInformation"])


def test_an_audit_against_other_photos_is_said_not_to_count() -> None:
    other = replace(FACTS, generator={"trained_on_manifest_sha256": "zz"})
    assert "the verdict does not cover those" in _texts(other)["README.md"]
    unknown = replace(FACTS, generator={})
    assert "is not shown" in _texts(unknown)["README.md"]
    assert "these very photos" in _texts(FACTS)["README.md"]


def test_reconstructions_of_real_people_are_called_that() -> None:
    texts = _texts(replace(FACTS, kind="inverted", stated=Stated()))
    assert "MODEL_CARD.md" not in texts
    assert "their personal data" in texts["README.md"]
    assert "none is meant to show a real person" not in texts["README.md"]
    assert texts["CITATION.cff"].count("Reconstructed faces") == 1


def test_front_matter_is_what_hugging_face_reads() -> None:
    shards = (ReleaseFile("data/train-00000-of-00001.parquet", "ab" * 32, 1234),)
    text = _texts(replace(FACTS, format="parquet", files=shards))["README.md"]
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "cc-by-4.0"
    assert head["size_categories"] == ["1K<n<10K"]
    assert head["dataset_info"]["splits"] == [{"name": "train", "num_examples": 6000, "num_bytes": 1234}]
    odd = yaml.safe_load(
        _texts(replace(FACTS, stated=Stated(licence="Ours: v1", title="A: b")))["README.md"].split("---\n")[1]
    )
    assert (odd["license"], odd["license_name"], odd["pretty_name"]) == ("other", "Ours: v1", "A: b")


def test_citation_file_is_of_the_format() -> None:
    value = yaml.safe_load(_texts(FACTS)["CITATION.cff"])
    assert value["cff-version"] == "1.2.0"
    assert value["type"] == "dataset"
    known = {
        "abstract",
        "authors",
        "cff-version",
        "date-released",
        "identifiers",
        "message",
        "title",
        "type",
        "url",
        "version",
    }
    assert set(value) <= known


@pytest.mark.parametrize(
    "wrong",
    [
        {"published": "22.11.2026"},
        {"published": "2026-02-30"},
        {"published": "20261122"},
        {"version": "1"},
        {"url": "example.org"},
        {"creator": "a\nb"},
        {"licence": " "},
    ],
)
def test_statements_are_checked(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"--card.{next(iter(wrong))}"):
        Stated(**wrong)


# --- croissant.json, with mlcroissant as the judge


def _loaded(path: Path) -> Any:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    return mlcroissant.Dataset(str(path))


@pytest.mark.filterwarnings("ignore")  # of pandas and rdflib, which mlcroissant calls
def test_mlcroissant_has_nothing_to_say(tmp_path: Path) -> None:
    for name in FORMATS:
        files = (*FACTS.files, ReleaseFile("shard-000000.tar", "ab" * 32, 1), ReleaseFile("train.rec", "ab" * 32, 1))
        path = tmp_path / f"{name}.json"
        path.write_bytes(croissant.croissant(replace(FACTS, format=name, files=files)))
        issues = _loaded(path).metadata.ctx.issues
        assert not issues.errors
        assert not issues.warnings
        assert json.loads(path.read_text())["rai:dataBiases"]


@pytest.mark.filterwarnings("ignore")
def test_without_a_day_mlcroissant_asks_for_that_alone(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(croissant.croissant(replace(FACTS, stated=Stated())))
    warnings = _loaded(tmp_path / "c.json").metadata.ctx.issues.warnings
    assert len(warnings) == 1
    assert "datePublished" in str(warnings)


@pytest.fixture
def synthetic(tmp_path: Path) -> FaceSet:
    draw = np.random.default_rng(0)
    record = {"command": "generate", "config": {"psi": 0.7}, "inputs": {}, "seed": 0, "versions": {}}
    with FaceSetWriter(tmp_path / "set", kind="synthetic", record=record) as writer:
        for i in range(3):
            for k in range(4):
                image = draw.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                fields = {"seed": 2**60 + 10 * i + k, "psi": 0.7, "noise_mode": "const", "generator": "0" * 64}
                writer.add(f"images/class-{i}/{k}.png", image, identity=f"class-{i}", class_index=i, **fields)
        writer.finish()
    return FaceSet.load(tmp_path / "set")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("packing", FORMATS)
def test_a_release_is_read_by_mlcroissant(
    packing: str, synthetic: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _loaded_module = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    monkeypatch.setattr(_loaded_module._src.core.constants, "EXTRACT_PATH", _path(tmp_path / "extracted"))
    monkeypatch.setattr(
        _loaded_module._src.operation_graph.operations.extract, "EXTRACT_PATH", _path(tmp_path / "extracted")
    )
    out = tmp_path / "release"
    words = ["release", str(synthetic.root), "--format", packing, "--shard-size", "5", "--out", str(out)]
    flags = ["--acknowledge-risk", "a test of the cards", "--card.published", "2026-11-22", "--card.licence", "CC0-1.0"]
    assert main(words + flags) == 0
    for line in (out / "SHA256SUMS").read_text().splitlines():
        assert hashlib.sha256((out / line[66:]).read_bytes()).hexdigest() == line[:64]
    dataset = _loaded(out / "croissant.json")
    assert not dataset.metadata.ctx.issues.warnings
    records = {name.id: list(dataset.records(name.id)) for name in dataset.metadata.record_sets}
    expected = {record.seed: index for index, record in enumerate(synthetic.records)}
    for name, rows in records.items():
        assert len(rows) == len(synthetic)
        seeds = {int(row[f"{name}/seed"]) for row in rows if f"{name}/seed" in row}
        assert seeds in (set(), set(expected))
    if packing == "recordio":
        assert set(records) == {"manifest"}
        return
    for row in records["faces"]:
        seed = int(row["faces/seed"]) if "faces/seed" in row else json.loads(row["faces/metadata"])["fields"]["seed"]
        index = expected[seed]
        assert row["faces/identity"].decode() == synthetic.records[index].identity
        assert np.array_equal(np.asarray(row["faces/image"]), synthetic.read_image(index))


def _path(path: Path) -> Any:
    from etils import epath

    return epath.Path(path)
