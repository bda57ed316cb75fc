"""People who are colour patterns, and a recogniser that sees patterns: what an audit needs, without any face."""

import hashlib

import numpy as np
from PIL import Image

from synthface.data import Embeddings, FaceSet, FaceSetWriter
from synthface.privacy import AuditConfig
from synthface.workflows import audit

GATES = AuditConfig(permutations=199, bootstraps=50, min_holdout=10, planted_people=10, planted_images=10)
SIDE, GRID = 32, 6


def drawn(face, photo):
    """A photo of a face: a pattern that belongs to the face, mirror-symmetric, and a little that does not."""
    seeds = (int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") for text in (face, photo))
    pattern, light = (np.random.default_rng(seed).normal(size=(GRID, GRID, 3)) for seed in seeds)
    pattern = 128 + 45 * (pattern + pattern[:, ::-1]) / np.sqrt(2) + 18 * light
    image = Image.fromarray(np.clip(pattern, 0, 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(int(hashlib.sha256((face + photo).encode()).hexdigest()[:8], 16)).normal(
        size=(SIDE, SIDE, 1)
    )
    return np.clip(np.asarray(image) + 12 * grain, 0, 255).astype(np.uint8)


def make(folder, name, people, photos=4, kind="real", extra=None, fields=None):
    """Write a FaceSet with so many photos of each person's face."""
    record = {"command": "test"}
    with FaceSetWriter(folder / name, kind=kind, record=record, extra=extra) as writer:
        for person, face in people.items():
            for j in range(photos):
                path = f"images/{person}/{j}.png"
                more = (fields or {}).get(person, {})
                writer.add(path, drawn(face, name + path), identity=person, source=face, **more)
        return writer.finish()


def fake_embed(faceset, recognizer, *, compute=None, flip=False, via_size=None):
    """Embed by what is in the pixels: the colours of the pattern, seen by each recogniser in its own way."""
    small = np.stack([
        np.asarray(Image.fromarray(faceset.read_image(i)).resize((GRID, GRID), Image.Resampling.BOX), dtype=np.float64)
        for i in range(len(faceset))
    ]).reshape(len(faceset), -1) - 128  # fmt: skip
    seen = np.random.default_rng(len(recognizer)).normal(size=(small.shape[1], 64))
    vectors = small @ seen
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [record.identity for record in faceset.records]
    info = {
        "recognizer": recognizer,
        "recognizer_sha256": sha256_of(recognizer),
        "faceset_manifest_sha256": faceset.manifest_sha256,
        "flip": flip,
        "via_size": via_size,
    }
    return Embeddings(unit, names, [record.path for record in faceset.records], None, info)


def sha256_of(name):
    return hashlib.sha256(name.encode()).hexdigest()


def options(folder, **changes):
    values = {role: folder / role for role in ("synthetic", "train", "holdout", "placebo")}
    values |= {"recognizers": ["one", "three"], "out": folder / "out", "gates": GATES} | changes
    return audit.Options(**values)


def make_leaky(folder):
    train = FaceSet.load(folder / "train")
    return make(
        folder,
        "synthetic",
        {f"class-{k:06d}": f"train{k}" for k in range(40)},
        kind="synthetic",
        extra={"generator": {"trained_on_manifest_sha256": train.manifest_sha256}},
        fields={f"class-{k:06d}": {"class_index": k} for k in range(40)},
    )


def make_new(folder, n=40):
    """A synthetic set of people who are in none of the others."""
    return make(folder, "synthetic", {f"new-{k}": f"new{k}" for k in range(n)}, kind="synthetic")
