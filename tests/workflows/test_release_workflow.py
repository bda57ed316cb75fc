"""Release and verify: marks, hashes, and the gate before them."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from told_audit import told_audit

from synthface.cli import main
from synthface.core.errors import AuditError
from synthface.core.hashing import sha256_bytes
from synthface.core.run_record import to_json
from synthface.data import FaceSet
from synthface.data.content_credentials import CredentialSigner, read_credential, without_credential
from synthface.data.formats import open_source
from synthface.data.images import encode_png
from synthface.data.marks import DIGITAL_SOURCE_TYPE, mark_file, read_mark, unmark_file
from synthface.privacy import AuditConfig
from synthface.workflows import release
from synthface.workflows.releasing import checking, writing
from synthface.workflows.releasing.writing import files_below

GATE = {"id": "A4", "title": "a gate", "applicable": True}


@pytest.fixture
def synthetic(tmp_path: Path, write_faceset: Callable[..., Path]) -> Path:
    return write_faceset(tmp_path / "synthetic", n_identities=3, per_identity=2, kind="synthetic", size=32)


def _audit(folder: Path, verdict: str, manifest: str, **changes: Any) -> Path:
    folder.mkdir()
    page = b"<p>public"
    result = told_audit(manifest, **{"verdict": verdict, "public_page_sha256": sha256_bytes(page), **changes})
    (folder / "audit.json").write_text(json.dumps(result))
    (folder / "report_public.html").write_bytes(page)
    (folder / "report.html").write_text("<p>private")
    return folder


def test_a_released_set_is_marked_hashed_and_keeps_its_pixels(synthetic: Path, tmp_path: Path) -> None:
    before = FaceSet.load(synthetic)
    audit = _audit(tmp_path / "audit", "PASS", before.manifest_sha256)
    release.run(release.Options(faceset=synthetic, audit=audit, out=tmp_path / "release"))
    after = FaceSet.load(tmp_path / "release")
    assert [record.identity for record in after.records] == [record.identity for record in before.records]
    for index in range(len(before)):
        assert np.array_equal(after.read_image(index), before.read_image(index))
        content = (after.root / after.records[index].path).read_bytes()
        mark = read_mark(content)
        assert mark is not None
        assert before.manifest_sha256[:16] in mark
        assert unmark_file(content) == (before.root / before.records[index].path).read_bytes()
    with Image.open(after.root / after.records[0].path) as image:
        image.load()
        assert DIGITAL_SOURCE_TYPE in str(image.info)
    assert not (after.root / "report.html").exists()
    assert not (after.root / "left_out.jsonl").exists()  # nothing was
    assert (after.root / "report_public.html").exists()
    assert "PASS" in (after.root / "README.md").read_text()
    assert main(["verify", str(after.root)]) == 0


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_nothing_is_released_without_a_pass(synthetic: Path, tmp_path: Path, verdict: str) -> None:
    audit = _audit(tmp_path / "audit", verdict, FaceSet.load(synthetic).manifest_sha256)
    with pytest.raises(AuditError, match=verdict):
        release.run(release.Options(faceset=synthetic, audit=audit, out=tmp_path / "release"))
    assert not (tmp_path / "release").exists()


def test_a_pass_of_another_set_does_not_count(synthetic: Path, tmp_path: Path) -> None:
    audit = _audit(tmp_path / "audit", "PASS", "0" * 64)
    with pytest.raises(AuditError, match="another set"):
        release.run(release.Options(faceset=synthetic, audit=audit, out=tmp_path / "release"))


@pytest.mark.parametrize("changes", [{}, {"public_page_sha256": "0" * 64}])
def test_a_page_that_the_audit_did_not_write_stays_at_home(
    synthetic: Path, tmp_path: Path, changes: dict[str, str]
) -> None:
    audit = _audit(tmp_path / "audit", "PASS", FaceSet.load(synthetic).manifest_sha256, **changes)
    if not changes:
        (audit / "report.html").replace(audit / "report_public.html")
    with pytest.raises(AuditError, match="not the page"):
        release.run(release.Options(faceset=synthetic, audit=audit, out=tmp_path / "release"))
    assert not (tmp_path / "release").exists()
    (audit / "report_public.html").unlink()
    release.run(release.Options(faceset=synthetic, audit=audit, out=tmp_path / "release"))


def test_no_audit_at_all(synthetic: Path, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="not audited"):
        release.run(release.Options(faceset=synthetic, out=tmp_path / "release"))


def test_an_acknowledged_risk_stands_on_the_card(synthetic: Path, tmp_path: Path) -> None:
    reason = "internal smoke test, not for publication"
    release.run(release.Options(faceset=synthetic, out=tmp_path / "release", acknowledge_risk=reason))
    card = (tmp_path / "release" / "README.md").read_text()
    assert reason in card
    assert "not audited" in card


def test_a_pass_under_changed_limits_says_so_everywhere(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "a hold-out of forty people is all there is"
    limits = {"config": to_json(AuditConfig(min_holdout=10))}
    audit = _audit(tmp_path / "audit", "PASS", FaceSet.load(synthetic).manifest_sha256, **limits)
    out = tmp_path / "release"
    release.run(release.Options(faceset=synthetic, audit=audit, out=out, acknowledge_risk=reason))
    clearance = json.loads((out / "release.json").read_text())["clearance"]
    assert clearance["acknowledged"] == reason
    assert clearance["changed_limits"] == {"min_holdout": [500, 10]}
    for name in ("README.md", "DATASHEET.md", "MODEL_CARD.md", "croissant.json", "CITATION.cff"):
        text = (out / name).read_text().replace("''", "'")  # as YAML writes an apostrophe
        assert "PASS under changed limits (min_holdout 10, default 500)" in text, name
        assert f"Released on a PASS under changed limits, at the publisher's own risk; reason given: {reason}" in text
    capsys.readouterr()
    assert main(["verify", str(out), "--audit", str(audit)]) == 0
    shown = capsys.readouterr().out
    assert f"audit: PASS under changed limits (min_holdout), looked at; released all the same: {reason}" in shown


@pytest.mark.parametrize("limits", [AuditConfig(seed=3), AuditConfig.strict()])
def test_a_pass_under_the_limits_of_a_profile_needs_no_reason(
    synthetic: Path, tmp_path: Path, limits: AuditConfig
) -> None:
    audit = _audit(
        tmp_path / "audit", "PASS", FaceSet.load(synthetic).manifest_sha256, config=to_json(limits), claim="AUC 0.5234."
    )
    for name, reason in (("without", None), ("with", "a reason that is not needed")):
        release.run(release.Options(faceset=synthetic, audit=audit, out=tmp_path / name, acknowledge_risk=reason))
        clearance = json.loads((tmp_path / name / "release.json").read_text())["clearance"]
        assert clearance["acknowledged"] is None
        assert clearance["changed_limits"] == {}
        assert clearance["claim"] == "AUC 0.52."  # as coarse as on the audit's page


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("clearance", None, "clearance"),
        ("clearance", "x", "clearance"),
        ("clearance", {}, "clearance.verdict"),
        ("clearance", {"verdict": "PASS", "changed_limits": 3}, "clearance.changed_limits"),
        ("c2pa", "x", "c2pa"),
        ("c2pa", {}, "c2pa.signer"),
        ("set_id", None, "set_id"),
        ("manifest_sha256", 5, "manifest_sha256"),
        ("n_images", "6", "n_images"),
        ("generator", [], "generator"),
    ],
)
def test_a_damaged_description_is_told_by_file_and_field(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str, value: Any, named: str
) -> None:
    out = tmp_path / "release"
    release.run(release.Options(faceset=synthetic, out=out, acknowledge_risk="a test of what verify finds"))
    told = json.loads((out / "release.json").read_text())
    (out / "release.json").write_text(json.dumps(told | {field: value}))
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    assert f"{out / 'release.json'} is damaged ('{named}' is missing" in capsys.readouterr().out
    del told[field]
    (out / "release.json").write_text(json.dumps(told))
    assert main(["verify", str(out)]) == 1  # another file than in SHA256SUMS, if nothing else


@pytest.mark.parametrize("encoding", ["keep", "jpeg", "webp"])
@pytest.mark.parametrize("format", ["folders", "webdataset", "recordio", "parquet"])
def test_every_format_is_marked_and_bound_to_its_audit(
    synthetic: Path, tmp_path: Path, format: Any, encoding: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    before = FaceSet.load(synthetic)
    audit = _audit(tmp_path / "audit", "PASS", before.manifest_sha256)
    options = release.Options(
        faceset=synthetic, audit=audit, out=tmp_path / "release", format=format, encoding=encoding, shard_size=4
    )
    release.run(options)
    items = list(open_source(tmp_path / "release").items())
    assert [item.identity for item in items] == [record.identity for record in before.records]
    for index, item in enumerate(items):
        with Image.open(io.BytesIO(item.content)) as image:  # what Pillow finds, not our reader
            image.load()
            packet = str(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
            gap = np.abs(np.asarray(image).astype(int) - before.read_image(index)).mean()
        assert DIGITAL_SOURCE_TYPE in packet
        assert before.manifest_sha256[:16] in packet
        assert gap == 0 if encoding == "keep" else 0 < gap < 12  # the set is noise, which is the worst case
    assert main(["verify", str(options.out), "--audit", str(audit)]) == 0
    content = {path: path.read_bytes() for path in files_below(options.out)}
    release.run(options)  # again: nothing to do
    assert {path: path.read_bytes() for path in files_below(options.out)} == content
    assert "released already" in capsys.readouterr().out

    (audit / "audit.json").write_text((audit / "audit.json").read_text().replace("No class", "Not a class"))
    assert main(["verify", str(options.out), "--audit", str(audit)]) == 1
    assert "not the audit that the release names" in capsys.readouterr().out
    manifest = options.out / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"identity":"p0"', '"identity":"p9"'))
    assert main(["verify", str(options.out)]) == 1


@pytest.mark.parametrize("encoding", ["keep", "jpeg"])
@pytest.mark.parametrize("format", ["folders", "webdataset"])
def test_a_publisher_with_a_certificate_signs_every_image(
    synthetic: Path,
    tmp_path: Path,
    make_certificate: Callable[..., tuple[Path, Path]],
    format: Any,
    encoding: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("c2pa", reason="c2pa-python is not installed")
    audit = _audit(tmp_path / "audit", "PASS", FaceSet.load(synthetic).manifest_sha256)
    chain, key = make_certificate()
    options = release.Options(
        faceset=synthetic, audit=audit, out=tmp_path / "release", format=format, encoding=encoding,
        c2pa_certificate=chain, c2pa_key=key,
    )  # fmt: skip
    release.run(options)
    for item in open_source(options.out).items():
        found = read_credential(item.content)
        assert found is not None
        assert found.is_whole
        assert found.signer == "A publisher"
    for name in ("README.md", "release.json"):
        assert "A publisher" in (options.out / name).read_text()
    assert main(["verify", str(options.out), "--audit", str(audit)]) == 0
    assert "each signed (C2PA) with the certificate of A publisher" in capsys.readouterr().out
    content = {path: path.read_bytes() for path in files_below(options.out)}
    release.run(options)  # again: nothing to do, though two signatures of one file differ
    assert {path: path.read_bytes() for path in files_below(options.out)} == content
    monkeypatch.setattr(checking, "can_read_credentials", lambda: False)
    assert main(["verify", str(options.out)]) == 0


def test_a_signature_is_part_of_the_release(
    synthetic: Path,
    tmp_path: Path,
    make_certificate: Callable[..., tuple[Path, Path]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("c2pa", reason="c2pa-python is not installed")
    chain, key = make_certificate()
    out = tmp_path / "release"
    reason = "internal smoke test, not for publication"
    release.run(
        release.Options(faceset=synthetic, out=out, c2pa_certificate=chain, c2pa_key=key, acknowledge_risk=reason)
    )
    signed = (out / FaceSet.load(out).records[1].path).read_bytes()
    (tmp_path / "other").mkdir()
    other = CredentialSigner(*make_certificate(number=3, folder=tmp_path / "other"))
    for content, message in [
        (signed.replace(b"c2pa.created", b"c2pa.cropped"), "changed after it was signed"),
        (other.sign(without_credential(signed)), "signed with another certificate"),
        (without_credential(signed), "has no C2PA manifest"),
    ]:
        _forge(out, 1, content)
        assert main(["verify", str(out)]) == 1
        assert message in capsys.readouterr().out
    assert main(["release", str(synthetic), "--out", str(tmp_path / "x"), "--c2pa-key", str(key)]) == 3
    assert "belong together" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["folders", "webdataset", "recordio", "parquet"])
def test_an_acknowledged_risk_stands_in_every_format(synthetic: Path, tmp_path: Path, format: Any) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    reason = "internal smoke test, not for publication"
    out = tmp_path / "release"
    release.run(release.Options(faceset=synthetic, out=out, format=format, acknowledge_risk=reason))
    for name in ("README.md", "DATASHEET.md", "MODEL_CARD.md", "croissant.json", "release.json"):
        assert reason in (out / name).read_text(), name


def _forge(out: Path, index: int, content: bytes) -> None:
    """Replace an image of a release and mend every hash that names it, as a careful forger would."""
    faces = FaceSet.load(out)
    (out / faces.records[index].path).write_bytes(content)
    pairs = [(faces.records[index].sha256, sha256_bytes(content))]
    for name in ("manifest.jsonl", "release.json", "faceset.json", "croissant.json", "SHA256SUMS"):
        text = (out / name).read_text()
        before = sha256_bytes(text.encode())
        for old, new in pairs:
            text = text.replace(old, new)
        (out / name).write_text(text)
        pairs.append((before, sha256_bytes(text.encode())))


def test_mended_hashes_do_not_hide_that_other_files_were_audited(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "release"
    release.run(release.Options(faceset=synthetic, out=out, acknowledge_risk="a test of what verify finds"))
    faces = FaceSet.load(out)
    mark = f"{faces.info['made_by']['inputs']['faceset'][:16]}"
    _forge(out, 0, mark_file(encode_png(255 - faces.read_image(0)), mark))
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    shown = capsys.readouterr().out
    assert "these are not the files that were audited" in shown
    assert "1 problem in" in shown
    _forge(out, 0, encode_png(faces.read_image(1)))
    assert main(["verify", str(out)]) == 1
    assert "lacks the mark" in capsys.readouterr().out


def test_a_release_without_its_description_is_no_faceset_like_any_other(synthetic: Path, tmp_path: Path) -> None:
    out = tmp_path / "release"
    release.run(release.Options(faceset=synthetic, out=out, acknowledge_risk="a test of what verify finds"))
    (out / "release.json").unlink()
    assert main(["verify", str(out)]) == 1


def test_misuse(synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "release",
        str(synthetic),
        "--acknowledge-risk",
        "a test of what is refused",
        "--out",
        str(tmp_path / "r"),
    ]
    (tmp_path / "measure").mkdir()
    (tmp_path / "measure" / "measure.json").write_text('{"made_by": {"inputs": {"set": "0"}}}')
    for more, message in (
        (["--quality", "0"], "--quality"),
        (["--shard-size", "0"], "--shard-size"),
        (["--sidecar", str(tmp_path)], "synthface describe"),
        (["--measure", str(tmp_path)], "synthface measure"),
        (["--measure", str(tmp_path / "measure")], "another set"),
    ):
        assert main([*arguments, *more]) == 3
        assert message in capsys.readouterr().err
    assert main(arguments) == 0
    assert main(["release", str(tmp_path / "r"), *arguments[2:-1], str(tmp_path / "s")]) == 3  # marked already
    assert "XMP data already" in capsys.readouterr().err
    assert main([*arguments, "--encoding", "webp"]) == 3
    assert "made otherwise" in capsys.readouterr().err
    capsys.readouterr()
    assert main(["verify", str(synthetic), "--audit", str(tmp_path)]) == 3
    assert "has no release.json" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "missing"), "--audit", str(tmp_path)]) == 3
    assert "missing does not exist" in capsys.readouterr().err


def test_verify_finds_what_was_tampered_with(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "release"
    release.run(release.Options(faceset=synthetic, out=out, acknowledge_risk="a test of what verify finds"))
    faces = FaceSet.load(out)
    changed, removed = (out / faces.records[k].path for k in (0, 1))
    changed.write_bytes(changed.read_bytes()[:-1])
    removed.unlink()
    (out / "images" / "stray.png").write_bytes(b"")
    (out / "README.md").write_text("edited")
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    shown = capsys.readouterr().out
    for name in (changed.name, removed.name, "stray.png", "README.md"):
        assert name in shown


def test_a_run_killed_among_the_documents_leaves_no_trace(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: Path) -> bytes:
        raise KeyboardInterrupt

    def contents(out: Path) -> dict[str, bytes]:
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in files_below(out)}

    def options(name: str) -> release.Options:
        return release.Options(faceset=synthetic, out=tmp_path / name, acknowledge_risk="a test of killed runs")

    release.run(options("undisturbed"))
    with monkeypatch.context() as patched:
        patched.setattr(writing, "_sums_of_faceset", killed)
        with pytest.raises(KeyboardInterrupt):
            release.run(options("killed"))
    assert (tmp_path / "killed.partial" / "DATASHEET.md").is_file()
    (tmp_path / "killed.partial" / ".settings.json.0123abcd.tmp").write_text("[]")
    release.run(options("killed"))
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")


def test_a_link_is_no_file_of_a_release(synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "release"
    release.run(release.Options(faceset=synthetic, out=out, acknowledge_risk="a test of what verify finds"))
    image = out / FaceSet.load(out).records[0].path
    image.rename(tmp_path / "elsewhere.png")
    image.symlink_to(tmp_path / "elsewhere.png")
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    assert "is a link" in capsys.readouterr().out


def test_the_cards_say_that_images_were_encoded_after_the_audit(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"faceset": synthetic, "acknowledge_risk": "a test of the cards", "quality": 83}
    release.run(release.Options(out=tmp_path / "jpeg", encoding="jpeg", **made))
    assert "--card.published" in capsys.readouterr().out
    release.run(release.Options(out=tmp_path / "keep", **made))
    for name in ("README.md", "DATASHEET.md", "MODEL_CARD.md", "croissant.json"):
        assert "JPEG, quality 83" in (tmp_path / "jpeg" / name).read_text()
        assert "encoded anew" not in (tmp_path / "keep" / name).read_text()
    for name in ("README.md", "DATASHEET.md", "MODEL_CARD.md", "croissant.json", "CITATION.cff"):
        assert "a test of the cards" in (tmp_path / "keep" / name).read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gates": ["A4"]}, "holds no valid audit.json"),
        ({"gates": {"A4": "passed"}}, "holds no valid audit.json"),
        ({"gates": {"A4": {**GATE, "kind": "leak", "passed": False}}}, "says PASS, but not of gate A4"),
        ({"gates": {"V5": {**GATE, "kind": "validity", "passed": None}}}, "says PASS, but not of gate V5"),
        ({"gates": {}}, "says PASS, but not of gate V1 or any other"),
        ({"kinds": {"train": "synthetic"}}, "--train was no set of real photos"),
        ({"remediation": {"log_sha256": "ab" * 32}}, "knows of another cleaning"),
        ({"config": to_json(AuditConfig(min_holdout=1))}, r"passed under changed limits \(min_holdout\)"),
        ({"recognizers": ["/somebody/net.onnx"]}, r"calls a recogniser by its path \(/somebody/net.onnx\)"),
        ({"version": 2}, r"the version of audit.json is 2, this synthface reads 3"),
        ({"config": {}}, r"'config\.alpha' is missing"),
        ({"config": {**to_json(AuditConfig()), "profile": []}}, r"'config\.profile' is missing, unknown"),
        ({"config": {**to_json(AuditConfig()), "alpha": 7.0}}, r"no valid audit.json \(audit gate alpha is 7.0"),
        ({"sizes": {"train": 3}}, r"'sizes\.\*\.images' is missing"),
    ],
)
def test_a_pass_that_its_own_file_contradicts_clears_nothing(
    synthetic: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    audit = _audit(tmp_path / "audit", "PASS", FaceSet.load(synthetic).manifest_sha256, **changes)
    with pytest.raises(AuditError, match=message):
        release.run(release.Options(faceset=synthetic, audit=audit, out=tmp_path / "release"))
    assert not (tmp_path / "release").exists()


def test_images_made_from_somebodys_template_are_not_released(
    write_faceset: Callable[..., Path], tmp_path: Path
) -> None:
    inverted = write_faceset(tmp_path / "set", n_identities=2, per_identity=1, kind="inverted", size=32)
    with pytest.raises(AuditError, match="from which picture each image was made"):
        release.run(release.Options(faceset=inverted, acknowledge_risk="a test of refusals", out=tmp_path / "release"))
