"""V4: what is planted in a copy of the release, and how much of it was found.

``workflows`` makes the planted images and embeds them, ``plant_search`` searches for them. For the gates:
``audit(..., planted=outcomes)`` takes what ``search_plants`` returns, and V4 is decided from it. An outcome with
``demand == "all"`` must have ``found == n`` with ``n`` at least as configured, one with ``demand == "most"`` a lower
Clopper-Pearson bound of at least ``min_recall``; ``"reported"`` decides nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from synthface.data.embeddings import Embeddings
from synthface.privacy.signatures import ImageSignatures

Sets = Mapping[str, Embeddings]
Unit = Literal["images", "classes"]
Demand = Literal["all", "most", "reported"]


@dataclass(frozen=True)
class PlantKind:
    """A way in which a training person can be in a release.

    Attributes:
        key: short name.
        words: what was planted.
        unit: whether single images are planted or whole classes.
        strength: share of the leak in the image (of a morph) or in the class (of its images), above 0 and up to 1.
        demand: what V4 asks of it.
    """

    key: str
    words: str
    unit: Unit
    strength: float
    demand: Demand


KINDS = {
    kind.key: kind
    for kind in (
        PlantKind("verbatim", "training photos as they are", "images", 1.0, "all"),
        PlantKind("recompressed", "training photos cropped, mirrored and as JPEG of quality 30", "images", 1.0, "all"),
        PlantKind("downsampled", "training photos by way of 32 pixels a side", "images", 1.0, "reported"),
        PlantKind("reconstructed", "training photos as the generator draws them", "images", 1.0, "reported"),
        PlantKind("other-photo", "one other photo of a training person", "images", 1.0, "reported"),
        PlantKind("morph-75", "training photos blended with 25 % of another face", "images", 0.75, "reported"),
        PlantKind("morph-50", "training photos blended with 50 % of another face", "images", 0.50, "reported"),
        PlantKind("morph-25", "training photos blended with 75 % of another face", "images", 0.25, "reported"),
        PlantKind("class-100", "classes of other photos of one training person", "classes", 1.0, "most"),
        PlantKind("class-20", "classes of whose images 20 % show one training person", "classes", 0.20, "reported"),
        PlantKind("class-5", "classes of whose images 5 % show one training person", "classes", 0.05, "reported"),
        PlantKind("class-1", "classes of whose images 1 % show one training person", "classes", 0.01, "reported"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Plant:
    """One planted image or class.

    Attributes:
        kind: key of KINDS.
        person: the training person it shows.
        rows: rows of the planted embeddings it is made of.
        filler: rows of the synthetic embeddings that fill up its class.
        classes: how many classes of the release the leaked share is of. More than one where that share of a single
            class would be less than an image: one class holds one leaked image, and the others hold none.
    """

    kind: str
    person: str
    rows: tuple[int, ...]
    filler: tuple[int, ...] = ()
    classes: int = 1


@dataclass(frozen=True)
class Plants:
    """What is planted.

    Attributes:
        sets: embeddings of the planted images by recogniser.
        signatures: of the planted images.
        plants: the images and classes made of them.
        withheld: training photos (image names) that are planted as other photos of their person, and therefore not
            searched against.
    """

    sets: Sets
    signatures: ImageSignatures
    plants: tuple[Plant, ...]
    withheld: frozenset[str]


@dataclass(frozen=True)
class PlantOutcome:
    """How many plants of a kind were found.

    Attributes:
        kind: key of KINDS.
        n: planted.
        found: named by any recogniser, or by the search for copies, as the person they show.
        by_recognizer: named by each recogniser alone.
        as_copies: confirmed as copies of a photo of that person.
        classes: of how many classes the leaked share is, at the median plant; see ``Plant``.
    """

    kind: str
    n: int
    found: int
    by_recognizer: Mapping[str, int]
    as_copies: int = 0
    classes: int = 1

    @property
    def words(self) -> str:
        """What was planted, and over how many classes where the share is less than an image of one."""
        spread = f": one photo in {self.classes} classes" if self.classes > 1 else ""
        return f"{KINDS[self.kind].words}{spread}"

    @property
    def recall(self) -> float:
        """Share that was found; NaN where none could be planted."""
        return self.found / self.n if self.n else float("nan")

    def interval(self, confidence: float) -> tuple[float, float]:
        """Clopper-Pearson interval of the recall, each end at ``confidence``."""
        from synthface.metrics.intervals import clopper_pearson

        low, high = clopper_pearson(self.found, self.n, 2 * confidence - 1)
        return float(low), float(high)
