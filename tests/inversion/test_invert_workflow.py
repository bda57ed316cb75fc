"""The command: targets of each kind, judges, resuming, the page, and misuse."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import inversion
from synthface.cli import main
from synthface.core import atomic
from synthface.data import Embeddings, FaceSet, FaceSetWriter
from synthface.data.images import decode_image
from synthface.workflows import invert


def write_recognizer(path: Path, seed: int) -> Path:
    """Write a narrow MobileFaceNet with random weights, and statistics that fit what it sees."""
    import torch

    from synthface.recognition.mobilefacenet import MobileFaceNet, initialise
    from synthface.recognition.network_config import NetworkConfig
    from synthface.recognition.weights import write_network

    network = MobileFaceNet(NetworkConfig(input_size=(32, 32), embedding_dim=16, width=0.125))
    initialise(network, seed)
    for module in network.train().modules():
        if hasattr(module, "momentum"):
            module.momentum = None  # running statistics become plain averages
    with torch.no_grad():
        for k in range(3):
            network(torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(k)))
    write_network(path, network.eval(), about={"made_by": "test"})
    return path


@pytest.fixture(scope="module")
def recognizers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("recognizers")
    return [str(write_recognizer(folder / f"tiny{k}.safetensors", k)) for k in range(2)]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four patterns of no one, two pictures each: 1,104 cross-identity pairs."""
    out = tmp_path_factory.mktemp("faces") / "faces"
    generator = np.random.default_rng(0)
    with FaceSetWriter(out, kind="synthetic", record={"command": "test"}) as writer:
        for person in range(24):
            pattern = generator.integers(0, 256, (4, 4, 3)).repeat(8, 0).repeat(8, 1)
            for k in (1, 2):
                image = np.clip(pattern + generator.normal(0, 25, pattern.shape), 0, 255).astype(np.uint8)
                writer.add(f"images/P{person}_{k:04d}.png", image, identity=f"P{person}")
        writer.finish()
    return out


