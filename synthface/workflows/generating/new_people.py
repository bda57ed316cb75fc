"""New people for ``synthface generate``: candidate identities, kept if a recogniser finds them new and distinct."""

import io
import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gan.distinct import Templates, identity_templates, keep_distinct
from gan.identities import Code
from synthface.core.atomic import write_atomic
from synthface.core.cache_folder import cache_folder
from synthface.core.errors import ConfigError
from synthface.core.hashing import sha256_json
from synthface.core.seeds import derive_seed
from synthface.workflows.progress import track

if TYPE_CHECKING:
    from gan.networks.generator import Generator
    from synthface.recognition import Recognizer

logger = logging.getLogger(__name__)

_BLOCK = 32  # identities drawn and embedded between two decisions
_CACHE_VERSION = 1


@dataclass(frozen=True)
class DistinctConfig:
    """Which new identities are kept: those that are no training class's and no earlier one's likeness.

    Args:
        fmr: two identities count as one person if their templates match at this false match rate of the recogniser on
            real people; a smaller rate keeps more of them. 0 keeps every candidate, unseen.
        recognizer: name or file of the recogniser.
        images: images drawn for an identity's template, the unit mean of their embeddings.
        patience: candidates that may be rejected in a row before the command gives up.
        calibrate: FaceSet of real people to measure the threshold on; the default is a table of measured thresholds
            for the recognisers known by name.
    """

    fmr: float = 1e-3
    recognizer: str = "synthface-small"
    images: int = 8
    patience: int = 500
    calibrate: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.fmr < 1:
            raise ConfigError(f"--distinct.fmr {self.fmr}: give a rate from 0 (no filter) to below 1")
        if self.images < 1 or self.patience < 1:
            raise ConfigError("--distinct.images and --distinct.patience are at least 1")

    @property
    def is_on(self) -> bool:
        """Say whether candidates are filtered at all."""
        return self.fmr > 0

    def inputs(self) -> dict[str, str]:
        """Return the hashes of what the filter reads."""
        from synthface.data import FaceSet
        from synthface.recognition.catalogue import find_weights

        if not self.is_on:
            return {}
        hashes = {"distinct recognizer": find_weights(self.recognizer).sha256}
        if self.calibrate is not None:
            faces = FaceSet.load(self.calibrate, kinds=["real"], flag="--distinct.calibrate")
            hashes["distinct calibrate"] = faces.manifest_sha256
        return hashes

    def decides(self) -> dict[str, Any]:
        """Return the settings that decide who is kept; files are among the inputs, by their hashes."""
        return {"fmr": self.fmr, "images": self.images, "patience": self.patience} if self.is_on else {"fmr": 0.0}


@dataclass(frozen=True)
class Kept:
    """The candidates that were kept.

    Attributes:
        candidates: their numbers; person p of a set is candidate ``candidates[p]``.
        facts: what to note about the filter in faceset.json.
    """

    candidates: list[int]
    facts: dict[str, Any]


