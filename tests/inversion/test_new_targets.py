"""Vectors that are made, not given: read from files, interpolated, sampled, protected."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from inversion.protection import Protection, load_protection, noise, project, quantise
from inversion.targets.interpolation import endpoint, great_circle
from inversion.targets.packing import pack_people
from inversion.targets.population import Population, ledoit_wolf
from inversion.targets.target_file import read_array
from inversion.targets.target_set import TargetSet, choose_people, choose_rows
from synthface.core.errors import ConfigError, DataError
from synthface.data.embeddings import Embeddings


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def people() -> Embeddings:
    """Two hundred people on an anisotropic cloud, two photos each."""
    generator = np.random.default_rng(0)
    spread = np.linspace(2, 0.2, 24)
    centres = (generator.normal(size=(200, 24)) * spread).repeat(2, axis=0)
    vectors = unit(centres + generator.normal(size=(400, 24)) * 0.3 * spread)
    names = np.array([f"p{k // 2:03d}" for k in range(400)])
    return Embeddings(vectors, names, np.array([f"images/{k}.png" for k in range(400)]))


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors"])
def test_files_with_one_matrix(tmp_path: Path, kind: str) -> None:
    from safetensors.numpy import save_file

    matrix = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, matrix)
    elif kind == "npz":
        np.savez(path, weight=matrix, bias=np.ones(8), step=np.array(3))
    else:
        save_file({"weight": matrix, "bias": np.ones(8, np.float32)}, path)
    assert np.allclose(read_array(path, flag="--centres", dimension=8), matrix)


def test_a_head_stored_sideways_and_one_among_several(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    np.savez(tmp_path / "side.npz", head=matrix.T.copy(), other=np.ones((3, 4)))
    assert np.allclose(read_array(tmp_path / "side.npz", flag="--centres", dimension=8), matrix)
    np.savez(tmp_path / "two.npz", a=matrix, b=matrix)
    with pytest.raises(DataError, match=r"two.npz needs one matrix .* has 2"):
        read_array(tmp_path / "two.npz", flag="--centres", dimension=8)
    np.save(tmp_path / "other.npy", np.ones((3, 5), np.float32))
    with pytest.raises(DataError, match=r"--embeddings .*other.npy: rows of 5 numbers"):
        read_array(tmp_path / "other.npy", flag="--embeddings", dimension=8)


@pytest.mark.parametrize("suffix", ["npz", "npy", "safetensors", "pt", "missing.npy"])
def test_files_that_are_none(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bad.{suffix}"
    if "missing" not in suffix:
        path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="bad"):
        read_array(path, flag="--embeddings", dimension=8)


@pytest.mark.parametrize("suffix", ["npz", "npy", "safetensors"])
def test_damaged_files_are_refused_with_a_reason(tmp_path: Path, suffix: str) -> None:
    from safetensors.numpy import save_file

    matrix = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    path = tmp_path / f"a.{suffix}"
    write = {"npy": np.save, "npz": lambda path, matrix: np.savez_compressed(path, a=matrix)}
    write.get(suffix, lambda path, matrix: save_file({"a": matrix}, path))(path, matrix)
    whole, generator = path.read_bytes(), np.random.default_rng(1)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            read_array(path, flag="--embeddings", dimension=8)
        except DataError:
            refused += 1
    assert refused > 100


def npy_header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_of_an_archive_one_matrix_is_read_and_of_the_rest_the_headers(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    np.savez(tmp_path / "a.npz", head=matrix)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("optimiser.npy", npy_header((2**30, 1024)))  # who reads it finds nothing
        archive.writestr("notes.txt", "no array")
    assert np.array_equal(read_array(tmp_path / "a.npz", flag="--centres", dimension=8), matrix)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_small_file_that_declares_a_huge_matrix_is_refused_unread(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        path.write_bytes(npy_header((2**40, 8)))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", npy_header((2**40, 8)))
    with pytest.raises(DataError, match=r"a.np. declares 35,184,372,088,832 bytes; at most 4,294,967,296"):
        read_array(path, flag="--centres", dimension=8)


def test_a_long_header_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x02\x00" + (2**25).to_bytes(4, "little") + b" " * 2**25)
    tracemalloc.start()
    with pytest.raises(DataError, match="plain numbers"):
        read_array(tmp_path / "a.npz", flag="--centres", dimension=8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


def test_what_does_not_fit_into_memory_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    np.save(tmp_path / "a.npy", np.ones((3, 8)))
    monkeypatch.setattr("inversion.targets.target_file.check_targets", full)
    with pytest.raises(DataError, match="does not fit into memory"):
        read_array(tmp_path / "a.npy", flag="--embeddings", dimension=8)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_rows_that_are_none(tmp_path: Path, value: float) -> None:
    matrix = np.ones((3, 8))
    matrix[1] = value
    np.save(tmp_path / "a.npy", matrix)
    with pytest.raises(DataError, match=r"first: row 1"):
        read_array(tmp_path / "a.npy", flag="--embeddings")


def test_great_circle_goes_at_an_even_pace() -> None:
    a, b = unit(np.random.default_rng(0).normal(size=(2, 16)))
    points = great_circle(a, b, 5)
    assert np.allclose(points[[0, -1]], [a, b], atol=1e-6)
    assert np.allclose(np.linalg.norm(points, axis=1), 1, atol=1e-6)
    angles = np.arccos((points[:-1] * points[1:]).sum(1).clip(-1, 1))
    assert np.allclose(angles, np.arccos(a @ b) / 6, atol=1e-3)
    for other in (a, -a):
        with pytest.raises(ConfigError, match="the same or opposite"):
            great_circle(a, other, 3)


def test_endpoints_have_several_names(people: Embeddings) -> None:
    mean = people.vectors[:2].mean(0)
    assert np.allclose(endpoint(people, "p000"), mean / np.linalg.norm(mean), atol=1e-6)
    assert np.allclose(endpoint(people, "images/7.png"), people.vectors[7], atol=1e-6)
    assert np.allclose(endpoint(people, "7"), people.vectors[7], atol=1e-6)
    for name in ("nobody", "400", "-1"):
        with pytest.raises(DataError, match=f"--interpolate {name}"):
            endpoint(people, name)


def test_shrinkage_is_that_of_scikit_learn(people: Embeddings) -> None:
    sklearn_covariance = pytest.importorskip("sklearn.covariance")
    centred = people.vectors[::2].astype(np.float64)
    centred -= centred.mean(0)
    covariance, shrinkage = ledoit_wolf(centred)
    expected, weight = sklearn_covariance.ledoit_wolf(centred, assume_centered=True)
    assert shrinkage == pytest.approx(weight, rel=1e-6)
    assert np.allclose(covariance, expected)


def test_draws_lie_where_real_people_do(people: Embeddings) -> None:
    population = Population.fit(people.vectors, people.identities)
    drawn = population.draw(4000, np.random.default_rng(0))
    assert np.allclose(np.linalg.norm(drawn, axis=1), 1)
    assert np.allclose(drawn.std(0)[:12], people.vectors.std(0)[:12], rtol=0.15)
    assert drawn.std(0)[-1] < 0.4 * drawn.std(0)[0]
    assert population.contains(drawn).mean() > 0.9
    far = np.eye(24)[-1:]  # along the direction with the least variance
    assert not population.contains(far)[0]
    with pytest.raises(DataError, match="at least 20 people"):
        Population.fit(people.vectors[:10], people.identities[:10])


def test_high_dimension_and_few_people_still_give_draws() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(60, 256)))
    population = Population.fit(vectors, np.arange(60).astype(str))
    assert population.contains(population.draw(200, np.random.default_rng(1))).mean() > 0.5


def test_packed_people_are_apart_from_each_other_and_from_real_ones(people: Embeddings) -> None:
    population = Population.fit(people.vectors, people.identities)
    packing = pack_people(population, 60, 0.6, real=people.vectors, seed=1)
    among = packing.vectors @ packing.vectors.T - 2 * np.eye(60)
    real = packing.vectors @ people.vectors.T
    assert among.max() < 0.6
    assert real.max() < 0.6
    assert packing.closest_pair == pytest.approx(among.max(), abs=1e-6)
    assert packing.closest_real == pytest.approx(real.max(), abs=1e-6)
    assert population.contains(packing.vectors.astype(np.float64)).all()
    assert packing.n_pushed > 0
    fewer = pack_people(population, 20, 0.6, real=people.vectors, seed=1)
    assert (fewer.vectors == packing.vectors[:20]).all()
    assert not np.allclose(pack_people(population, 20, 0.6, real=people.vectors, seed=2).vectors, fewer.vectors)


def test_more_people_than_fit_are_refused_with_their_number(people: Embeddings) -> None:
    population = Population.fit(people.vectors, people.identities)
    with pytest.raises(ConfigError, match=r"--sample 5000: only \d+ people fit"):
        pack_people(population, 5000, 0.2, real=people.vectors, patience=200)


def test_people_are_chosen_whole_and_apart_from_those_skipped(people: Embeddings) -> None:
    tuning = choose_people(people.identities, 30, 5, photos=1)
    table = choose_people(people.identities, 60, 5, photos=2, skip=30)
    assert len(tuning) == 30
    assert len(table) == 60
    assert set(people.identities[tuning]).isdisjoint(people.identities[table])
    assert (np.unique(people.identities[table], return_counts=True)[1] == 2).all()
    half = people.take(np.arange(200))
    kept = set(half.identities[choose_people(half.identities, None, 5, photos=2, skip=0)][:60])
    assert kept  # the order among the same people does not hang on who else is there
    order = [set(people.identities[choose_people(people.identities, 2 * k, 5, photos=2)]) for k in (1, 2, 3)]
    assert order[0] < order[1] < order[2]
    with pytest.raises(ConfigError, match="nobody is left"):
        choose_people(people.identities, 3, 5, photos=3)
    with pytest.raises(ConfigError, match="nobody is left"):
        choose_people(people.identities, 1, 5, photos=2)  # nobody has two photos in one
    assert len(choose_rows(10, None, 0)) == 10


def test_repeats_keep_different_people_together(people: Embeddings) -> None:
    targets = TargetSet.of_collection(people, np.array([0, 2, 4])).repeated(2)
    assert targets.identities.tolist() == ["p000", "p001", "p002"] * 2
    assert targets.sha256 != TargetSet.of_collection(people, np.array([0, 2, 4])).sha256


def test_quantised_templates_have_so_many_levels() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(50, 64)))
    assert len(np.unique(quantise(vectors, 2))) == 4
    one = quantise(vectors, 1)
    assert (np.sign(one) == np.sign(vectors)).all()
    assert np.abs(quantise(vectors, 12) - vectors.clip(-3 / 8, 3 / 8)).max() < 1e-3
    tensor = torch.from_numpy(vectors).requires_grad_()
    assert np.allclose(quantise(tensor, 2).detach(), quantise(vectors, 2), atol=1e-6)
    quantise(tensor, 2).sum().backward()
    assert (tensor.grad == 1).all()  # straight through the steps


def test_noise_lowers_the_cosine_as_stated() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(400, 256)))
    cosine = (unit(noise(vectors, 1.0)) * vectors).sum(1).mean()
    assert cosine == pytest.approx(2**-0.5, abs=0.01)
    assert (noise(vectors, 0.0) == vectors).all()


def test_hashes_agree_as_often_as_the_angle_says() -> None:
    a = unit(np.random.default_rng(0).normal(size=(1, 64)))
    b = unit(a + 0.1 * np.random.default_rng(1).normal(size=(1, 64)))
    codes = [project(x, 4000) for x in (a, b)]
    angle = np.arccos(float(a[0] @ b[0]))
    assert (codes[0] == codes[1]).mean() == pytest.approx(1 - angle / np.pi, abs=0.03)


def test_protections_are_found_and_checked() -> None:
    assert Protection(load_protection("quantise"), 8, "quantise").lets_gradients_through(16)
    assert not Protection(load_protection("noise"), 1.0, "noise").lets_gradients_through(16)
    with pytest.raises(ConfigError, match="needs --strengths"):
        Protection(load_protection("quantise"), None, "quantise")
    with pytest.raises(ConfigError, match="takes no strength"):
        Protection(lambda e: e, 1.0, "mine:f")
    for name in ("nothing", "no.such.module:f", "numpy:no_such", ":f", "numpy:pi"):
        with pytest.raises(ConfigError, match="--protect"):
            load_protection(name)
    vectors = unit(np.random.default_rng(0).normal(size=(4, 16)))
    with pytest.raises(DataError, match=r"returned shape \(16,\)"):
        Protection(lambda e: e[0], None, "mine:f").templates(vectors)
    with pytest.raises(DataError, match="NaN"):
        Protection(lambda e: e * np.nan, None, "mine:f").templates(vectors)
    with pytest.raises(ConfigError, match="makes 3 numbers of 16"):
        Protection(lambda e: np.asarray(e)[:, :3], None, "mine:f").protected_model(torch.nn.Identity(), 16, 3)
