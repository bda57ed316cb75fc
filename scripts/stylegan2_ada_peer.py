"""The peer of the generator's benchmarks: a user's own copy of NVIDIA's stylegan2-ada-pytorch, in plain float32.

Its code stays in its owner's folder, whose licence forbids commercial use; nothing here fetches it.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from gan.config import NetworkConfig, TrainingConfig
from synthface.core.errors import ConfigError

AUGMENTATIONS = "xflip rotate90 xint scale rotate aniso xfrac brightness contrast lumaflip hue saturation"

Calls = dict[str, tuple[int, Callable[[], Any]]]  # phase: (images a call, the call)


def require_comparable(training: TrainingConfig, whose: str) -> None:
    """Refuse settings that the official side does not have here; ``whose`` begins the message.

    Raises:
        ConfigError: a path-length penalty, no R1 penalty, or other augmentations than bgc.
    """
    alien = {
        "--training.path_length.weight": (training.path_length.weight, 0.0),
        "--training.ada.groups": (training.ada.groups, "bgc"),
    }
    if training.r1_gamma == 0:
        raise ConfigError(f"{whose}: --training.r1_gamma 0 is not on the official side here; compare a run with R1")
    for flag, (value, wanted) in alien.items():
        if value != wanted:
            raise ConfigError(f"{whose}: {flag} {value} is not on the official side here; compare a run with {wanted}")


class Official:
    """The official networks, loss and optimisers, and the phases of their training.

    Args:
        folder: a copy of stylegan2-ada-pytorch.
        network: sizes.
        training: batch, rates and weights.
        real: [batch, 3, H, W] in [-1, 1], the real images of the next phases; may be replaced.
        n_classes: labels.
        n_samples: images that ``sample`` draws.
        augmented: put its augmentation pipeline in, with the probability of ``training.ada.start``.

    Raises:
        ConfigError: no copy in the folder, or settings that this side does not have.
    """

    def __init__(
        self,
        folder: Path,
        network: NetworkConfig,
        training: TrainingConfig,
        *,
        real: torch.Tensor,
        n_classes: int,
        n_samples: int = 0,
        augmented: bool = True,
    ) -> None:
        if not (folder / "training" / "networks.py").exists():
            raise ConfigError(
                f"--official {folder}: no training/networks.py there; give a copy of stylegan2-ada-pytorch"
            )
        require_comparable(training, "the official side")
        sys.path.insert(0, str(folder.expanduser()))
        sys.modules.setdefault("requests", SimpleNamespace())  # type: ignore[arg-type]  # needed for downloads alone
        from training import augment, loss, networks  # type: ignore[import-not-found]

        sizes = {"channel_base": network.channel_base, "channel_max": network.channel_max, "num_fp16_res": 0}
        sizes["conv_clamp"] = network.clamp or None  # type: ignore[assignment]  # its value for none
        image = {"c_dim": n_classes, "img_resolution": network.resolution, "img_channels": 3}
        latents = {"z_dim": network.z_dim, "w_dim": network.w_dim}
        mapping = {"num_layers": network.mapping_layers}
        make = lambda: networks.Generator(**latents, **image, mapping_kwargs=mapping, synthesis_kwargs=sizes)  # noqa: E731
        self.G, self.G_ema = make().requires_grad_(False), make().eval().requires_grad_(False)
        groups = {"mbstd_group_size": network.group_size or None}
        self.D = networks.Discriminator(**image, **sizes, epilogue_kwargs=groups).requires_grad_(False)
        self.pipe = augment.AugmentPipe(**dict.fromkeys(AUGMENTATIONS.split(), 1))
        self.pipe.p.fill_(training.ada.start)
        players = (self.G.mapping, self.G.synthesis, self.D, self.pipe if augmented else None)
        weights = {"style_mixing_prob": training.style_mixing, "r1_gamma": training.r1_gamma, "pl_weight": 0}
        self.loss = loss.StyleGAN2Loss("cpu", *players, **weights)
        # As in its training loop, an optimiser that also steps for a lazy regulariser is slowed down by as much. That
        # loop slows the generator's by 4/5 even if its penalty has no weight; here, as on our side, it is not slowed.
        slowed = {"G": 1.0, "D": training.r1_interval / (training.r1_interval + 1)}
        self.optimizers = {
            name: torch.optim.Adam(
                getattr(self, name).parameters(), lr=training.learning_rate * ratio, betas=(0.0, 0.99**ratio)
            )
            for name, ratio in slowed.items()
        }
        self.labels, self.real, self.n_samples = torch.eye(n_classes), real, n_samples
        self.batch, self.interval = training.batch, training.r1_interval

    def calls(self) -> Calls:
        """Return the calls to time, each with the images that it handles."""
        return {
            "sampling": (self.n_samples, self.sample),
            "generator step": (self.batch, lambda: self.phase("Gmain")),
            "discriminator step": (self.batch, lambda: self.phase("Dmain")),
            "R1 step": (self.batch, lambda: self.phase("Dreg", self.interval)),
            "augmentation": (self.batch, lambda: self.pipe(self.real.clone().requires_grad_(True)).sum().backward()),
            "training": (self.batch * self.interval, self.cycle),
        }

    def sample(self) -> None:
        """Draw labelled images as uint8."""
        with torch.inference_mode():
            for start in range(0, self.n_samples, self.batch):
                c = self.labels[torch.arange(start, start + self.batch) % len(self.labels)]
                image = self.G_ema(torch.randn(self.batch, self.G_ema.z_dim), c, noise_mode="const")
                (image.permute(0, 2, 3, 1) * 127.5 + 128).clamp(0, 255).to(torch.uint8)

    def phase(self, name: str, gain: int = 1, labels: tuple[torch.Tensor, torch.Tensor] | None = None) -> None:
        """Accumulate one phase's gradients and take the optimiser's step; labels are real ones and generated ones."""
        module, optimizer = getattr(self, name[0]), self.optimizers[name[0]]
        optimizer.zero_grad(set_to_none=True)
        module.requires_grad_(True)
        real_c, fake_c = (self.labels[part] for part in labels or torch.randint(len(self.labels), (2, self.batch)))
        z = torch.randn(self.batch, self.G.z_dim)
        self.loss.accumulate_gradients(
            phase=name, real_img=self.real, real_c=real_c, gen_z=z, gen_c=fake_c, sync=True, gain=gain
        )
        module.requires_grad_(False)
        for parameter in module.parameters():
            if parameter.grad is not None:
                torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
        optimizer.step()

    def cycle(self) -> None:
        """Train for one interval of R1, with the moving average."""
        for step in range(self.interval):
            self.phase("Gmain")
            self.phase("Dmain")
            if step == 0:
                self.phase("Dreg", self.interval)
            with torch.no_grad():
                for average, parameter in zip(self.G_ema.parameters(), self.G.parameters(), strict=True):
                    average.copy_(parameter.lerp(average, 0.999))
