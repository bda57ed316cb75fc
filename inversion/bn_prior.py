"""The batch-norm prior: statistics of a batch's features against those the recogniser saw in training."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from inversion.config import PriorForm
from inversion.fast_layers import Moments, batch_moments, normalise_with_moments
from inversion.measured_statistics import MeasuredStatistics, features_seen
from inversion.running_moments import RunningMoments
from synthface.core.errors import ConfigError


class LayerReference(Protocol):
    """What a layer's features should look like: a BatchNorm2d, or measured statistics."""

    @property
    def running_mean(self) -> Tensor | None:
        """[C]."""

    @property
    def running_var(self) -> Tensor | None:
        """[C]."""

    @property
    def eps(self) -> float:
        """Added to variances."""


class BatchNormStatistics:
    """Collects the input moments of every ``BatchNorm2d`` of a model while its context is open.

    ``BatchNorm1d`` layers are left out: theirs are statistics of embeddings, and would pull against the targets.
    So are layers without running statistics. The input is taken, not the output: it is what the running statistics
    describe, whether the layer stands before or after its convolution.

    A frozen layer in evaluation mode takes its moments while it normalises: its ``forward`` is replaced while the
    context is open, which shares the backward pass between the two. Other layers carry hooks.

    Args:
        model: the recogniser.
        measured: statistics that stand in for those of batch norms, at the layers that they name.
        momentum: share of the batch in the moments compared; the rest is a running average of earlier batches.

    Raises:
        ConfigError: on opening, if the model has no such layer.
    """

    def __init__(self, model: nn.Module, measured: MeasuredStatistics | None = None, *, momentum: float = 1.0) -> None:
        self._model = model
        self._measured = measured
        norms = _batch_norms(model)
        self._watched: Sequence[nn.Module] = norms if measured is None else measured.modules_in(model)
        self.layers: Sequence[LayerReference] = norms if measured is None else measured.references(model)
        self._running = RunningMoments(momentum, self.layers) if momentum < 1 else None
        self._moments: list[tuple[int, Moments]] = []
        self._undo = ExitStack()

    def __enter__(self) -> "BatchNormStatistics":
        if not self._watched:
            raise ConfigError(
                "the recogniser has no BatchNorm2d layer with running statistics (exports often fold them into the "
                "convolutions); take a model that keeps them, measure statistics from faces "
                "(inversion.measure_statistics), or set prior_weight to 0"
            )
        self._undo.callback(self._model.register_forward_pre_hook(self._forget).remove)
        for index, layer in enumerate(self._watched):
            self._undo.callback(self._watch(index, layer))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()
        self._moments.clear()

    def _watch(self, index: int, layer: nn.Module) -> Callable[[], Any]:
        """Have a layer's moments recorded; return what undoes it."""
        if self._measured is None and type(layer).forward is nn.BatchNorm2d.forward and "forward" not in vars(layer):
            assert isinstance(layer, nn.BatchNorm2d)
            layer.forward = self._recording_forward(index, layer)  # type: ignore[method-assign, assignment]
            return lambda: vars(layer).pop("forward")

        # An activation that works in place would overwrite what the moments' backward pass reads.
        in_place = self._measured is not None and any(getattr(part, "inplace", False) for part in self._model.modules())

        def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            self._moments.append((index, batch_moments(features_seen(module, inputs, output))))
            return output.clone() if in_place else None

        return layer.register_forward_hook(record).remove

    def _recording_forward(self, index: int, layer: nn.BatchNorm2d) -> Callable[[Tensor], Tensor]:
        def forward(features: Tensor) -> Tensor:
            if layer.training or (layer.affine and (layer.weight.requires_grad or layer.bias.requires_grad)):
                moments = batch_moments(features)
                output = nn.BatchNorm2d.forward(layer, features)
            else:
                output, moments = normalise_with_moments(features, layer)
            self._moments.append((index, moments))
            return output

        return forward

    def _forget(self, *_: Any) -> None:
        self._moments.clear()  # whatever other forward passes left

    def begin_step(self) -> None:
        """Forget what other forward passes left, and let the running average take in the last step.

        A compiled step has to be called after this: it would be traced anew if anything were left.
        """
        self._moments.clear()
        if self._running is not None:
            self._running.remember()

    def restart(self) -> None:
        """Forget the running average: the next batch is of other people."""
        if self._running is not None:
            self._running.restart()

    def take(self) -> list[tuple[int, Moments]]:
        """Return (layer index, moments) of the last forward pass, in calling order, and forget them."""
        taken = list(self._moments)
        self._moments.clear()
        return taken

    def distance(
        self, form: PriorForm, first_layer_weight: float = 1.0, depth_weights: tuple[float, float] = (1.0, 1.0)
    ) -> Tensor:
        """Take the last forward pass and return how far it is from the running statistics, a scalar.

        Args:
            form: see ``prior_distance``.
            first_layer_weight: extra factor on the first layer.
            depth_weights: extra factors on the first and the last layer, linear between them.
        """
        taken = self.take()
        weights = layer_weights(len(self.layers), first_layer_weight, depth_weights)
        reference = Reference.of([self.layers[index] for index, _ in taken], [weights[index] for index, _ in taken])
        moments = [
            moments if self._running is None else self._running.blend(index, moments) for index, moments in taken
        ]
        mean, variance = (torch.cat(parts) for parts in zip(*moments, strict=True))
        return prior_distance(mean, variance, reference, form)


