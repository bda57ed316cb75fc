"""A generator as image prior: its latents are optimised. It was made from faces, so this is not template-only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inversion.config import SIDE
from inversion.images import resize, symmetric
from inversion.variables.noise import start_noise
from inversion.variables.pixels import PixelVariable


@dataclass(frozen=True)
class GeneratorPrior:
    """Images from latents.

    Attributes:
        synthesise: [N, *shape] latents to [N, 3, S, S] images about in [-1, 1], differentiable, for every N; a
            module's parameters must not ask for gradients. A generator's z, its w, or one w a layer:
            ``lambda ws: G.synthesis(ws, noise)``.
        shape: of one latent.
        centre: mean latent, broadcastable to ``shape``; 0 for a standard normal z.
        spread: standard deviation of latents, broadcastable to ``shape``; 1 for a standard normal z.
    """

    synthesise: Callable[[Tensor], Tensor]
    shape: tuple[int, ...]
    centre: Tensor | float = 0.0
    spread: Tensor | float = 1.0


class LatentVariable:
    """Latents in standard deviations from their mean, [N, *shape]; pixels take over when ``refined``."""

    def __init__(self, prior: GeneratorPrior, latents: Tensor) -> None:
        self._prior = prior
        self.latents = latents.detach().clone().requires_grad_()

    @classmethod
    def from_noise(
        cls, prior: GeneratorPrior, std: float, seed: int, members: Sequence[str], device: torch.device
    ) -> "LatentVariable":
        """Start near the mean latent; each member's offset depends on the seed and its name alone."""
        return cls(prior, start_noise(prior.shape, std, seed, members).to(device))

    def parameters(self) -> list[Tensor]:
        """Return the latents."""
        return [self.latents]

    def image(self) -> Tensor:
        """Return the images as [N, 3, 112, 112], clipped to [-1, 1]."""
        latents = self.latents * self._prior.spread + self._prior.centre
        return resize(self._prior.synthesise(latents), SIDE).clamp(-1, 1)

    @torch.no_grad()
    def refined(self, side: int, *, mirrored: bool = False) -> PixelVariable:
        """Return the images' pixels at a side length: the generator has had its say."""
        images = resize(self.image(), side)
        return PixelVariable(symmetric(images) if mirrored else images)

    def clamp(self) -> None:
        """The penalty keeps the range."""

    def penalty(self) -> Tensor:
        """Return the mean square of the latents."""
        return self.latents.square().mean()


def eigenfaces(images: Tensor, components: int) -> GeneratorPrior:
    """Return the linear generator of faces: their mean and principal components (Sirovich and Kirby 1987).

    Small pictures of a few hundred aligned faces of other people are enough to say where a face lies.

    Args:
        images: [F, 3, S, S] in [-1, 1], aligned; each counts together with its mirror image.
        components: number of components, at most the smaller of 2 F - 1 and 3 S S.
    """
    faces = torch.cat([images, images.flip(-1)]).flatten(1)
    mean = faces.mean(0)
    _, singular, directions = torch.linalg.svd(faces - mean, full_matrices=False)
    kept = min(components, len(faces) - 1, faces.shape[1])
    basis = directions[:kept] * (singular[:kept, None] / (len(faces) - 1) ** 0.5)
    side = images.shape[-1]

    def synthesise(latents: Tensor) -> Tensor:
        return (mean.to(latents) + latents @ basis.to(latents)).view(-1, 3, side, side)

    return GeneratorPrior(synthesise, (kept,))
