"""The terms of the loss and their weights."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.bn_prior import BatchNormStatistics
from inversion.config import InversionConfig
from inversion.fast_layers import fast_prelus
from inversion.frozen import frozen
from inversion.half_precision import half_convolutions
from inversion.identity import IdentityLoss
from inversion.measured_statistics import MeasuredStatistics
from inversion.regularisers import image_norm, tv_l1, tv_norm
from inversion.views import apply_views

TERMS = ("identity", "prior", "tv_l1", "tv_norm", "l2")
Terms = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


class Objective:
    """The loss of one step, as its unweighted terms.

    Calling it takes images [N, 3, 112, 112] in [-1, 1], targets [K N, D] as the identity loss wants them and views
    [K, N, 10] (or None for the images themselves), and returns the terms, [5] in the order of ``TERMS``, and the
    cosines [K N].
    """

    def __init__(self, terms: Terms, statistics: BatchNormStatistics | None) -> None:
        self._terms = terms
        self._statistics = statistics

    def __call__(self, images: Tensor, targets: Tensor, views: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return terms and cosines."""
        if self._statistics is not None:
            self._statistics.begin_step()
        return self._terms(images, targets, views)

    def restart(self) -> None:
        """Begin with another group, of which running statistics know nothing."""
        if self._statistics is not None:
            self._statistics.restart()


def term_weights(config: InversionConfig, device: torch.device) -> Tensor:
    """Return the weights in the order of ``TERMS``, [5]; a term of weight 0 is not computed."""
    weights = [getattr(config, f"{name}_weight") for name in TERMS]
    return torch.tensor(weights, dtype=torch.float32, device=device)


@contextmanager
def open_objective(
    model: nn.Module,
    config: InversionConfig,
    *,
    compiled: bool = False,
    half: bool = False,
    identity: IdentityLoss | None = None,
    measured: MeasuredStatistics | None = None,
) -> Iterator[Objective]:
    """Freeze a recogniser, watch its batch-norm layers, and yield the loss of one step; undo both at the end.

    Args:
        model: the recogniser.
        config: which terms to compute, and how.
        compiled: compile the whole step, forward and backward, once for each batch size, where there is a prior.
        half: compute convolutions in bfloat16.
        identity: loss of raw embeddings and targets, instead of ``1 - cosine``.
        measured: statistics that stand in for the batch norms'.
    """
    statistics = None
    if config.prior_weight:
        statistics = BatchNormStatistics(model, measured, momentum=config.statistics_momentum)

    def terms_of(images: Tensor, targets: Tensor, views: Tensor | None) -> tuple[Tensor, Tensor]:
        seen = images if views is None else apply_views(images, views)
        embeddings = model(seen.contiguous(memory_format=torch.channels_last))
        cosines = F.cosine_similarity(embeddings, targets)
        none = images.new_zeros(())
        prior = none
        if statistics is not None:
            prior = statistics.distance(config.prior_form, config.first_layer_weight, config.depth_weights)
        terms = (
            1 - cosines.mean() if identity is None else identity(embeddings, targets).mean(),
            prior,
            tv_l1(images) if config.tv_l1_weight else none,
            tv_norm(images) if config.tv_norm_weight else none,
            image_norm(images) if config.l2_weight else none,
        )
        return torch.stack(terms), cosines

    with ExitStack() as stack:
        stack.enter_context(frozen(model))
        stack.enter_context(fast_prelus(model))
        if statistics is not None:
            stack.enter_context(statistics)
        if half:
            stack.enter_context(half_convolutions(model))
        # Without statistics the generated backward pass is slower than torch's own, so it is not asked for.
        yield Objective(_compiled(terms_of) if compiled and statistics is not None else terms_of, statistics)


def _compiled(terms_of: Terms) -> Terms:
    """Return the compiled function, which is traced once for each batch size and for nothing else."""
    compiled = torch.compile(terms_of, dynamic=False)

    def call(images: Tensor, targets: Tensor, views: Tensor | None) -> tuple[Tensor, Tensor]:
        with warnings.catch_warnings():
            # Tracing looks at the gradient of every input, which images upsampled from a smaller variable do not keep.
            warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
            # A variable of full size is its own image: the copy makes it an input of the same kind.
            return compiled(images.clone(memory_format=torch.contiguous_format), targets, views)

    return call
