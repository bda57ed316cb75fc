"""Simulated people: unit vectors under two recognisers that see the same faces differently."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from synthface.privacy import Embeddings
from synthface.privacy.plants import KINDS, PlantOutcome
from synthface.privacy.signatures import ImageSignatures

Sets = dict[str, Embeddings]
LATENT = 256


@dataclass
class World:
    """Draws people, their photos, and synthetic classes, as two recognisers embed them.

    Args:
        rng: everything is drawn from it.
        dimensions: of the embeddings.
        spread: of a person's photos around the person; .8 gives mated scores of about .6.
    """

    rng: np.random.Generator
    dimensions: int = 64
    spread: float = 0.8

    def __post_init__(self) -> None:
        self.views = {
            name: self.rng.standard_normal((LATENT, self.dimensions)) / np.sqrt(LATENT) for name in ("one", "two")
        }

    def people(self, n: int) -> np.ndarray:
        return self.rng.standard_normal((n, LATENT))

    def photos(self, faces: np.ndarray, counts: np.ndarray | int, names: list[str]) -> Sets:
        """Embed ``counts`` photos of each face."""
        counts = np.broadcast_to(counts, len(faces))
        owner = np.repeat(np.arange(len(faces)), counts)
        identities = np.repeat(names, counts)
        images = np.array([f"{name}/{index}" for index, name in enumerate(identities)])
        # pose, light and age are in the photo: both recognisers see the same ones, in part
        shared = self.spread * self.rng.standard_normal((len(owner), LATENT)) * np.sqrt(0.5)
        result = {}
        for name, view in self.views.items():
            own = self.spread * self.rng.standard_normal((len(owner), LATENT)) * np.sqrt(0.5)
            raw = (faces[owner] + shared + own) @ view
            unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
            result[name] = Embeddings(unit.astype(np.float32), identities, images)
        return result

    def counts(self, n: int) -> np.ndarray:
        """Photos a person: two, mostly; some have many."""
        return 2 + self.rng.geometric(0.3, n).clip(1, 30) - 1


def names(prefix: str, n: int) -> list[str]:
    return [f"{prefix}{index:05d}" for index in range(n)]


@dataclass
class Pool:
    """A real collection, split by identity, and the faces behind it."""

    world: World
    train_faces: np.ndarray
    train: Sets
    holdout: Sets
    placebo: Sets

    def release(self, faces: np.ndarray, per_class: int = 8, prefix: str = "train") -> Sets:
        """A synthetic set with one class a face; by default classes carry the labels of the training people."""
        return self.world.photos(faces, per_class, names(prefix, len(faces)))


def pictures(sets: Sets, seed: int) -> ImageSignatures:
    """Signatures of images that have nothing to do with each other."""
    images = next(iter(sets.values())).images
    pixels = np.random.default_rng(seed).integers(0, 256, (len(images), 32, 32, 3), dtype=np.uint8)
    return ImageSignatures.of_images(pixels, images)


def all_found(n: int = 59) -> tuple[PlantOutcome, ...]:
    """Every planted leak found by both recognisers."""
    return tuple(PlantOutcome(key, n, n, {"one": n, "two": n}) for key in KINDS)


@pytest.fixture(scope="session")
def with_images() -> Callable[["Pool", Sets], dict[str, Any]]:
    """Makes what an audit is given beyond embeddings: signatures of all images, and leaks planted as images."""

    def make(pool: "Pool", synthetic: Sets) -> dict[str, Any]:
        roles = {"synthetic": synthetic, "train": pool.train, "holdout": pool.holdout, "placebo": pool.placebo}
        signatures = {role: pictures(sets, seed) for seed, (role, sets) in enumerate(roles.items())}
        return {"signatures": signatures, "planted": all_found()}

    return make


@pytest.fixture(scope="session")
def make_pool() -> Callable[..., Pool]:
    def make(seed: int, n_train: int = 200, n_holdout: int = 100, n_placebo: int = 100, dimensions: int = 64) -> Pool:
        world = World(np.random.default_rng(seed), dimensions)
        parts = {"train": n_train, "holdout": n_holdout, "placebo": n_placebo}
        faces = {role: world.people(n) for role, n in parts.items()}
        sets = {role: world.photos(faces[role], world.counts(n), names(role, n)) for role, n in parts.items()}
        return Pool(world, faces["train"], **sets)

    return make
