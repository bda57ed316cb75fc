"""The identity player: a frozen recogniser that makes the generated images of a class one person.

The idea of a third player is IDnet's (Kolf et al., CVPR Workshops 2023). There its classifier has learnt rows; here a
class is represented by its centre, the moving average of the embeddings of its own generated images. The centre is
never computed from the real person's photos: a term that pulls towards those would reward the generator for
reproducing the person, which is the link that the audit looks for. Towards a generated centre it only rewards that all
images of a class agree.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan.config import IdentityConfig
from gan.training.identity_centres import IdentityCentres
from synthface.core.errors import ConfigError
from synthface.core.seeds import numpy_generator


class IdentityPlayer:
    """A ``GeneratorTerm``: weight times one minus the cosine to the class's centre, or a margin softmax over centres.

    Args:
        recognizer: [n, 3, S, S] images in [-1, 1] -> [n, D] embeddings, differentiable; a module is frozen.
        config: form, weights and schedules.
        n_classes: classes of the generator.
        embedding_dim: D.
        batch: images a step, over all processes.
        seed: the run's seed, from which the softmax's negatives are drawn.
        input_side: images are resized to this many pixels a side first; None leaves that to the recogniser.
        statistics: asked after each forward pass of the recogniser how far the batch-norm statistics of that pass lie
            from those of its training, a scalar with a gradient; needed for ``statistics_weight``. It is a figure of
            a micro-batch, so the size of micro-batches matters to it (the number of processes does not).
        device: where the centres are kept.

    Raises:
        ConfigError: no classes, the form is off, or ``statistics`` is missing.
    """

    def __init__(
        self,
        recognizer: Callable[[Tensor], Tensor],
        config: IdentityConfig,
        *,
        n_classes: int,
        embedding_dim: int,
        batch: int,
        seed: int,
        input_side: int | None = None,
        statistics: Callable[[], Tensor] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if config.form == "off":
            raise ConfigError("--training.identity.form off: an identity player was asked for all the same")
        if n_classes < 2:
            raise ConfigError(f"--training.identity.form {config.form} needs at least 2 classes; there are {n_classes}")
        if config.statistics_weight and statistics is None:
            raise ConfigError("--training.identity.statistics_weight: this recogniser offers no batch-norm statistics")
        if isinstance(recognizer, nn.Module):
            recognizer.eval().requires_grad_(False)
        self.recognizer, self.config, self.batch, self.seed = recognizer, config, batch, seed
        self.input_side, self.statistics = input_side, statistics
        self.centres = IdentityCentres(n_classes, embedding_dim, batch, momentum=config.momentum, device=device)

    def __call__(
        self, images: Tensor, labels: Tensor, seen_images: int, *, first: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return weighted loss and figures; see ``GeneratorTerm``. Costs nothing in steps in which it does not play.

        A class that has no centre yet, since the player sees it for the first time, adds nothing to the loss, and has
        no cosine.
        """
        factor = self._factor(seen_images)
        if factor == 0:
            return images.new_zeros(()), {}
        unit = F.normalize(self.recognizer(self._network_images(images)).float(), dim=1)
        own, known = self.centres.units(labels)
        cosine = (unit * own).sum(dim=1)
        is_centre = self.config.form == "centre"
        losses = 1 - cosine if is_centre else self._margin_losses(unit, labels, cosine, seen_images)
        loss = torch.where(known, losses, 0.0).mean()
        self.centres.collect(unit.detach(), labels, first)
        share = known.float().mean()
        figures = {
            "identity_loss": loss.detach(),
            "identity_cosine": torch.stack((torch.where(known, cosine.detach(), 0.0).mean(), share)),
            "identity_known": share,
        }
        value = self.config.weight * loss
        if self.config.statistics_weight and self.statistics is not None:
            distance = self.statistics()
            figures["identity_statistics"] = distance.detach()
            value = value + self.config.statistics_weight * distance
        return factor * value, figures

    def after_step(self, seen_images: int, total: Callable[[Tensor], Tensor]) -> None:
        """Move the centres of the classes seen in this step."""
        if self._factor(seen_images) > 0:
            self.centres.update(total)

    def _factor(self, seen_images: int) -> float:
        """Return the factor of the loss in this step: its ramp, and more where it stands for steps left out."""
        interval = self.config.interval
        return self.config.ramp(seen_images) * interval if seen_images // self.batch % interval == 0 else 0.0

    def _network_images(self, images: Tensor) -> Tensor:
        # A saved image is clipped, so nothing is to be gained from pixels beyond white.
        images = images.float().clamp(-1, 1)
        if self.input_side is not None and images.shape[-1] != self.input_side:
            images = F.interpolate(images, size=(self.input_side, self.input_side), mode="bicubic", antialias=True)
        return images

    def _margin_losses(self, unit: Tensor, labels: Tensor, own_cosine: Tensor, seen_images: int) -> Tensor:
        config, n_classes = self.config, self.centres.n_classes
        others = drawn_negatives(n_classes, config.negatives, self.seed, seen_images).to(unit.device)
        centres, known = self.centres.units(others)
        excluded = ~known[None] | (others[None] == labels[:, None])
        return margin_loss(
            own_cosine,
            (unit @ centres.t()).masked_fill(excluded, -torch.inf),
            scale=config.scale,
            margin=config.margin * config.ramp(seen_images),
            classes_a_negative=n_classes / len(others),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the centres; they are embeddings of generated faces, and stay in the checkpoint."""
        return self.centres.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved centres."""
        self.centres.load_state_dict(state)


def drawn_negatives(n_classes: int, n: int, seed: int, seen_images: int) -> Tensor:
    """Return the classes that stand against each image's own in a step, [min(n, n_classes)] int64, no class twice.

    Seed and images seen alone decide, so that every process draws the same.
    """
    if n >= n_classes:
        return torch.arange(n_classes)
    generator = numpy_generator(seed, "identity negatives", seen_images)
    return torch.from_numpy(generator.choice(n_classes, n, replace=False))


def margin_loss(
    own_cosine: Tensor, other_cosines: Tensor, *, scale: float, margin: float, classes_a_negative: float = 1.0
) -> Tensor:
    """Return the large-margin cosine loss of each image (CosFace, arXiv 1801.09414, Eq. 4), divided by the scale.

    The division makes a weight mean the same as for one minus the cosine: the slope in the own cosine is at most one.

    Args:
        own_cosine: [n] to the own centre.
        other_cosines: [n, m] to other centres; minus infinity leaves one out.
        scale: factor of the cosines.
        margin: subtracted from the own cosine.
        classes_a_negative: how many classes each of the m stands for, so that a sample's sum of exponentials has the
            expected value of the sum over all classes.
    """
    own = scale * (own_cosine - margin)
    others = torch.logsumexp(scale * other_cosines, dim=1) + torch.tensor(classes_a_negative).log()
    return F.softplus(others - own) / scale