@pytest.fixture(autouse=True)
def _pairs_of_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of two, so that a handful of targets makes several groups."""
    monkeypatch.setitem(inversion.PRESETS, "fast", replace(inversion.PRESETS["fast"], group_size=2, least_batch=1))


def test_faces_with_judge_and_control(
    faces: Path, recognizers: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["invert", "--recognizer", recognizers[0], "--faces", str(faces), "--judges", recognizers[1]]
    command += ["--limit", "5", "--steps", "3", "--control", "--out", str(out)]
    assert main(command) == 0
    assert capsys.readouterr().out.count("\n") == 5  # heading, two recognisers, twice
    inverted, source = FaceSet.load(out, kinds=["inverted"]), FaceSet.load(faces)
    assert len(inverted) == 5
    for record in inverted.records:
        assert record.identity == next(item.identity for item in source.records if item.path == record.source)
    results = json.loads((out / "results.json").read_text())
    assert results["n_targets"] == 5
    assert set(results["judges"]) == {"tiny1"}
    judged = results["judges"]["tiny1"]
    assert judged["attack_success"]["n_non_mated"] == 48 * 47 // 2 - 24
    assert judged["attack_success"]["type_2"]["n_pairs"] == 5
    assert results["control"]["same_model"]["cosine_mean"] != results["same_model"]["cosine_mean"]

    from synthface.recognition import load_recognizer

    rows = [next(k for k, item in enumerate(source.records) if item.path == r.source) for r in inverted.records]
    for scores, name in ((results["same_model"], recognizers[0]), (judged, recognizers[1])):
        R = load_recognizer(name)
        pair = R.embed(inverted.read_images(range(5), 112, 112)), R.embed(source.read_images(rows, 32, 32))
        assert scores["cosine_mean"] == pytest.approx(float((pair[0] * pair[1]).sum(1).mean()), abs=1e-4)
    assert decode_image((out / "control" / "00004.png").read_bytes()).shape == (112, 112, 3)
    assert decode_image((out / "contact_sheet.png").read_bytes()).shape[0] > 3 * 112
    page = (out / "index.html").read_text()
    assert page.count("<svg") == 2
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert not (out / "groups").exists()

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert main(command) == 0  # again: nothing to do
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    faces: Path, recognizers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(out: str) -> list[str]:
        flags = ["--recognizer", recognizers[0], "--faces", str(faces), "--limit", "5", "--steps", "3"]
        return ["invert", *flags, "--out", str(tmp_path / out)]

    assert main(command("whole")) == 0
    written = []

    def dies_at_the_second(path: Path, content: bytes) -> None:
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(path)
        atomic.write_atomic(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(invert, "write_atomic", dies_at_the_second)
        assert main(command("resumed")) == 130
    began = []
    original = inversion.inverter.optimise_group
    monkeypatch.setattr(
        inversion.inverter, "optimise_group", lambda *args: (began.append(args[2].number), original(*args))[1]
    )
    assert main(command("resumed")) == 0
    assert began == [1, 2]
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file())
    assert Path("index.html") in files
    for file in files:
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "resumed" / file).read_bytes(), file


def test_embeddings_without_pictures(faces: Path, recognizers: list[str], tmp_path: Path) -> None:
    from synthface.workflows.embed import embed_faceset

    embeddings = embed_faceset(FaceSet.load(faces), recognizers[0])
    embeddings.save(tmp_path / "targets.npz")
    np.save(tmp_path / "one.npy", embeddings.vectors[7] * 3)
    common = ["invert", "--recognizer", recognizers[0], "--steps", "2"]
    assert (
        main([*common, "--embeddings", str(tmp_path / "targets.npz"), "--limit", "3", "--out", str(tmp_path / "npz")])
        == 0
    )
    results = json.loads((tmp_path / "npz" / "results.json").read_text())
    assert results["same_model"]["attack_success"]["n_non_mated"] == 48 * 47 // 2 - 24  # the rest of the file serves
    assert main([*common, "--embeddings", str(tmp_path / "one.npy"), "--out", str(tmp_path / "npy")]) == 0
    results = json.loads((tmp_path / "npy" / "results.json").read_text())
    assert results["n_targets"] == 1
    assert results["same_model"]["attack_success"] is None
    assert [record.identity for record in FaceSet.load(tmp_path / "npy").records] == ["row-000000"]


def test_threshold_from_a_pairs_file(faces: Path, recognizers: list[str], tmp_path: Path) -> None:
    pairs = [f"P{i}\t1\tP{j}\t2" for i in range(24) for j in range(24) if i != j] * 2
    mated = [f"P{i % 24}\t1\t2" for i in range(len(pairs))]
    (tmp_path / "pairs.txt").write_text("\n".join([str(len(pairs)), *mated, *pairs]) + "\n")
    command = ["invert", "--recognizer", recognizers[0], "--faces", str(faces), "--limit", "2", "--steps", "1"]
    assert main([*command, "--threshold-pairs", str(tmp_path / "pairs.txt"), "--out", str(tmp_path / "out")]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["same_model"]["attack_success"]["n_non_mated"] == len(pairs) == 1104


def test_misuse_is_one_line(
    faces: Path, recognizers: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def message(*flags: str) -> str:
        assert main(["invert", "--recognizer", recognizers[0], "--out", str(tmp_path / "out"), *flags]) == 3
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        return captured.err

    np.save(tmp_path / "wide.npy", np.ones((2, 128)))
    np.save(tmp_path / "zero.npy", np.zeros((2, 16)))
    other = Embeddings(
        np.eye(16, dtype=np.float32), ["a"] * 16, ["b"] * 16, None, {"recognizer_sha256": "0", "recognizer": "X"}
    )
    other.save(tmp_path / "other.npz")
    assert "by --embeddings or by --faces" in message()
    assert "--judges and --threshold-pairs" in message("--embeddings", "x.npy", "--judges", recognizers[1])
    assert "is the inverted recogniser" in message("--faces", str(faces), "--judges", recognizers[0])
    assert "128 dimensions" in message("--embeddings", str(tmp_path / "wide.npy"))
    assert "zero vectors" in message("--embeddings", str(tmp_path / "zero.npy"))
    assert "made by X" in message("--embeddings", str(tmp_path / "other.npz"))
    assert "does not exist" in message("--embeddings", str(tmp_path / "none.npy"))
    assert "--limit 0" in message("--faces", str(faces), "--limit", "0")
    (tmp_path / "bad.npy").write_bytes(b"no array")
    assert "is not a .npy file" in message("--embeddings", str(tmp_path / "bad.npy"))