class NewPeople:
    """Finds the first so many candidates that are new people.

    Args:
        G: the generator.
        generator_sha256: hash of its file.
        config: the filter.
        code: from a candidate's number to its code.
        draw: ``psi``, ``noise_mode`` and the like, as ``draw_images`` takes them.
        seed: the run's seed, from which the images of the templates are seeded.
        fabric: processes that share the work.
    """

    def __init__(
        self,
        G: "Generator",
        generator_sha256: str,
        config: DistinctConfig,
        *,
        code: Callable[[int], Code],
        draw: dict[str, Any],
        seed: int,
        fabric: Any,
    ) -> None:
        self.G, self.config, self.code, self.draw, self.seed, self.fabric = G, config, code, draw, seed, fabric
        self.generator_sha256 = generator_sha256

    def first(self, n: int) -> Kept:
        """Return the first ``n`` candidates that are kept.

        Raises:
            ConfigError: the generator does not give so many.
        """
        self.code(0)  # are there classes enough?
        if not self.config.is_on:
            return Kept(list(range(n)), {})
        from synthface.recognition import load_recognizer

        recognizer = load_recognizer(self.config.recognizer).to(self.fabric.device)
        threshold = self._threshold(recognizer)
        trained = self._trained_templates(recognizer)
        kept = keep_distinct(
            self._candidate_templates(recognizer), threshold, others=trained, patience=self.config.patience
        )
        taken = list(track(itertools.islice(kept, n), description="finding new people", total=n, unit="person"))
        if len(taken) < n:
            raise ConfigError(
                f"only {len(taken)} of the {n} people asked for are new and distinct at --distinct.fmr "
                f"{self.config.fmr:g} under {recognizer.name} (the next {self.config.patience} candidates are not): "
                f"ask for fewer with --classes, train the generator longer, or keep all with --distinct.fmr 0"
            )
        rejected = taken[-1] + 1 - len(taken)
        logger.info("%d people kept, %d candidates rejected at threshold %.3f", len(taken), rejected, threshold)
        facts = {"recognizer": recognizer.name, "fmr": self.config.fmr, "threshold": round(threshold, 6)}
        return Kept(taken, {**facts, "people": len(taken), "rejected_candidates": rejected})

    def _threshold(self, recognizer: "Recognizer") -> float:
        from synthface.data import FaceSet
        from synthface.workflows.generating.real_thresholds import measured_thresholds, shipped_threshold

        fmr, name = self.config.fmr, self.config.recognizer
        if self.config.calibrate is None:
            return shipped_threshold(name, recognizer.sha256, fmr, side=self.G.resolution)
        faces = FaceSet.load(self.config.calibrate, kinds=["real"], flag="--distinct.calibrate")
        side = self.G.resolution if self.G.resolution < recognizer.side else None
        return measured_thresholds(faces, name, [fmr], via_size=side)[fmr]

    def _candidate_templates(self, recognizer: "Recognizer") -> Iterator[Templates]:
        for start in itertools.count(step=_BLOCK):
            codes = {f"candidate {index}": self.code(index) for index in range(start, start + _BLOCK)}
            yield self._templates(recognizer, codes, self.seed)

    def _trained_templates(self, recognizer: "Recognizer") -> Templates:
        """Return the templates of all training classes as this generator shows them, from the cache if known."""
        key = sha256_json(
            {
                "version": _CACHE_VERSION,
                "generator": self.generator_sha256,
                "recognizer": recognizer.sha256,
                "images": self.config.images,
                **self.draw,
            }
        )
        path = cache_folder("templates") / f"{key[:32]}.npy"
        if self._all(path.exists()):
            cached: Templates = np.load(path, allow_pickle=False)
            return cached
        starts = range(0, self.G.n_classes, _BLOCK)
        blocks = []
        for start in track(starts, description="drawing the training classes", unit="block"):
            stop = min(start + _BLOCK, self.G.n_classes)
            blocks.append(self._templates(recognizer, {f"class {k}": {k: 1.0} for k in range(start, stop)}, 0))
        templates = np.concatenate(blocks)
        if self.fabric.is_global_zero:
            stream = io.BytesIO()
            np.save(stream, templates)
            write_atomic(path, stream.getvalue())
        return templates

    def _templates(self, recognizer: "Recognizer", codes: dict[str, Code], seed: int) -> Templates:
        """Draw and embed a few images of each code, shared among processes; the same bytes in all of them."""
        import torch

        from gan.sampling.images import ImageRequest, draw_images

        rank, world_size = self.fabric.global_rank, self.fabric.world_size
        requests = [
            ImageRequest(derive_seed(seed, "template", name, j), code)
            for name, code in list(codes.items())[rank::world_size]
            for j in range(self.config.images)
        ]
        templates = np.zeros((len(codes), recognizer.embedding_dim), np.float32)
        if requests:
            images = np.stack([image for _, image in draw_images(self.G, requests, **self.draw)])
            templates[rank::world_size] = identity_templates(recognizer.embed(images), self.config.images)
        if world_size == 1:
            return templates
        # Each row is filled by one process and zero in the others, so the sum is exact.
        summed = self.fabric.all_reduce(torch.from_numpy(templates), reduce_op="sum")  # on the process's device
        shared: Templates = summed.cpu().numpy()
        return shared

    def _all(self, value: bool) -> bool:
        import torch

        if self.fabric.world_size == 1:
            return value
        return int(self.fabric.all_reduce(torch.tensor(int(value)), reduce_op="sum")) == self.fabric.world_size
