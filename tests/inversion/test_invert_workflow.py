"""The command: targets of each kind, judges, resuming, the page, and misuse."""

import gc
import importlib.resources
import json
import os
import shutil
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inversion
from inversion.scoring.separation import measure_separation
from synthface.cli import main
from synthface.core import atomic
from synthface.core.errors import WeightsError
from synthface.data import Embeddings, FaceSet, FaceSetWriter
from synthface.data.images import decode_image
from synthface.workflows.inverting import running
from synthface.workflows.inverting.results import table

PROTECTED = ["--protect", "quantise", "--strengths", "8", "--inversion.identity_form"]


def write_recognizer(path: Path, seed: int) -> Path:
    """Write a narrow MobileFaceNet with random weights, and statistics that fit what it sees."""
    import torch

    from synthface.recognition.network_config import NetworkConfig
    from synthface.recognition.networks.mobilefacenet import MobileFaceNet, initialise
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


@pytest.fixture(autouse=True)
def _figures_drawn_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of a short run's time; the first test looks at the page."""
    if request.node.name != "test_faces_with_judge_and_control":
        monkeypatch.setattr("synthface.report.inversion_figures.figure_svg", lambda *_: "<svg></svg>")


def results_of(out: Path) -> dict:
    """Read the results, which must fit their schema."""
    jsonschema = pytest.importorskip("jsonschema")
    results = json.loads((out / "results.json").read_text())
    schema = importlib.resources.files("synthface.report").joinpath("inversion.schema.json").read_text()
    jsonschema.validate(results, json.loads(schema))
    assert (out / "inversion.schema.json").read_text() == schema
    return results


