"""embed: right rows in right order, the same bytes however it was interrupted or shared, and from the cache after."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from synthface.core.errors import ConfigError, DataError
from synthface.data import Embeddings, FaceSetWriter
from synthface.data.images import resize_image
from synthface.recognition import chunked_embedding as chunked
from synthface.recognition import load_recognizer
from synthface.workflows import embed
from synthface.workflows.embed import Options, embed_faceset


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(chunked, "CHUNK_IMAGES", 16)  # several chunks from few images


def test_rows_are_the_images_in_manifest_order(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces", per_identity=7)
    out = tmp_path / "made" / "faces.npz"
    assert embed.run(Options(faceset=faces.root, recognizer=str(weights_file), out=out)) == 0
    embeddings = Embeddings.load(out)
    assert embeddings.identities.tolist() == [record.identity for record in faces.records]
    assert embeddings.images.tolist() == [record.path for record in faces.records]
    recognizer = load_recognizer(weights_file)
    unit, norms = recognizer.embed_with_norms(faces.read_images(range(len(faces)), 32, 32))
    np.testing.assert_array_equal(embeddings.vectors, unit)
    np.testing.assert_array_equal(embeddings.norms, norms)
    assert embeddings.info == {
        "recognizer": "tiny",
        "recognizer_sha256": recognizer.sha256,
        "faceset_manifest_sha256": faces.manifest_sha256,
        "flip": False,
        "via_size": None,
    }


def test_a_file_that_is_there_is_kept_if_it_is_the_same_and_else_refused(make_faceset, weights_file, tmp_path, caplog):
    faces, out = make_faceset("faces"), tmp_path / "faces.npz"
    options = Options(faceset=faces.root, recognizer=str(weights_file), out=out)
    embed.run(options)
    before = out.read_bytes(), out.stat().st_mtime_ns
    caplog.set_level("INFO")
    assert embed.run(options) == 0
    assert "faces.npz is already complete" in caplog.text
    for other in (dataclasses.replace(options, flip=True), dataclasses.replace(options, via_size=16)):
        with pytest.raises(ConfigError, match=r"faces\.npz already exists and holds something else"):
            embed.run(other)
    assert (out.read_bytes(), out.stat().st_mtime_ns) == before
    out.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"faces\.npz already exists and holds something else"):
        embed.run(options)
    assert out.read_bytes() == b"mine"


def test_options_reach_the_embedding_and_each_has_its_own_cache(make_faceset, weights_file):
    faces = make_faceset("faces")
    recognizer = load_recognizer(weights_file)
    images = faces.read_images(range(len(faces)), 32, 32)
    small = np.stack([resize_image(resize_image(image, 16, 16), 32, 32) for image in images])
    for options, expected in (
        ({}, recognizer.embed(images)),
        ({"flip": True}, recognizer.embed(images, flip=True)),
        ({"via_size": 16}, recognizer.embed(small)),
    ):
        np.testing.assert_array_equal(embed_faceset(faces, str(weights_file), **options).vectors, expected)


def test_half_precision_is_near_batch_by_batch_and_has_its_own_cache(make_faceset, weights_file):
    faces = make_faceset("faces")
    whole = embed_faceset(faces, str(weights_file), flip=True)
    half = embed_faceset(faces, str(weights_file), flip=True, half=True)
    assert half.info == whole.info | {"half": True}
    assert half.vectors.dtype == np.float32
    assert not np.array_equal(half.vectors, whole.vectors)
    assert (half.vectors * whole.vectors).sum(axis=1).min() > 0.99
    recognizer, images = load_recognizer(weights_file), faces.read_images(range(len(faces)), 32, 32)
    for rows in (slice(0, 5), slice(20, 21)):
        np.testing.assert_array_equal(recognizer.embed(images[rows], flip=True, half=True), half.vectors[rows])


def test_interrupted_work_is_taken_up_and_asking_again_computes_nothing(
    make_faceset, weights_file, tmp_path, monkeypatch
):
    faces = make_faceset("faces")
    whole = embed_faceset(faces, str(weights_file))
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "second"))
    computed = []
    original = chunked.ChunkedEmbedding._read

    def counting(self, indices, *, limit):
        computed.extend(indices)
        if len(computed) > limit:
            raise KeyboardInterrupt
        return original(self, indices)

    monkeypatch.setattr(chunked.ChunkedEmbedding, "_read", lambda self, i: counting(self, i, limit=32))
    with pytest.raises(KeyboardInterrupt):
        embed_faceset(faces, str(weights_file))
    computed.clear()
    monkeypatch.setattr(chunked.ChunkedEmbedding, "_read", lambda self, i: counting(self, i, limit=1000))
    resumed = embed_faceset(faces, str(weights_file))
    assert computed == list(range(32, 48))
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    embed_faceset(faces, str(weights_file))
    assert len(computed) == 16
    assert [path.suffix for path in (tmp_path / "second" / "embeddings").iterdir()] == [".npz"]


def test_processes_share_the_chunks(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces")
    recognizer = load_recognizer(weights_file)
    jobs = [chunked.ChunkedEmbedding(faces, recognizer, tmp_path / "chunks") for _ in range(2)]
    starts = [job.missing(rank=rank, world_size=2) for rank, job in enumerate(jobs)]
    assert starts == [[0, 32], [16]]
    assert [list(job.compute(part)) for job, part in zip(jobs, starts, strict=True)] == [
        [*range(16), *range(32, 48)],
        list(range(16, 32)),
    ]
    np.testing.assert_array_equal(jobs[0].collect()[0], embed_faceset(faces, str(weights_file)).vectors)


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(make_faceset, weights_file, tmp_path):
    faces = make_faceset("faces", per_identity=90)  # more than one chunk of the usual size
    written = []
    for devices in ("1", "2"):
        out = tmp_path / f"{devices}.npz"
        arguments = ["embed", str(faces.root), "--recognizer", str(weights_file), "--out", str(out)]
        environment = {**__import__("os").environ, "SYNTHFACE_CACHE": str(tmp_path / f"cache{devices}")}
        subprocess.run(
            [sys.executable, "-m", "synthface", *arguments, "--devices", devices],
            check=True,
            env=environment,
            timeout=1200,
        )
        written.append(out.read_bytes())
    assert written[0] == written[1]


def test_what_cannot_be_embedded_is_refused(tmp_path, weights_file):
    with pytest.raises(ConfigError, match="--out"):
        Options(faceset=tmp_path, recognizer="x", out=tmp_path / "faces.txt")
    with pytest.raises(ConfigError, match="--via-size"):
        Options(faceset=tmp_path, recognizer="x", out=tmp_path / "faces.npz", via_size=2)
    with FaceSetWriter(tmp_path / "wide", kind="synthetic", record={"command": "test"}) as writer:
        writer.add("a.png", np.zeros((32, 48, 3), np.uint8), identity="a")
        wide = writer.finish()
    with pytest.raises(DataError, match="48x32"):
        embed_faceset(wide, str(weights_file))
    with FaceSetWriter(tmp_path / "empty", kind="synthetic", record={"command": "test"}) as writer:
        empty = writer.finish()
    with pytest.raises(DataError, match="no images"):
        embed_faceset(empty, str(weights_file))
