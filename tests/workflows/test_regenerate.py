"""Images made again from the manifest alone: of every way to generate, and of every form of release."""

import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import gan
from gan.config import NetworkConfig
from gan.identities import SampleConfig
from gan.networks.generator import Generator
from gan.weights import load_generator, save_generator
from synthface.cli import main
from synthface.core.errors import ConfigError
from synthface.data import FaceSet, FaceSetWriter
from synthface.data.images import decode_image, encode_png
from synthface.workflows import generate, regenerate, release
from synthface.workflows.generating import drawing_again
from synthface.workflows.generating.new_people import DistinctConfig
from synthface.workflows.releasing.comparison import compare_images, environment_differences


def _model(path: Path, n_classes: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        G = Generator(NetworkConfig(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=16), n_classes)
        for layer in G.synthesis.styled:
            torch.nn.init.constant_(layer.noise_strength, 0.1)
    save_generator(G, path, info={"trained_on_manifest_sha256": "0" * 64})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _model(tmp_path_factory.mktemp("model") / "generator.safetensors", 12)


@pytest.fixture(scope="module")
def synthetic(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("set") / "synthetic"
    generate.run(generate.Options(generator=model, out=out, classes="0-4", per_class=4, psi=0.8))
    return out


def _again(manifest: Path, model: Path, out: Path, **options: object) -> tuple[int, dict[str, object]]:
    code = regenerate.run(regenerate.Options(manifest=manifest, generator=model, out=out, **options))  # type: ignore[arg-type]
    return code, json.loads((out / "regeneration.json").read_text())


@pytest.mark.parametrize("noise_mode", ["const", "random", "none"])
@pytest.mark.parametrize("identities", ["trained", "mixed", "sampled", "unconditional"])
def test_every_way_to_generate_can_be_repeated_from_the_manifest_alone(
    model: Path, tmp_path: Path, identities: str, noise_mode: str
) -> None:
    used = _model(tmp_path / "uncond.safetensors", 0) if identities == "unconditional" else model
    options: dict[str, object] = (
        {"classes": "0"} if identities == "unconditional" else {"classes": "3,0-1", "identities": identities}
    )
    if identities in ("mixed", "sampled"):
        options["distinct"] = DistinctConfig(fmr=0)
    if identities == "sampled":
        options["sample"] = SampleConfig(8)
    generate.run(
        generate.Options(generator=used, out=tmp_path / "set", per_class=6, psi=0.7, noise_mode=noise_mode, **options)  # type: ignore[arg-type]
    )
    if identities == "unconditional":  # every seed is somebody else
        assert FaceSet.load(tmp_path / "set").identities == tuple(f"seed-{j:06d}" for j in range(6))
    lone = tmp_path / "elsewhere" / "ledger.jsonl"
    lone.parent.mkdir()
    lone.write_bytes((tmp_path / "set" / "manifest.jsonl").read_bytes())
    code, result = _again(lone, used, tmp_path / "again")
    assert code == 0
    assert result["n_identical"] == result["n_images"] == len(FaceSet.load(tmp_path / "set"))
    assert (tmp_path / "again" / "manifest.jsonl").read_bytes() == lone.read_bytes()


def test_the_cutoff_of_the_truncation_travels_with_each_image(model: Path, synthetic: Path, tmp_path: Path) -> None:
    set_ = tmp_path / "set"
    arguments = ["--generator", str(model), "--classes", "0-4", "--per-class", "4", "--psi", "0.8", "--cutoff", "3"]
    assert main(["generate", *arguments, "--out", str(set_)]) == 0
    cut, whole = FaceSet.load(set_), FaceSet.load(synthetic)
    assert (cut.info["made_by"]["config"]["cutoff"], {record.cutoff for record in cut.records}) == (3, {3})
    assert "cutoff" not in (synthetic / "manifest.jsonl").read_text() + (synthetic / "faceset.json").read_text()
    G = load_generator(model)
    for index, record in enumerate(cut.records):
        assert record.seed == whole.records[index].seed
        z = torch.randn(1, 8, generator=torch.Generator().manual_seed(record.seed))  # type: ignore[arg-type]
        image = G(z, torch.tensor([record.class_index]), psi=0.8, cutoff=3)[0].permute(1, 2, 0)
        assert np.abs(cut.read_image(index) - ((image.numpy() + 1) * 127.5)).max() < 1  # up to rounding
        assert not np.array_equal(cut.read_image(index), whole.read_image(index))
    ledger = tmp_path / "both.jsonl"  # images of two cutoffs in one set
    lines = [record.to_json() for record in (*cut.records[:3], *whole.records[3:5], *cut.records[5:])]
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, result = _again(ledger, model, tmp_path / "again")
    assert (code, result["n_identical"]) == (0, 20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--psi", "0.8", "--cutoff", "0"], "--cutoff 0: give at least 1"),
        (["--psi", "0.8", "--cutoff", "7"], "--cutoff 7: the generator has 6 layers"),
        (["--cutoff", "2"], "--cutoff 2: nothing is truncated at --psi 1; give --psi too"),
    ],
)
def test_a_cutoff_that_cuts_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    command = ["generate", "--generator", str(model), "--classes", "0", "--out", str(tmp_path / "set"), *arguments]
    assert main(command) == 3
    assert message in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("format", ["folders", "webdataset", "recordio", "parquet"])
@pytest.mark.parametrize("encoding", ["keep", "png", "jpeg", "webp"])
def test_the_files_of_a_release_come_back_mark_and_all(
    model: Path, synthetic: Path, tmp_path: Path, format: str, encoding: str
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    reason = "a test of what can be made again"
    release.run(
        release.Options(
            faceset=synthetic,
            out=tmp_path / "release",
            format=format,  # type: ignore[arg-type]
            encoding=encoding,  # type: ignore[arg-type]
            quality=80,
            acknowledge_risk=reason,
        )
    )
    code, result = _again(tmp_path / "release", model, tmp_path / "again")
    assert (code, result["n_identical"]) == (0, 20)


def test_only_some_of_them(model: Path, synthetic: Path, tmp_path: Path) -> None:
    one = "images/class-000003/00002.png"
    code, result = _again(synthetic, model, tmp_path / "again", only=["class-000001", one])
    assert (code, result["n_images"]) == (0, 5)
    again = FaceSet.load(tmp_path / "again")
    assert {record.path for record in again.records if record.identity != "class-000001"} == {one}


def _tampered(synthetic: Path, out: Path, change: int, n_changed: int = 1) -> Path:
    """Return a copy of the set in which the first pixels of the first image are brighter."""
    faces = FaceSet.load(synthetic)
    with FaceSetWriter(out, kind="synthetic", record=faces.info["made_by"]) as writer:
        for index, record in enumerate(faces.records):
            pixels = faces.read_image(index).astype(np.int16)
            if index == 0:
                first = pixels[0, :n_changed, 0]
                first += np.where(first < 128, change, -change)
            line = record.to_json()
            del line["sha256"]
            path, identity = line.pop("path"), line.pop("identity")
            writer.add(path, encode_png(pixels.astype(np.uint8)), identity=identity, **line)
        writer.finish()
    return out


def test_a_difference_is_measured_and_told(
    model: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = _tampered(synthetic, tmp_path / "changed", 3, n_changed=2)
    code, result = _again(changed, model, tmp_path / "again")
    assert code == 1
    assert (result["n_identical"], result["n_differing"], result["largest_difference"]) == (19, 1, 3)
    assert result["n_pixels"] == 2
    assert result["mean_difference"] == pytest.approx(2 * 3 / (16 * 16 * 3))
    assert result["share_of_pixels"] == pytest.approx(2 / 256)
    lines = (tmp_path / "again" / "differences.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["images/class-000000/00000.png"]
    shown = capsys.readouterr().out
    assert "by at most 3 of 255" in shown
    assert "device of the set is not recorded" in shown
    arguments = ["regenerate", str(changed), "--generator", str(model), "--out", str(tmp_path / "again"), "--tolerance"]
    assert main([*arguments, "2"]) == 1
    assert main([*arguments, "3"]) == 0


def test_the_same_pixels_in_other_bytes(model: Path, synthetic: Path, tmp_path: Path) -> None:
    faces = FaceSet.load(synthetic)
    text = b"tEXta\x00bc"
    comment = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    with FaceSetWriter(tmp_path / "set", kind="synthetic", record=faces.info["made_by"]) as writer:
        for record in faces.records:
            content = (faces.root / record.path).read_bytes()
            content = content[:33] + comment + content[33:]  # behind the header
            line = {key: value for key, value in record.to_json().items() if key not in ("path", "identity", "sha256")}
            writer.add(record.path, content, identity=record.identity, **line)
        writer.finish()
    assert np.array_equal(decode_image(content), faces.read_image(len(faces) - 1))
    code, result = _again(tmp_path / "set", model, tmp_path / "again")
    assert (code, result["n_same_pixels_in_other_bytes"], result["largest_difference"]) == (1, 20, 0)


def test_what_cannot_be_compared_is_not_taken_for_the_same(model: Path, synthetic: Path, tmp_path: Path) -> None:
    changed = _tampered(synthetic, tmp_path / "changed", 1)
    lone = tmp_path / "ledger.jsonl"
    lone.write_bytes((changed / "manifest.jsonl").read_bytes())
    code, result = _again(lone, model, tmp_path / "again", tolerance=255)
    assert (code, result["n_differing"], result["n_not_compared"]) == (1, 1, 1)
    assert compare_images("x", encode_png(np.zeros((16, 16, 3), np.uint8)), b"none").why_unknown
    assert compare_images("x", *(encode_png(np.zeros((k, 16, 3), np.uint8)) for k in (16, 17))).why_unknown


def test_images_beside_a_manifest_alone_are_compared(model: Path, synthetic: Path, tmp_path: Path) -> None:
    changed = _tampered(synthetic, tmp_path / "changed", 3)
    (changed / "faceset.json").unlink()
    code, result = _again(changed, model, tmp_path / "again")
    assert (code, result["n_differing"], result["n_not_compared"], result["largest_difference"]) == (1, 1, 0, 3)
    assert len(result["otherwise_than_then"]) == 1


def test_what_is_otherwise_than_then() -> None:
    now = {"torch": "2", "processor": "b", "device": "cpu", "code": "1", "numpy": "2", "pillow": "1", "machine": "m"}
    assert list(environment_differences(now, now)) == []
    assert list(environment_differences(now | {"processor": "a"}, now)) == ["processor was a, here it is b"]
    assert len(list(environment_differences({}, now))) == 1


def test_misuse(model: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = _model(tmp_path / "other.safetensors", 11)
    out = ["--out", str(tmp_path / "again")]
    (tmp_path / "other.jsonl").write_text("{}\n")
    for arguments, message in (
        ([str(synthetic), "--generator", str(other)], "did not make"),
        ([str(synthetic), "--generator", str(model), "--only", "nobody"], "no such identity or image"),
        ([str(tmp_path / "absent"), "--generator", str(model)], "does not exist"),
        ([str(tmp_path / "other.jsonl"), "--generator", str(model)], "line 1: no record of an image"),
    ):
        assert main(["regenerate", *arguments, *out]) == 3
        assert message in capsys.readouterr().err
    with pytest.raises(ConfigError, match="--tolerance"):
        regenerate.Options(manifest=synthetic, out=tmp_path, tolerance=256)


def test_the_hash_of_the_code_covers_every_module_that_draws() -> None:
    package = Path(gan.__file__).parent
    found, waiting = set(), ["sampling/images"]
    while waiting:
        name = waiting.pop()
        found.add(name)
        source = (package / f"{name}.py").read_text()
        for module, first in re.findall(r"^from gan\.([\w.]+) import (\w+)", source, flags=re.MULTILINE):
            path = module.replace(".", "/")
            path = path if (package / f"{path}.py").is_file() else f"{path}/{first}"
            waiting += [] if path in found else [path]
    computes_nothing = {"config", "cooldown_config"}
    assert found - computes_nothing == set(drawing_again._DRAWING_MODULES)