def test_faces_with_judge_and_control(
    faces: Path, recognizers: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["invert", "--recognizer", recognizers[0], "--faces", str(faces), "--judges", recognizers[1]]
    command += ["--limit", "5", "--steps", "3", "--control", "--out", str(out)]
    assert main(command) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("images")
    assert sum(line.startswith("inverted ") for line in shown) == 2
    inverted, source = FaceSet.load(out, kinds=["inverted"]), FaceSet.load(faces)
    assert len(inverted) == 5
    for record in inverted.records:
        assert record.identity == next(item.identity for item in source.records if item.path == record.source)
    results = results_of(out)
    assert results["n_targets"] == 5
    assert set(results["judges"]) == {"tiny1"}
    assert results["thresholds"]["tiny1"]["1e-2"]["n_non_mated"] == 48 * 47 // 2 - 24
    assert results["thresholds"]["tiny1"]["1e-4"] is None  # 1,104 pairs cannot show one in ten thousand
    judged = results["judges"]["tiny1"]
    assert judged["counts"]["sar_type2_at_fmr_1e-3"] == 5
    assert judged["sar_type2_at_fmr_1e-4"] is None
    assert results["control"]["same_model"]["cosine_mean"] != results["same_model"]["cosine_mean"]
    gap = results["same_model"]["cosine_mean"] - judged["cosine_mean"]
    assert results["transfer_gap"]["tiny1"] == pytest.approx(gap)
    realigned = results["realigned"]
    if realigned is not None:  # the detector is installed, and finds no face in patterns
        assert realigned["faces_found"] == results["detector"]["inverted"]
        assert realigned["faces_found"]["n"] == realigned["judges"]["tiny1"]["counts"]["cosine_mean"] == 5
        assert any(line.split()[:2] == ["re-aligned", "tiny1"] for line in shown)
        assert shown[-1] in (out / "index.html").read_text()
    assert results["beyond_template"] == []

    from synthface.recognition import load_recognizer

    rows = [next(k for k, item in enumerate(source.records) if item.path == r.source) for r in inverted.records]
    for scores, name in ((results["same_model"], recognizers[0]), (judged, recognizers[1])):
        R = load_recognizer(name)
        pair = R.embed(inverted.read_images(range(5), 112, 112)), R.embed(source.read_images(rows, 32, 32))
        assert scores["cosine_mean"] == pytest.approx(float((pair[0] * pair[1]).sum(1).mean()), abs=1e-4)
    assert decode_image((out / "control" / "000004.png").read_bytes()).shape == (112, 112, 3)
    assert decode_image((out / "contact_sheet.png").read_bytes()).shape[0] > 3 * 112
    page, public = ((out / name).read_text() for name in ("index.html", "report_public.html"))
    assert page.count("<svg") == 3
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(public) < len(page)
    assert not (out / "groups").exists()

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert main(command) == 0  # again: nothing to do
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_ceiling_and_floors_stand_beside_the_scores(faces: Path, recognizers: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ["--recognizer", recognizers[0], "--faces", str(faces), "--judges", recognizers[1], "--steps", "2"]
    assert main(["invert", *flags, "--photos-per-person", "2", "--limit", "20", "--out", str(out)]) == 0
    results = results_of(out)
    assert (results["n_targets"], results["n_people"]) == (20, 10)
    assert results["judges"]["tiny1"]["counts"]["accuracy_both_sides"] == 20

    from synthface.recognition import load_recognizer

    source, R = FaceSet.load(faces), load_recognizer(recognizers[1])
    real = R.embed(source.read_images(range(48), 32, 32))
    names = [record.source for record in FaceSet.load(out).records]
    rows = [next(k for k, item in enumerate(source.records) if item.path == name) for name in names]
    threshold = results["thresholds"]["tiny1"]["1e-2"]["value"]
    mates = [next(k for k in range(48) if k != row and source.labels[k] == source.labels[row]) for row in rows]
    accepted = [real[a] @ real[b] >= threshold for a, b in zip(rows, mates, strict=True)]
    assert results["ceiling"]["judges"]["tiny1"]["sar_type2_at_fmr_1e-2"] == pytest.approx(np.mean(accepted))
    average = np.rint(source.read_images(range(48), 112, 112).mean(0)).astype(np.uint8)
    cosine = (R.embed(average[None]) @ real[rows].T).mean()
    assert results["floor"]["mean_face"]["judges"]["tiny1"]["cosine_mean"] == pytest.approx(float(cosine), abs=2e-3)
    made = R.embed(FaceSet.load(out).read_images(range(20), 112, 112))
    shuffled = results["floor"]["shuffled_targets"]["judges"]["tiny1"]["cosine_mean"]
    assert shuffled != pytest.approx(float((made * real[rows]).sum(1).mean()), abs=1e-4)


def test_without_a_detector_all_else_is_measured(
    faces: Path,
    recognizers: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing() -> None:
        raise WeightsError("no weights here")

    monkeypatch.setattr("synthface.data.detection.mtcnn.load_cascade", missing)
    out = tmp_path / "out"
    flags = ["--recognizer", recognizers[0], "--faces", str(faces), "--limit", "2", "--steps", "1"]
    assert main(["invert", *flags, "--out", str(out)]) == 0  # without a judge, too
    results = results_of(out)
    assert results["realigned"] is None
    assert set(results["detector"].values()) == {None}
    assert results["jpeg75"]["same_model"]["cosine_mean"] is not None
    shown = capsys.readouterr().out
    assert "aligned" not in shown
    assert "aligned anew" not in (out / "index.html").read_text()
    del results["realigned"]  # as in results of earlier versions
    assert table(results) == shown


def test_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    faces: Path, recognizers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(out: str) -> list[str]:
        flags = ["--recognizer", recognizers[0], "--faces", str(faces), "--limit", "5", "--steps", "3"]
        return ["invert", *flags, "--out", str(tmp_path / out)]

    assert main(command("whole")) == 0

    def dies_at_the_second_group(path: Path, content: bytes) -> None:
        if path.name == "images-000001.npz":
            raise KeyboardInterrupt
        atomic.write_atomic(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(running, "write_atomic", dies_at_the_second_group)
        assert main(command("resumed")) == 130
    began = []
    original = inversion.inverter.optimise_group
    monkeypatch.setattr(
        inversion.inverter, "optimise_group", lambda *args: (began.append(args[2].number), original(*args))[1]
    )
    assert main(command("resumed")) == 0
    assert began == [1, 2]
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file())
    assert {Path("index.html"), Path("progress.gif"), Path("report_public.html")} <= set(files)
    for file in files:
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "resumed" / file).read_bytes(), file


def test_what_was_kept_of_groups_goes_even_if_the_run_that_finished_was_killed(
    faces: Path, recognizers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--recognizer", recognizers[0], "--faces", str(faces), "--limit", "2", "--steps", "1"]
    command = ["invert", *flags, "--out", str(tmp_path / "out")]
    finish = FaceSetWriter.finish

    def finishes_and_dies(writer: FaceSetWriter) -> None:
        finish(writer)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FaceSetWriter, "finish", finishes_and_dies)
        assert main(command) == 130
    assert (tmp_path / "out" / "groups" / "progress.npz").exists()
    assert main(command) == 0
    assert not (tmp_path / "out" / "groups").exists()


@pytest.mark.slow
@pytest.mark.parametrize("targets", [["--limit", "4"], ["--sample", "4", "--distinct-fmr", "0.1"]])
def test_two_processes_invert_and_judge_as_one_does(
    targets: list[str], faces: Path, recognizers: list[str], tmp_path: Path
) -> None:
    common = ["invert", "--recognizer", recognizers[0], "--faces", str(faces), "--judges", recognizers[1], *targets]
    common += ["--steps", "2", "--inversion.group_size", "2", "--inversion.least_batch", "1"]
    assert main([*common, "--out", str(tmp_path / "one")]) == 0
    subprocess.run(
        [sys.executable, "-m", "synthface", *common, "--devices", "2", "--out", str(tmp_path / "two")],
        check=True,
        env={**os.environ, "SYNTHFACE_CACHE": str(tmp_path / "another"), "OMP_NUM_THREADS": "1"},
        timeout=1200,
    )
    one, two = (FaceSet.load(tmp_path / name) for name in ("one", "two"))
    assert one.manifest_sha256 == two.manifest_sha256
    assert (one.root / "results.json").read_bytes() == (two.root / "results.json").read_bytes()


def test_embeddings_without_pictures(faces: Path, recognizers: list[str], tmp_path: Path) -> None:
    from synthface.workflows.embed import embed_faceset

    embeddings = embed_faceset(FaceSet.load(faces), recognizers[0])
    embeddings.save(tmp_path / "targets.npz")
    np.save(tmp_path / "one.npy", embeddings.vectors[7] * 3)
    np.savez(tmp_path / "plain.npz", anything=embeddings.vectors[:3])
    common = ["invert", "--recognizer", recognizers[0], "--steps", "2"]
    out = tmp_path / "ours"
    assert main([*common, "--embeddings", str(tmp_path / "targets.npz"), "--limit", "3", "--out", str(out)]) == 0
    results = results_of(out)
    assert results["thresholds"]["tiny0"]["1e-2"]["n_non_mated"] == 48 * 47 // 2 - 24  # the rest of the file serves
    assert results["floor"]["mean_face"] is None
    assert main([*common, "--embeddings", str(tmp_path / "one.npy"), "--out", str(tmp_path / "npy")]) == 0
    results = results_of(tmp_path / "npy")
    assert results["n_targets"] == 1
    assert results["thresholds"]["tiny0"]["1e-2"] is None
    assert results["floor"]["shuffled_targets"] is None  # there is nobody else
    assert [record.identity for record in FaceSet.load(tmp_path / "npy").records] == ["row-000000"]
    assert "src=" not in (tmp_path / "npy" / "report_public.html").read_text()  # who knows whose they are
    assert main([*common, "--embeddings", str(tmp_path / "plain.npz"), "--out", str(tmp_path / "plain")]) == 0
    assert results_of(tmp_path / "plain")["n_targets"] == 3


def test_class_centres_with_the_margin_loss(recognizers: list[str], tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    head = np.random.default_rng(0).normal(size=(16, 6)).astype(np.float32)  # stored sideways, as some heads are
    save_file({"head.weight": head, "bias": np.zeros(6, np.float32)}, tmp_path / "head.safetensors")
    command = [
        "invert",
        "--recognizer",
        recognizers[0],
        "--centres",
        str(tmp_path / "head.safetensors"),
        "--steps",
        "2",
    ]
    command += ["--limit", "3", "--inversion.identity_form", "margin", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    results = results_of(tmp_path / "out")
    assert results["targets"]["origin"] == "centres"
    assert results["made_by"]["config"]["inversion"]["identity_form"] == "margin"
    assert all(record.identity.startswith("class-") for record in FaceSet.load(tmp_path / "out").records)


def test_between_two_people(faces: Path, recognizers: list[str], tmp_path: Path) -> None:
    command = ["invert", "--recognizer", recognizers[0], "--faces", str(faces), "--steps", "2"]
    assert main([*command, "--interpolate", "P1", "P2", "--between", "3", "--out", str(tmp_path / "out")]) == 0
    identities = [record.identity for record in FaceSet.load(tmp_path / "out").records]
    assert identities == [f"step-{k:06d}" for k in range(5)]
    assert 0 < results_of(tmp_path / "out")["targets"]["angle_degrees"] < 180


@pytest.mark.parametrize(("kind", "resembling"), [("synthetic", 1), ("real", 1), ("real", 0)])
def test_people_who_do_not_exist(
    faces: Path, recognizers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, resembling: int
) -> None:
    faces = Path(shutil.copytree(faces, tmp_path / "faces"))
    info = json.loads((faces / "faceset.json").read_text())
    (faces / "faceset.json").write_text(json.dumps(info | {"kind": kind}))

    def measured(*arguments: Any) -> dict[str, Any]:
        return measure_separation(*arguments) | {"images_matching_real": resembling}

    monkeypatch.setattr("inversion.scoring.separation.measure_separation", measured)
    command = ["invert", "--recognizer", recognizers[0], "--faces", str(faces), "--steps", "2"]
    command += [
        "--judges",
        recognizers[1],
        "--sample",
        "4",
        "--per-identity",
        "2",
        "--distinct-fmr",
        "0.1",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 0
    made = FaceSet.load(tmp_path / "out", kinds=["inverted"])
    assert len(made) == 8
    assert len(made.identities) == 4
    images = made.read_images(range(8), 112, 112)
    assert not (images[0] == images[4]).all()  # one person, two starts
    assert made.records[0].identity == made.records[4].identity
    results = results_of(tmp_path / "out")
    assert results["targets"]["closest_pair"] < results["targets"]["threshold"]
    assert results["targets"]["closest_real"] < results["targets"]["threshold"]
    assert set(results["separation"]) == {"tiny0", "tiny1"}
    assert all(found["n_pairs"] == 8 * 7 // 2 - 4 for found in results["separation"].values())
    assert results["judges"] == {}
    public = (tmp_path / "out" / "report_public.html").read_text()
    protects = kind == "real" and resembling == 1
    assert ("src=" in public) == (not protects)
    assert ("takes at least one of the images for a real face" in public) == protects

    from synthface.workflows.embed import embed_faceset

    assert len(embed_faceset(made, recognizers[1])) == 8


def test_protected_templates(faces: Path, recognizers: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["invert", "--recognizer", recognizers[0], "--faces", str(faces), "--limit", "3", "--steps", "2"]
    assert main([*command, "--protect", "project", "--strengths", "24", "6", "--out", str(out)]) == 0
    results = results_of(out)
    tested = results["protection"]["tested"]
    assert [(part["strength"], part["dimensions"]) for part in tested] == [(24, 24), (6, 6)]
    assert len(FaceSet.load(out)) == 3  # the set holds what came of the plain targets
    assert len(list((out / "protected-6").glob("*.png"))) == 3
    assert "protected 24" in (out / "index.html").read_text()


def test_settings_go_over_the_preset(
    faces: Path, recognizers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["invert", "--recognizer", recognizers[0], "--faces", str(faces), "--limit", "2", "--preset", "quality"]
    settings = ["--inversion.steps", "2", "--inversion.tv_l1_weight", "10", "--inversion.sides", "[56, 112]"]
    settings += ["--inversion.stage_shares", "[0.5, 0.5]", "--inversion.group_size", "2"]
    assert main([*command, *settings, "--out", str(tmp_path / "out")]) == 0
    config = results_of(tmp_path / "out")["made_by"]["config"]["inversion"]
    assert (config["steps"], config["tv_l1_weight"], config["sides"]) == (2, 10, [56, 112])
    assert config["candidates"] == inversion.PRESETS["quality"].candidates == 3


def test_other_faces_and_a_validator_are_named_as_means(
    faces: Path, recognizers: list[str], tmp_path: Path, write_faceset
) -> None:
    others = write_faceset(tmp_path / "others", n_identities=30, per_identity=2, size=32)
    command = ["invert", "--recognizer", recognizers[0], "--faces", str(faces), "--limit", "2", "--steps", "4"]
    command += ["--prior-faces", str(others), "--validator", recognizers[1], "--inversion.candidates", "2"]
    command += ["--prior-uses", "components", "statistics"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert results_of(tmp_path / "out")["beyond_template"] == ["faces of other people"]
    assert "Not template-only" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["--faces", "{faces}", "--interpolate", "{person}", "1"], "4 images of the targets' own people are left out"),
        (["--embeddings", "{tmp}/named.npz", "--limit", "2"], "images of the targets' own people are left out"),
        (["--embeddings", "{tmp}/plain.npy", "--limit", "2"], "the targets have no names"),
        (["--embeddings", "{tmp}/plain.npy", "--interpolate", "0", "2"], "the targets have no names"),
    ],
)
def test_prior_faces_are_of_others_as_far_as_names_are_known(
    targets: list[str],
    said: str,
    recognizers: list[str],
    tmp_path: Path,
    write_faceset,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from synthface.workflows.embed import embed_faceset

    faces = write_faceset(tmp_path / "faces", n_identities=30, per_identity=2, size=32)
    embeddings = embed_faceset(FaceSet.load(faces), recognizers[0])
    embeddings.save(tmp_path / "named.npz")
    np.save(tmp_path / "plain.npy", embeddings.vectors)
    caplog.set_level("INFO")
    places = {"tmp": tmp_path, "faces": faces, "person": embeddings.identities[-1]}
    command = ["invert", "--recognizer", recognizers[0], *(flag.format(**places) for flag in targets)]
    command += ["--prior-faces", str(faces), "--prior-uses", "mean", "--steps", "1", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert sum(said in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "by --faces, --embeddings or --centres"),
        (["--embeddings", "{tmp}/wide.npy", "--judges", "{judge}"], "--judges compare with pictures"),
        (["--faces", "{faces}", "--judges", "{own}"], "is the inverted recogniser"),
        (["--faces", "{faces}", "--judges", "nobody"], "neither a file nor a known name"),
        (["--faces", "{faces}", "--judges", "{judge}", "--validator", "{judge}"], "is also a judge"),
        (["--faces", "{faces}", "--ensemble", "{own}"], "is the inverted recogniser"),
        (["--embeddings", "{tmp}/wide.npy"], "rows of 128 numbers"),
        (["--embeddings", "{tmp}/zero.npy"], "zero vectors (first: row 0)"),
        (["--embeddings", "{tmp}/nan.npy"], "NaN or infinity (first: row 1)"),
        (["--embeddings", "{tmp}/other.npz"], "made by X"),
        (["--embeddings", "{tmp}/none.npy"], "does not exist"),
        (["--embeddings", "{tmp}/bad.npy"], "is not a .npy file"),
        (["--embeddings", "{tmp}/bad.npz"], "is not an embeddings file"),
        (["--centres", "{tmp}/bad.npy"], "is not a .npy file"),
        (["--faces", "{faces}", "--limit", "0"], "--limit 0"),
        (["--faces", "{faces}", "--preset", "best"], "--preset best: there are"),
        (["--faces", "{faces}", "--inversion.steps", "0"], "steps is at least 1"),
        (["--faces", "{faces}", "--interpolate", "P1"], "--interpolate takes two names"),
        (["--faces", "{faces}", "--interpolate", "P1", "nobody"], "--interpolate nobody"),
        (["--faces", "{faces}", "--sample", "100000", "--distinct-fmr", "0.5"], "people fit"),
        (["--faces", "{faces}", "--sample", "3", "--distinct-fmr", "1e-4"], "too few to measure it"),
        (["--faces", "{faces}", "--sample", "3", "--limit", "3"], "--interpolate and --sample make them"),
        (["--faces", "{faces}", "--skip-people", "3"], "needs --photos-per-person"),
        (["--faces", "{faces}", "--photos-per-person", "3"], "nobody is left"),
        (["--faces", "{faces}", "--protect", "quantise"], "needs --strengths"),
        (["--faces", "{faces}", "--protect", "mine"], "--protect mine: neither"),
        (["--faces", "{faces}", *PROTECTED, "feature_l2"], "--protect needs --inversion.identity_form cosine"),
        (["--faces", "{faces}", "--inversion.identity_form", "margin"], "name them with --centres"),
        (["--faces", "{faces}", *PROTECTED, "margin"], "--protect needs --inversion.identity_form cosine"),
        (["--faces", "{faces}", "--limit", "1", "--photos-per-person", "2"], "--limit 1 is less than"),
        (["--faces", "{faces}", "--strengths", "3"], "name it with --protect"),
        (["--faces", "{faces}", "--prior-faces", "{faces}"], "images of people who are no targets"),
        (["--faces", "{faces}", "--generator", "{tmp}"], "generator"),
    ],
)
def test_misuse_is_answered_in_one_line(
    flags: list[str],
    message: str,
    faces: Path,
    recognizers: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "wide.npy", np.ones((2, 128)))
    np.save(tmp_path / "zero.npy", np.zeros((2, 16)))
    np.save(tmp_path / "nan.npy", np.where(np.arange(3)[:, None] == 1, np.nan, np.ones((3, 16))))
    for name in ("bad.npy", "bad.npz"):
        (tmp_path / name).write_bytes(b"no array")
    info = {"recognizer_sha256": "0", "recognizer": "X"}
    Embeddings(np.eye(16, dtype=np.float32), ["a"] * 16, ["b"] * 16, None, info).save(tmp_path / "other.npz")
    places = {"tmp": tmp_path, "faces": faces, "own": recognizers[0], "judge": recognizers[1]}
    given = [flag.format(**places) for flag in flags]
    command = ["invert", "--recognizer", recognizers[0], "--steps", "1", "--out", str(tmp_path / "out")]
    if "--inversion.steps" in given:
        command = [word for word in command if word not in ("--steps", "1")]
    assert main([*command, *given]) == 3
    shown = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(shown) == 1
    assert message in shown[0]


def test_many_targets_stream_through(recognizers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more images than one group's are in memory, however many targets there are."""
    held: list[weakref.ref] = []
    original = running._save_images

    def watch(arm, group, targets, writer, seed) -> None:
        gc.collect()
        assert all(images() is None for images in held)  # also none that a view keeps
        held.append(weakref.ref(group.images))
        original(arm, group, targets, writer, seed)

    monkeypatch.setattr(running, "_save_images", watch)
    np.save(tmp_path / "many.npy", np.random.default_rng(0).normal(size=(40, 16)))
    command = ["invert", "--recognizer", recognizers[0], "--embeddings", str(tmp_path / "many.npy"), "--steps", "1"]
    assert main([*command, "--inversion.group_size", "8", "--out", str(tmp_path / "out")]) == 0
    assert len(held) == 5
    assert len(FaceSet.load(tmp_path / "out")) == 40
