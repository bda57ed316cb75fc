"""The arms of study_inversion.py: each is the basis with one idea added, taken away or exchanged."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inversion import PRESETS, InversionConfig
from inversion.extras import Extras
from inversion.images import resize, symmetric
from inversion.variables import eigenfaces
from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet
from synthface.workflows.inverting.means import latent_prior

# Which flag of the study gives what an arm uses.
NEEDS = {"faces": "prior_faces", "mean face": "prior_faces", "generator": "generator"}
_PRIOR_FACES, _EIGENFACE_SIDE, _EIGENFACES = 800, 28, 100


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Attributes:
        idea: what it shows, in a few words.
        changes: settings that differ from the basis.
        basis: preset that they are changed in.
        uses: what it needs beside the templates: "mean face", "faces", "generator", "second recogniser" with the same
            people's templates, or "validator", a second recogniser without any.
    """

    idea: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    basis: str = "fast"
    uses: str | None = None

    @property
    def template_only(self) -> bool:
        """Whether a thief of the templates and their recogniser could do it; any recogniser can be a validator."""
        return self.uses in (None, "validator")

    def config(self, steps: int | None) -> InversionConfig:
        """Return all settings, with another number of steps than the preset's if one is given."""
        config = replace(PRESETS[self.basis], **self.changes)
        return config if steps is None else replace(config, steps=steps)


_STILL = {"flip": False, "shift_pixels": 0, "scale": 0.0, "rotation_degrees": 0.0}
_FULL_SIZE = {"sides": (112,), "stage_shares": (1.0,)}

ARMS = {
    "fast": Arm("the basis: preset fast"),
    "quality": Arm("preset quality: the best of 3 under held-out views", basis="quality"),
    # What the basis consists of, taken away.
    "no-prior": Arm("without the batch-norm prior", {"prior_weight": 0.0}),
    "no-views": Arm("the image itself, in every step", _STILL),
    "no-flip": Arm("views without mirror images", {"flip": False}),
    "no-tv": Arm("without total variation", {"tv_l1_weight": 0.0}),
    "full-size": Arm("112 pixels from the start", _FULL_SIZE),
    "noise-start": Arm("starts from noise around grey", {"start": "noise"}),
    "symmetric-start": Arm("its own mirror image for 60 % of the steps", {"symmetric_share": 0.6}),
    "noise-symmetric": Arm("from noise, the same", {"start": "noise", "symmetric_share": 0.6}),
    # Forms of the prior. Weights relative to the identity loss (10 x cosine distance): as published for ArcFace with
    # the squared distance of 512-d features (.05 / 1024), and for DeepInversion with a cross entropy (.01).
    "prior-paper": Arm("squared norms of mean and deviation", {"prior_form": "paper", "prior_weight": 0.0005}),
    "prior-deepinversion": Arm("norms of mean and variance", {"prior_form": "deepinversion", "prior_weight": 0.01}),
    "first-layer-10": Arm("first batch-norm layer times 10", {"first_layer_weight": 10.0}),
    # Ideas, one at a time.
    "views-2": Arm("2 views a step", {"views": 2}),
    "views-4": Arm("4 views a step", {"views": 4}),
    "half-views": Arm(
        "half the shift, scale and rotation", {"shift_pixels": 3, "scale": 0.05, "rotation_degrees": 3.0}
    ),
    "wide-views": Arm(
        "twice the shift, scale and rotation", {"shift_pixels": 12, "scale": 0.2, "rotation_degrees": 12.0}
    ),
    "colour": Arm("contrast and brightness of views", {"colour": 0.2}),
    "late-flip": Arm("mirror images from 60 % of the steps", {"flip_from": 0.6}),
    "symmetric-all": Arm("symmetric in all steps", {"symmetric_share": 1.0}),
    "common-image": Arm("an image that the group shares", {"common_image": True}),
    "common-noise": Arm("the same, from noise", {"common_image": True, "start": "noise"}),
    "fourier": Arm("Fourier coefficients", {"variable": "fourier", "learning_rate": 0.05}),
    "from-14": Arm("from 14 pixels", {"sides": (14, 28, 56, 112), "stage_shares": (0.2, 0.3, 0.25, 0.25)}),
    "early-tv": Arm("3 times the smoothness at the start", {"tv_early_factor": 3.0}),
    "averaged": Arm("mean of the last fifth of the images", {"average_share": 0.2}),
    "validated-3": Arm("best of 3 by the consensus of synthface-small", {"candidates": 3}, uses="validator"),
    "steps-450": Arm("three times the steps, half the smoothness", {"steps": 450, "tv_l1_weight": 5.0}),
    # Not template-only.
    "mean-start": Arm("starts from the mean of 800 faces", uses="mean face"),
    "eigenfaces": Arm("starts from 100 eigenfaces", uses="faces"),
    "generator": Arm("starts from a generator's w", uses="generator"),
    "generator-only": Arm("a generator's w for all steps", {"latent_share": 1.0}, uses="generator"),
    "ensemble": Arm("with templates of synthface-small", uses="second recogniser"),
}


def extras_from_files(uses: str | None, prior_faces: Path | None, generator: Path | None) -> Extras:
    """Return what an arm uses beside the templates."""
    if uses == "generator" and generator is not None:
        return Extras(generator=latent_prior(generator))
    if uses in ("faces", "mean face") and prior_faces is not None:
        faces = FaceSet.load(prior_faces, flag="--prior-faces")
        chosen = np.sort(numpy_generator(0, "prior faces").permutation(len(faces))[:_PRIOR_FACES])
        pixels = torch.from_numpy(faces.read_images(chosen, 112, 112)).permute(0, 3, 1, 2) / 127.5 - 1
        if uses == "mean face":
            return Extras(start_image=symmetric(pixels.mean(0)))
        return Extras(generator=eigenfaces(resize(pixels, _EIGENFACE_SIDE), _EIGENFACES))
    return Extras()
