"""What an attacker has beside the recogniser and a template: other recognisers, a generator, photos of other people."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthface.core.errors import ConfigError, DataError
from synthface.core.hashing import sha256_file
from synthface.core.seeds import numpy_generator
from synthface.data import FaceSet
from synthface.workflows.embed import embed_faceset

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from gan.networks.generator import Generator
    from inversion.extras import Extras
    from inversion.variables import GeneratorPrior
    from synthface.workflows.invert import Latent, Options
    from synthface.workflows.inverting.targets import Chosen

logger = logging.getLogger(__name__)
_LATENTS_DRAWN = 4096
_MOST_FACES, _COMPONENTS, _FACE_SIDE = 800, 100, 28  # a linear prior of coarse faces; detail is the recogniser's
_LEAST_FACES = 50


def gather_means(
    options: "Options", chosen: "Chosen", faceset: FaceSet | None, recognizer: Any, device: Any
) -> "Extras":
    """Load what --validator, --ensemble, --generator, --prior-faces and --centres name.

    Raises:
        ConfigError: a file is missing or of another kind.
        DataError: too few photos of other people.
    """
    from inversion.extras import Extras
    from synthface.recognition import load_recognizer

    ensemble = []
    for name in options.ensemble:
        assert faceset is not None
        assert chosen.targets.rows is not None
        templates = embed_faceset(faceset, name, compute=options).vectors[chosen.targets.rows]
        ensemble.append((load_recognizer(name, device=device), templates))
    extras = Extras(
        generator=latent_prior(options.generator, device, options.latent) if options.generator is not None else None,
        ensemble=ensemble,
        validator=load_recognizer(options.validator, device=device) if options.validator else None,
        centres=chosen.centres,
    )
    if options.prior_faces is None:
        return extras
    faces = _other_people(options.prior_faces, chosen.sources)
    return replace(extras, **_from_faces(options.prior_uses, faces, recognizer, device))


def hashes_of_means(options: "Options") -> dict[str, str]:
    """Return the hashes of what is used beside the recogniser, by name."""
    from gan.weights import generator_file
    from synthface.recognition.catalogue import find_weights

    inputs = {f"ensemble {name}": find_weights(name).sha256 for name in options.ensemble}
    if options.validator:
        inputs["validator"] = find_weights(options.validator).sha256
    if options.generator is not None:
        inputs["generator"] = sha256_file(generator_file(options.generator))
    if options.prior_faces is not None:
        inputs["prior faces"] = FaceSet.load(options.prior_faces, flag="--prior-faces").manifest_sha256
    return inputs


def latent_prior(path: Path, device: Any = "cpu", latent: "Latent" = "w") -> "GeneratorPrior":
    """Return a generator's latents as image prior.

    Args:
        path: the generator's file, or the run that trained it.
        device: where to compute.
        latent: "w" is what the mapping network gives, its centre and spread from draws over all classes. "z" is what
            it takes: the normal z and, of a generator with classes, a class row, which is free to lie between those
            of the training classes and is counted from their mean in their standard deviations.
    """
    from gan.weights import load_generator

    G = load_generator(path, device).requires_grad_(False)
    return _z_prior(G) if latent == "z" else _w_prior(G)


def _w_prior(G: "Generator") -> "GeneratorPrior":
    import torch

    from inversion.variables import GeneratorPrior

    device = G.mapping.w_average.device
    draws = numpy_generator(0, "latents of a prior")
    z = torch.from_numpy(draws.standard_normal((_LATENTS_DRAWN, G.z_dim)).astype(np.float32)).to(device)
    labels = torch.from_numpy(draws.integers(0, G.n_classes, _LATENTS_DRAWN)).to(device) if G.n_classes else None
    with torch.no_grad():
        w = G.mapping(z, G.mapping.class_embedding(labels))
    return GeneratorPrior(partial(_synthesise, G), (G.w_dim,), w.mean(0), w.std(0))


def _z_prior(G: "Generator") -> "GeneratorPrior":
    import torch

    from inversion.variables import GeneratorPrior

    device = G.mapping.w_average.device
    rows = G.mapping.class_embedding(torch.arange(G.n_classes, device=device)) if G.n_classes else None

    def synthesise(latents: torch.Tensor) -> torch.Tensor:
        z, row = latents[:, : G.z_dim], latents[:, G.z_dim :]
        return _synthesise(G, G.mapping(z, None if rows is None else row))

    centre, spread = torch.zeros(G.z_dim, device=device), torch.ones(G.z_dim, device=device)
    if rows is not None:
        centre = torch.cat([centre, rows.mean(0)])
        spread = torch.cat([spread, rows.std(0, correction=0)])
    return GeneratorPrior(synthesise, tuple(centre.shape), centre, spread)


def _synthesise(G: "Generator", w: "Tensor") -> "Tensor":
    images: Tensor = G.synthesis(w[:, None].expand(-1, G.synthesis.n_w, -1), G.synthesis.constant_noise())
    return images


def _other_people(path: Path, targets: frozenset[str] | None) -> "NDArray[np.uint8]":
    """Return photos of a FaceSet's people but for the targets, [n, 112, 112, 3]; None: nobody knows who they are."""
    faces = FaceSet.load(path, flag="--prior-faces")
    if targets is None:
        logger.warning("--prior-faces: the targets have no names; photos of their own people cannot be left out")
    others = np.flatnonzero([record.identity not in (targets or ()) for record in faces.records])
    if len(others) < _LEAST_FACES:
        raise DataError(
            f"--prior-faces {path} has {len(others)} images of people who are no targets; {_LEAST_FACES} are needed"
        )
    if len(others) < len(faces):
        logger.info("--prior-faces: %d images of the targets' own people are left out", len(faces) - len(others))
    rows = np.sort(numpy_generator(0, "prior faces").permutation(others)[:_MOST_FACES])
    return faces.read_images(rows.tolist(), 112, 112)


def _from_faces(uses: Sequence[str], photos: "NDArray[np.uint8]", recognizer: Any, device: Any) -> dict[str, Any]:
    """Return what is made of photos of other people, by the names that ``Extras`` has for it."""
    import torch

    from inversion.images import from_bytes, resize, symmetric
    from inversion.measured_statistics import measure_statistics
    from inversion.variables import eigenfaces

    pixels = from_bytes(torch.from_numpy(photos))
    made: dict[str, Any] = {}
    if "components" in uses:
        made["generator"] = eigenfaces(resize(pixels, _FACE_SIDE).to(device), _COMPONENTS)
    if "mean" in uses:
        made["start_image"] = symmetric(pixels.mean(0)).to(device)
    if "statistics" in uses:
        made["statistics"] = measure_statistics(recognizer, photos)
    return made


def check_means(options: "Options") -> None:
    """Raise ConfigError if what makes or chooses the images is also to judge them, or flags contradict each other."""
    from synthface.recognition.catalogue import find_weights

    if not (options.ensemble or options.validator):
        return
    judges = {find_weights(name).sha256 for name in options.judges}
    taken = [("--ensemble", name) for name in options.ensemble]
    taken += [("--validator", options.validator)] if options.validator else []
    for flag, name in taken:
        digest = find_weights(name).sha256
        if digest in judges:
            raise ConfigError(f"{flag} {name} is also a judge; who judges must neither make nor choose the images")
        if flag == "--ensemble" and digest == find_weights(options.recognizer).sha256:
            raise ConfigError(f"--ensemble {name} is the inverted recogniser; name others")
