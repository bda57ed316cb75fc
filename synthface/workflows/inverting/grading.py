"""What the inverted recogniser and its judges see in the images as saved. Judges choose nothing."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from synthface.core.seeds import numpy_generator
from synthface.data import Embeddings, FaceSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inversion.scoring.scores import Bench
    from inversion.targets.target_set import TargetSet
    from synthface.recognition import Recognizer
    from synthface.workflows.inverting.finding import FaceFinder

    Images = NDArray[np.uint8]
    Vectors = NDArray[np.float32]

_JPEG_QUALITY = 75
_MOST_AVERAGED = 1000  # photos in the mean face


@dataclass(frozen=True)
class Grader:
    """A recogniser with what it compares images with.

    Attributes:
        recognizer: the inverted one, or a judge.
        bench: targets and gallery under it.
    """

    recognizer: "Recognizer"
    bench: "Bench"

    @property
    def name(self) -> str:
        """Name of the recogniser."""
        return self.recognizer.name

    def embed(self, blocks: "Iterable[Images]") -> "Vectors":
        """Return [N, D] unit embeddings of images that come in blocks."""
        return np.concatenate([self.recognizer.embed(block) for block in blocks])

    def embed_found(self, faces: "Images", found: "NDArray[np.bool_]") -> "Vectors":
        """Return [n, D] embeddings of what a detector found in n images; zeros where it found nothing.

        Args:
            faces: [f, 112, 112, 3] the faces.
            found: [n] which images had one.
        """
        vectors = np.zeros((len(found), self.bench.targets.shape[1]), np.float32)
        if len(faces):
            vectors[found] = self.recognizer.embed(faces)
        return vectors


def make_grader(
    recognizer: "Recognizer", targets: "TargetSet", collection: Embeddings | None, seed: int, *, inverted: bool
) -> Grader:
    """Prepare a recogniser for scoring.

    Args:
        recognizer: the recogniser.
        targets: what was inverted.
        collection: embeddings of the whole collection under this recogniser; None where there is none with names.
        seed: of the pairs that accuracy is measured on.
        inverted: this recogniser made the targets.
    """
    from inversion.scoring.replaced_pairs import plan_pairs
    from inversion.scoring.scores import Bench, Gallery

    gallery = None if collection is None else Gallery(collection.vectors, collection.identities)
    pairs = None
    if gallery is not None and targets.rows is not None:
        pairs = plan_pairs(targets.identities, targets.rows, gallery.identities, seed=seed)
    own = targets.vectors
    if not inverted:
        assert collection is not None
        assert targets.rows is not None
        own = collection.vectors[targets.rows]
    return Grader(recognizer, Bench(own, targets.identities, gallery, targets.rows, pairs))


def view(graders: list[Grader], blocks: "Callable[[], Iterable[Images]]", seed: int) -> dict[str, Any]:
    """Score images under the inverted recogniser, the first, and under each judge.

    Returns:
        ``same_model``, ``judges`` by name, and ``transfer_gap`` by name: the cosine that an image has to its target
        under the inverted recogniser alone.
    """
    return scored(graders, [grader.embed(blocks()) for grader in graders], seed)


def scored(graders: list[Grader], vectors: "list[Vectors]", seed: int, *, real: bool = False) -> dict[str, Any]:
    """Do the same for embeddings that are there, one matrix for each recogniser."""
    from inversion.scoring.scores import score_images

    same_model, *judged = (
        score_images(part, grader.bench, real=real, seed=seed) for part, grader in zip(vectors, graders, strict=True)
    )
    judges = {grader.name: scores for grader, scores in zip(graders[1:], judged, strict=True)}
    gaps = {name: None if real else same_model["cosine_mean"] - judge["cosine_mean"] for name, judge in judges.items()}
    return {"same_model": same_model, "judges": judges, "transfer_gap": gaps}


def view_realigned(
    graders: list[Grader], finder: "FaceFinder", blocks: "Iterable[Images]", seed: int
) -> dict[str, Any] | None:
    """Score images as a system does that is shown them as pictures: it looks for the face and aligns it anew.

    An image without a face has no embedding, and a vector of zeros stands for it: it passes for nobody, and counts as
    a cosine of 0, what strangers have. Left out, it would raise the mean of an attack that fails more often.

    Returns:
        The same as ``view``, and ``faces_found``, the share of the images with a face; None without a detector.
    """
    from synthface.workflows.inverting.finding import share

    if not finder.knows:
        return None
    flags: list[NDArray[np.bool_]] = []
    parts: list[list[Vectors]] = [[] for _ in graders]
    for block in blocks:
        faces, found = finder.realign(block)
        flags.append(found)
        for grader, part in zip(graders, parts, strict=True):
            part.append(grader.embed_found(faces, found))
    return {"faces_found": share(np.concatenate(flags)), **scored(graders, list(map(np.concatenate, parts)), seed)}


def ceiling(graders: list[Grader], seed: int) -> dict[str, Any] | None:
    """Score the pictures behind the targets in the place of the images made; None where there are none."""
    photos = [grader.bench.real_photos() for grader in graders]
    known = [part for part in photos if part is not None]
    return scored(graders, known, seed, real=True) if len(known) == len(graders) else None


def floor(
    graders: list[Grader], made: "list[Vectors]", faceset: FaceSet | None, side: tuple[int, int], seed: int
) -> dict[str, Any]:
    """Score what knows nothing of the target: images made for others, one mean face for all, and noise.

    Args:
        graders: the inverted recogniser and the judges.
        made: embeddings of the images made, under each.
        faceset: photos to average, if there are any.
        side: height and width of the noise.
        seed: of noise and choice.
    """
    others = graders[0].bench.without_own(graders[0].bench.owners)
    n = len(others)
    noise = numpy_generator(seed, "noise floor").integers(0, 256, (min(n, 64), *side, 3), dtype=np.uint8)
    repeated = np.arange(n) % len(noise)
    floors: dict[str, Any] = {"shuffled_targets": None, "mean_face": None}
    if (others >= 0).all():
        floors["shuffled_targets"] = scored(graders, [part[others] for part in made], seed)
    if faceset is not None:
        face = [grader.embed([mean_face(faceset, seed)]) for grader in graders]
        floors["mean_face"] = scored(graders, [part.repeat(n, axis=0) for part in face], seed)
    floors["noise"] = scored(graders, [grader.embed([noise])[repeated] for grader in graders], seed)
    return floors


def mean_face(faceset: FaceSet, seed: int) -> "Images":
    """Return the mean of up to a thousand photos, [1, 112, 112, 3]."""
    rows = np.arange(len(faceset))
    if len(rows) > _MOST_AVERAGED:
        rows = np.sort(numpy_generator(seed, "mean face").choice(rows, _MOST_AVERAGED, replace=False))
    total = np.zeros((112, 112, 3))
    for row in rows:
        total += faceset.read_images([int(row)], 112, 112)[0]
    return np.rint(total / len(rows)).astype(np.uint8)[None]


def as_jpeg(images: "Images") -> "Images":
    """Return [n, H, W, 3] images after JPEG at quality 75, the usual way into another system."""
    decoded = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, format="JPEG", quality=_JPEG_QUALITY)
        decoded.append(np.asarray(Image.open(stream).convert("RGB")))
    return np.stack(decoded)
