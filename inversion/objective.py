"""The terms of the loss and their weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.bn_prior import BatchNormStatistics
from inversion.config import InversionConfig
from inversion.frozen import frozen
from inversion.regularisers import image_norm, tv_l1, tv_norm
from inversion.views import apply_views

TERMS = ("identity", "prior", "tv_l1", "tv_norm", "l2")
Objective = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


def term_weights(config: InversionConfig, device: torch.device) -> Tensor:
    """Return the weights in the order of ``TERMS``, [5]; a term of weight 0 is not computed."""
    weights = [getattr(config, f"{name}_weight") for name in TERMS]
    return torch.tensor(weights, dtype=torch.float32, device=device)


@contextmanager
def open_objective(model: nn.Module, config: InversionConfig, *, compiled: bool = False) -> Iterator[Objective]:
    """Freeze a recogniser, hook its batch-norm layers, and yield the function of one step; undo both at the end.

    The function takes images [N, 3, 112, 112] in [-1, 1], unit targets [N, D] and views [N, 2, 3] (or None for the
    images themselves), and returns the unweighted terms, [5] in the order of ``TERMS``, and the cosines [N].

    Args:
        model: the recogniser.
        config: which terms to compute, and how.
        compiled: compile the function, once for each batch size.
    """
    statistics = BatchNormStatistics(model) if config.prior_weight else None

    def terms_of(images: Tensor, targets: Tensor, maps: Tensor | None) -> tuple[Tensor, Tensor]:
        views = images if maps is None else apply_views(images, maps)
        embeddings = model(views.contiguous(memory_format=torch.channels_last))
        cosines = F.cosine_similarity(embeddings, targets)
        none = images.new_zeros(())
        prior = none if statistics is None else statistics.distance(config.prior_form, config.first_layer_weight)
        terms = (
            1 - cosines.mean(),
            prior,
            tv_l1(images) if config.tv_l1_weight else none,
            tv_norm(images) if config.tv_norm_weight else none,
            image_norm(images) if config.l2_weight else none,
        )
        return torch.stack(terms), cosines

    with frozen(model):
        if statistics is None:
            yield torch.compile(terms_of, dynamic=False) if compiled else terms_of
        else:
            with statistics:
                yield torch.compile(terms_of, dynamic=False) if compiled else terms_of
