"""What one recogniser sees of all sets, and the searches between them, each made once when it is first asked for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synthface.core.seeds import numpy_generator
from synthface.data.embeddings import Embeddings
from synthface.privacy.config import AuditConfig
from synthface.privacy.gallery import Gallery, build_gallery
from synthface.privacy.inputs import AuditInputs
from synthface.privacy.recognizer_check import Verification, verify
from synthface.privacy.search import Search, SearchResult

_ALL = 1 << 40  # photos a synthetic class may have: no cap
_PROBE_PHOTOS = 20_000


@dataclass(frozen=True)
class View:
    """All embeddings of one recogniser.

    Attributes:
        inputs: of the audit.
        recognizer: its name.
        config: the limits.
        search: compares every query with every photo.
    """

    inputs: AuditInputs
    recognizer: str
    config: AuditConfig
    search: Search

    def rng(self, *parts: str) -> np.random.Generator:
        """Return a generator for a part of the audit, another one under each recogniser."""
        return numpy_generator(self.config.seed, "audit", *parts, self.recognizer)

    @cached_property
    def synthetic(self) -> Embeddings:
        """The synthetic images."""
        return self.inputs.roles["synthetic"][self.recognizer]

    @cached_property
    def classes(self) -> Gallery:
        """The synthetic images by class."""
        return build_gallery(self.synthetic, _ALL)

    @cached_property
    def train(self) -> Gallery | None:
        """The training people."""
        return self._gallery("train")

    @cached_property
    def holdout(self) -> Gallery | None:
        """The hold-out people."""
        return self._gallery("holdout")

    @cached_property
    def placebo(self) -> Gallery | None:
        """The placebo people."""
        return self._gallery("placebo")

    @cached_property
    def verification(self) -> Verification | None:
        """How well hold-out people are told apart."""
        return None if self.holdout is None else verify(self.holdout, self.config, self.rng("verify"))

    def near(self, role: str, queries: str = "synthetic") -> SearchResult:
        """Return each person's largest scores, and the nearest photo of each query, among a role's people.

        Args:
            role: "train" or "holdout".
            queries: "synthetic" (all images), or a role of real people (all photos, or a random part of many).
        """
        key = (role, queries)
        if key not in self._found:
            gallery = self.gallery(role)
            vectors = self.synthetic.vectors if queries == "synthetic" else self.probe(queries).vectors
            self._found[key] = self.search(gallery, vectors, self.config.top_scores)
        return self._found[key]

    def probe(self, role: str) -> Gallery:
        """Return the photos of a role that serve as queries: all, or those of random people up to 20,000."""
        if role not in self._probes:
            gallery = self.gallery(role)
            if len(gallery.vectors) > _PROBE_PHOTOS:
                rng = numpy_generator(self.config.seed, "audit", "probe", role)  # the same people for all recognisers
                shuffled = rng.permutation(len(gallery))
                kept = shuffled[np.cumsum(gallery.counts[shuffled]) <= _PROBE_PHOTOS]
                gallery = gallery.take(np.sort(kept))
            self._probes[role] = gallery
        return self._probes[role]

    def person_scores(self, role: str, queries: str = "synthetic") -> NDArray[np.float64]:
        """Return a_i [P]: the mean of each person's largest scores against the queries."""
        return np.asarray(self.near(role, queries).person_top.mean(axis=1), dtype=np.float64)

    @property
    def searched(self) -> tuple[tuple[str, str], ...]:
        """The searches made so far: (role of the people, role of the queries)."""
        return tuple(self._found)

    def gallery(self, role: str) -> Gallery:
        """Return the people of a role that is there."""
        gallery = self._gallery(role)
        if gallery is None:
            raise KeyError(role)
        return gallery

    def _gallery(self, role: str) -> Gallery | None:
        if role not in self._galleries:
            embeddings = self.inputs.get(role, self.recognizer)
            photos = self.config.images_per_identity
            self._galleries[role] = None if embeddings is None else build_gallery(embeddings, photos)
        return self._galleries[role]

    @cached_property
    def _galleries(self) -> dict[str, Gallery | None]:
        return {}

    @cached_property
    def _probes(self) -> dict[str, Gallery]:
        return {}

    @cached_property
    def _found(self) -> dict[tuple[str, str], SearchResult]:
        return {}
