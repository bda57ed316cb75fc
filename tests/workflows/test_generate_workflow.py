"""Generation: the same bytes whatever else happens."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan.config import NetworkConfig
from gan.identities import MixtureConfig, SampleConfig, mixed_identity
from gan.networks.generator import Generator, NoiseMode
from gan.sampling import winograd
from gan.sampling.images import ImageRequest, draw_batch, draw_images
from gan.weights import load_generator, save_generator
from synthface.core.errors import ConfigError, WeightsError
from synthface.core.seeds import derive_seed
from synthface.data import FaceSet
from synthface.workflows import generate
from synthface.workflows.generate import parse_ranges
from synthface.workflows.generating.new_people import DistinctConfig

UNFILTERED = DistinctConfig(fmr=0)
SIZES = NetworkConfig(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=16)


def _save_model(path: Path, sizes: NetworkConfig) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        G = Generator(sizes, 12)
        for layer in G.synthesis.styled:
            torch.nn.init.constant_(layer.noise_strength, 0.1)
    save_generator(G, path, info={"trained_on_manifest_sha256": "0" * 64})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save_model(tmp_path_factory.mktemp("model") / "generator.safetensors", SIZES)


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with fast convolutions (gan.sampling.winograd) at 4 and 8 pixels and plain ones at 16."""
    sizes = dataclasses.replace(SIZES, channel_base=640, channel_max=64)
    return _save_model(tmp_path_factory.mktemp("wide") / "generator.safetensors", sizes)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _generate(model: Path, out: Path, **options: object) -> FaceSet:
    generate.run(generate.Options(generator=model, out=out, **options))  # type: ignore[arg-type]
    return FaceSet.load(out)


def test_ranges() -> None:
    assert parse_ranges("0-3,7,5-6,2") == [0, 1, 2, 3, 7, 5, 6]
    for wrong in ("", "3-1", "a", "1-", "-1", "1;2", "\u00b2", "0-999999999999", "10000000", "9" * 5000):
        with pytest.raises(ConfigError, match="--classes"):
            parse_ranges(wrong)


def test_people_who_are_seeds_have_one_each_as_torch_reads_it(tmp_path: Path) -> None:
    """Torch reads 32 bits: of 200,000 derived seeds some are alike there, and would be one face under two names."""
    first, second = ([generate._seed_of_person(run, index) % 2**32 for index in range(200_000)] for run in (0, 1))
    assert len(set(first)) == len(first)
    assert len(set(first) & set(second)) < 40  # of two independent draws 9 would be shared
    save_generator(Generator(SIZES, 0), tmp_path / "people.safetensors", info={})
    people = _generate(tmp_path / "people.safetensors", tmp_path / "people", per_class=3)
    assert [record.seed for record in people.records] == first[:3]


def test_save_and_load_keep_every_weight(model: Path, tmp_path: Path) -> None:
    G = load_generator(model)
    save_generator(G, tmp_path / "again.safetensors", info={"trained_on_manifest_sha256": "0" * 64})
    assert (tmp_path / "again.safetensors").read_bytes() == model.read_bytes()
    assert (G.n_classes, G.resolution, G.z_dim, G.w_dim) == (12, 16, 8, 8)


@pytest.mark.parametrize("noise_mode", ["const", "random", "none"])
def test_an_image_does_not_depend_on_what_else_is_generated(model: Path, tmp_path: Path, noise_mode: str) -> None:
    many = _generate(model, tmp_path / "many", classes="0-11", per_class=5, noise_mode=noise_mode)
    few = _generate(model, tmp_path / "few", classes="7,3", per_class=3, noise_mode=noise_mode)
    by_path = {record.path: record for record in many.records}
    assert len(few) == 6
    assert all(by_path[record.path] == record for record in few.records)


def test_records_suffice_to_make_an_image_again(model: Path, tmp_path: Path) -> None:
    faces = _generate(model, tmp_path / "set", classes="4", per_class=2, psi=0.8)
    record = faces.records[1]
    assert record.seed is not None
    again = draw_batch(load_generator(model), [ImageRequest(record.seed, {4: 1.0})], psi=0.8)[0]
    assert np.array_equal(again, faces.read_image(1))


def test_seeds_differ_between_classes_images_and_runs(model: Path, tmp_path: Path) -> None:
    sets = [_generate(model, tmp_path / str(seed), per_class=3, seed=seed) for seed in (0, 1)]
    seeds = [record.seed for faces in sets for record in faces.records]
    assert len(set(seeds)) == len(seeds) == 72


