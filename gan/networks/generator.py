"""The generator: mapping and synthesis behind one call."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gan.config import NetworkConfig
from gan.networks.mapping import Mapping
from gan.networks.synthesis import Synthesis
from synthface.core.errors import ConfigError

NoiseMode = Literal["const", "random", "none"]


class Generator(nn.Module):
    """Class-conditional StyleGAN2 generator.

    ``G(z, labels)`` gives images of training classes; ``G.draw(z, embedding)`` gives images of any point in the
    space of class embeddings.
    """

    def __init__(self, config: NetworkConfig, n_classes: int) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.w_dim, self.n_classes, self.resolution = (
            config.z_dim,
            config.w_dim,
            n_classes,
            config.resolution,
        )
        self.mapping = Mapping(
            config.z_dim, n_classes, config.w_dim, config.mapping_layers, class_scale=config.class_scale
        )
        self.synthesis = Synthesis(config)

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None,
        psi: float = 1.0,
        noise_mode: NoiseMode = "const",
        noise: Sequence[Tensor] | None = None,
        cutoff: int | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw images of classes.

        Args:
            z: [N, z_dim] float, standard normal.
            labels: [N] int64 class indices; None for an unconditional network.
            psi: truncation towards the mean w; 1 is none.
            noise_mode: "const" takes the noise stored with the weights, "random" the ``noise`` given or one drawn from
                ``generator``, "none" no noise.
            noise: for "random", one [N, 1, r, r] for each of ``synthesis.noise_resolutions``.
            cutoff: truncate the w of so many layers, from the coarsest; None is all of them.
            generator: for "random" without ``noise``, where it is drawn from, on whichever device.

        Returns:
            [N, 3, resolution, resolution] float, clipped to [-1, 1].

        Raises:
            ConfigError: z or labels do not fit the network, or "random" comes without ``noise`` and ``generator``.
        """
        self._check(z, labels)
        return self.draw(z, self.mapping.class_embedding(labels), psi, noise_mode, noise, cutoff, generator=generator)

    def draw(
        self,
        z: Tensor,
        embedding: Tensor | None,
        psi: float = 1.0,
        noise_mode: NoiseMode = "const",
        noise: Sequence[Tensor] | None = None,
        cutoff: int | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw images for class embeddings [N, w_dim], of classes or of points between them; see ``forward``."""
        ws = self.truncated_ws(self.mapping(z, embedding), psi, cutoff)
        if noise_mode == "const":
            noise = self.synthesis.constant_noise()
        elif noise_mode == "none":
            noise = None
        elif noise is None:
            noise = self._random_noise(z, generator)
        return self.synthesis(ws, noise).clamp(-1, 1)

    def truncated_ws(self, w: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """Return one w a layer, [N, n_w, w_dim], those of the first ``cutoff`` layers truncated."""
        n_w = self.synthesis.n_w
        ws = w[:, None].expand(-1, n_w, -1)
        if psi == 1:
            return ws
        coarse = torch.arange(n_w, device=w.device) < (n_w if cutoff is None else cutoff)
        return torch.where(coarse[None, :, None], self.mapping.truncate(w, psi)[:, None], ws)

    def _random_noise(self, z: Tensor, generator: torch.Generator | None) -> list[Tensor]:
        if generator is None:
            raise ConfigError("noise_mode 'random': give generator=torch.Generator().manual_seed(...), or the noise")
        shapes = [(len(z), 1, r, r) for r in self.synthesis.noise_resolutions]
        return [torch.randn(shape, generator=generator, device=generator.device).to(z.device) for shape in shapes]

    def _check(self, z: Tensor, labels: Tensor | None) -> None:
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ConfigError(f"z has shape {tuple(z.shape)}; this generator takes [N, {self.z_dim}]")
        if (labels is None) != (self.n_classes == 0):
            raise ConfigError(f"this generator has {self.n_classes} classes; give labels exactly if there are any")
        if labels is not None and len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= self.n_classes):
            raise ConfigError(
                f"labels run from {int(labels.min())} to {int(labels.max())}; classes are 0 to {self.n_classes - 1}"
            )


def to_uint8(images: Tensor) -> Tensor:
    """[N, 3, H, W] in [-1, 1] -> [N, H, W, 3] uint8, rounded."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