@dataclass(frozen=True)
class Reference:
    """Statistics that a batch is compared with, the channels of all layers in one row.

    Attributes:
        mean: [S].
        variance: [S].
        eps: [S], added to variances; as the layers do, it keeps dead channels from dividing by nothing.
        sizes: channels of each layer, summing to S.
        weights: of each layer.
    """

    mean: Tensor
    variance: Tensor
    eps: Tensor
    sizes: tuple[int, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, layers: Sequence[LayerReference], weights: Sequence[float]) -> "Reference":
        """Put layers together."""
        means = [layer.running_mean for layer in layers if layer.running_mean is not None]
        variances = [layer.running_var for layer in layers if layer.running_var is not None]
        eps = [mean.new_full(mean.shape, layer.eps) for mean, layer in zip(means, layers, strict=True)]
        sizes = tuple(len(mean) for mean in means)
        return cls(torch.cat(means), torch.cat(variances), torch.cat(eps), sizes, tuple(weights))

    def per_channel(self, factors: Sequence[float]) -> Tensor:
        """Return [S] with each layer's factor at its channels."""
        parts = [self.mean.new_full((size,), factor) for size, factor in zip(self.sizes, factors, strict=True)]
        return torch.cat(parts)


def layer_weights(n: int, first_layer_weight: float, depth_weights: tuple[float, float]) -> list[float]:
    """Return the factor of each of n layers, in the order of the model's modules."""
    first, last = depth_weights
    weights = [first + (last - first) * k / max(1, n - 1) for k in range(n)]
    return [weights[0] * first_layer_weight, *weights[1:]]


def prior_distance(mean: Tensor, variance: Tensor, reference: Reference, form: PriorForm) -> Tensor:
    """Return the weighted distance between batch moments and a reference, a scalar.

    Args:
        mean: [S] batch means.
        variance: [S] biased batch variances.
        reference: what they should be.
        form: ``paper``: squared norms of the differences of mean and standard deviation, summed over layers (ArcFace,
            arXiv 1801.07698v4, Eq. 8). ``deepinversion``: norms of the differences of mean and variance, summed over
            layers (arXiv 1912.08795, Eq. 4). ``kl``: Kullback-Leibler divergence of Gaussians, batch from running,
            mean over a layer's channels and over layers; free of the features' scale, so that no layer drowns the
            others and one weight serves networks of any depth.
    """
    difference = mean - reference.mean
    if form == "deepinversion":
        pairs = zip(
            difference.split(reference.sizes), (variance - reference.variance).split(reference.sizes), strict=True
        )
        norms = [
            torch.linalg.vector_norm(of_mean) + torch.linalg.vector_norm(of_variance) for of_mean, of_variance in pairs
        ]
        return (torch.stack(norms) * mean.new_tensor(reference.weights)).sum()
    wanted = reference.variance + reference.eps
    if form == "paper":
        spread = (variance + reference.eps).sqrt() - wanted.sqrt()
        return (reference.per_channel(reference.weights) * (difference.square() + spread.square())).sum()
    ratio = (variance + reference.eps) / wanted
    divergence = 0.5 * (ratio - 1 - ratio.log() + difference.square() / wanted)
    layers = len(reference.sizes)
    shares = [weight / (size * layers) for weight, size in zip(reference.weights, reference.sizes, strict=True)]
    return (reference.per_channel(shares) * divergence).sum()


def _batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [
        module for module in model.modules() if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None
    ]