_LABELS = st.tuples(st.integers(0, 11), st.integers(0, 200))
_REFERENCE: dict[tuple[str, str, int, int], np.ndarray] = {}


@pytest.mark.parametrize(("name", "fast_sides"), [("model", set()), ("wide_model", {4, 8})], ids=["narrow", "wide"])
@given(
    wanted=st.lists(_LABELS, min_size=1, max_size=40),
    world_size=st.integers(1, 3),
    noise_mode=st.sampled_from(["const", "random", "none"]),
    data=st.data(),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_image_j_of_class_k_is_the_same_in_any_company(
    request: pytest.FixtureRequest,
    name: str,
    fast_sides: set[int],
    wanted: list[tuple[int, int]],
    world_size: int,
    noise_mode: NoiseMode,
    data: st.DataObject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is drawn with it, in whatever order, repeated or not, in however many processes."""
    monkeypatch.setattr(winograd, "get_cpu_capability", lambda: "AVX2")  # with AVX-512 no side is fast
    G = load_generator(request.getfixturevalue(name))
    layers = [(layer.weight, len(layer.noise_const)) for layer in G.synthesis.styled]
    assert {side for weight, side in layers if winograd.pays(weight, side)} == fast_sides

    def image_of(label: tuple[int, int]) -> ImageRequest:
        k, j = label
        return ImageRequest(derive_seed(0, "trained", k, j), code={k: 0.75, (k + 1) % 12: 0.25}, key=label)

    plan = [image_of(label) for label in data.draw(st.permutations(wanted))]
    drawn: list[tuple[ImageRequest, np.ndarray]] = []
    for rank in range(world_size):
        mine = [item for chunk in generate._chunks(plan)[rank::world_size] for item in chunk]
        drawn.extend(draw_images(G, mine, noise_mode=noise_mode))
    assert sorted(item.key for item, _ in drawn) == sorted(wanted)
    for item, image in drawn:
        key = (name, noise_mode, *item.key)
        if key not in _REFERENCE:
            _REFERENCE[key] = draw_batch(G, [item], noise_mode=noise_mode)[0]
        assert np.array_equal(image, _REFERENCE[key])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trained", "mixed"])
def test_two_processes_give_the_same_bytes(model: Path, tmp_path: Path, kind: str) -> None:
    """Of new people too, whose choice the processes share: whom they keep, and the templates they keep them by."""
    more = {
        "trained": ["--noise-mode", "random"],
        "mixed": ["--classes", "0-2", "--distinct.fmr", "1e-5", "--distinct.images", "3", "--psi", "1.5"],
    }[kind]
    for devices in ("1", "2"):
        command = [sys.executable, "-m", "synthface", "generate", "--generator", str(model), "--per-class", "9"]
        command += ["--identities", kind, *more, "--out", str(tmp_path / devices), "--devices", devices]
        environment = {**os.environ, "SYNTHFACE_CACHE": str(tmp_path / f"cache-{devices}")}
        subprocess.run(command, check=True, timeout=1200, env=environment)
    assert _bytes(tmp_path / "1") == _bytes(tmp_path / "2")
    if kind == "mixed":
        one, two = (next((tmp_path / f"cache-{devices}" / "templates").iterdir()) for devices in ("1", "2"))
        assert (one.name, one.read_bytes()) == (two.name, two.read_bytes())


@pytest.mark.slow
def test_killed_and_run_again_nothing_is_missing_or_doubled(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "synthface", "generate", "--generator", str(model), "--per-class", "400"]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
    journal = tmp_path / "killed.partial" / "journal-0.jsonl"
    deadline = time.monotonic() + 1200
    while not (journal.exists() and journal.stat().st_size > 50_000) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()
    with journal.open("ab") as stream:
        stream.write(b'{"path": "torn')
    _generate(model, tmp_path / "killed", per_class=400)
    _generate(model, tmp_path / "whole", per_class=400)
    assert _bytes(tmp_path / "killed") == _bytes(tmp_path / "whole")


def test_a_finished_set_is_left_alone_and_another_is_refused(model: Path, tmp_path: Path) -> None:
    _generate(model, tmp_path / "set", classes="0-1", per_class=2)
    before = _bytes(tmp_path / "set")
    _generate(model, tmp_path / "set", classes="0-1", per_class=2)
    assert _bytes(tmp_path / "set") == before
    with pytest.raises(ConfigError, match="made otherwise"):
        _generate(model, tmp_path / "set", classes="0-1", per_class=3)


def test_mixed_identities(model: Path, tmp_path: Path) -> None:
    faces = _generate(model, tmp_path / "set", classes="0-4", per_class=2, identities="mixed", distinct=UNFILTERED)
    for record in faces.records:
        assert record.class_index is None
        assert record.code is not None
        weights = record.code["weights"]
        assert len(weights) == len(set(record.code["classes"])) == 4
        assert sum(weights) == pytest.approx(1, abs=1e-5)
        assert max(weights) <= 0.4
    codes = {record.identity: str(record.code) for record in faces.records}
    assert len(set(codes.values())) == 5


def test_sampled_identities_are_drawn_from_their_code(model: Path, tmp_path: Path) -> None:
    options = {"identities": "sampled", "sample": SampleConfig(8), "distinct": UNFILTERED}
    faces = _generate(model, tmp_path / "set", classes="0-2", per_class=2, **options)
    for index, record in enumerate(faces.records):
        assert record.code is not None
        assert record.seed is not None
        assert len(record.code["classes"]) == 8
        assert min(record.code["weights"]) < 0
        code = dict(zip(record.code["classes"], record.code["weights"], strict=True))
        again = draw_batch(load_generator(model), [ImageRequest(record.seed, code)])[0]
        assert np.array_equal(again, faces.read_image(index))


def test_a_mixed_identity_depends_on_its_number_and_the_seed_alone() -> None:
    config = MixtureConfig()
    assert mixed_identity(50, 3, 0, config) == mixed_identity(50, 3, 0, config)
    assert mixed_identity(50, 3, 0, config) != mixed_identity(50, 4, 0, config)
    assert mixed_identity(50, 3, 0, config) != mixed_identity(50, 3, 1, config)
    with pytest.raises(ConfigError, match="needs 4 training classes"):
        mixed_identity(3, 0, 0, config)


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_generator(tmp_path / "text.safetensors")
    with pytest.raises(WeightsError, match="does not exist"):
        load_generator(tmp_path / "absent.safetensors")


def test_a_refusal_leaves_nothing_that_bars_its_remedy(model: Path, tmp_path: Path) -> None:
    wanted = {"identities": "sampled", "classes": "0-2", "per_class": 1}
    with pytest.raises(ConfigError, match=r"give --sample\.n_parents 12"):
        _generate(model, tmp_path / "set", **wanted, distinct=UNFILTERED)
    few = SampleConfig(12)
    strict = DistinctConfig(fmr=1e-3, patience=1, images=1)
    with pytest.raises(ConfigError, match=r"keep all with --distinct\.fmr 0"):
        _generate(model, tmp_path / "set", **wanted, sample=few, distinct=strict)
    assert list(tmp_path.iterdir()) == []
    assert _generate(model, tmp_path / "set", **wanted, sample=few, distinct=UNFILTERED).n_identities == 3


def test_a_set_that_was_begun_otherwise_is_refused_before_people_are_looked_for(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set.partial").mkdir()
    (tmp_path / "set.partial" / "settings.json").write_text('"other"')
    monkeypatch.setattr(generate, "_people", lambda *_: pytest.fail("it looked for people"))
    with pytest.raises(ConfigError, match="begun with other settings"):
        _generate(model, tmp_path / "set", identities="mixed", classes="0-2", distinct=UNFILTERED)


def test_classes_out_of_range(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 to 11"):
        _generate(model, tmp_path / "set", classes="0-12")


@pytest.mark.parametrize(
    ("identities", "settings", "advice"),
    [
        ("trained", {"mixture": MixtureConfig(n_parents=8)}, r"--mixture.*give --identities mixed, or"),
        ("sampled", {"mixture": MixtureConfig(n_parents=8)}, r"--mixture.*on --identities sampled; give"),
        ("mixed", {"sample": SampleConfig(64)}, r"--sample.*give --identities sampled, or"),
        ("trained", {"distinct": DistinctConfig(fmr=1e-4)}, r"--distinct.*give --identities mixed or sampled, or"),
    ],
)
def test_settings_of_new_people_are_refused_where_others_are_drawn(
    identities: str, settings: dict[str, object], advice: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=advice):
        generate.Options(out=tmp_path, classes="0-1", identities=identities, **settings)  # type: ignore[arg-type]
