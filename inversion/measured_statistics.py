"""Feature statistics measured from images, for recognisers that keep none of their own."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inversion.fast_layers import batch_moments
from inversion.frozen import device_of, frozen
from inversion.images import from_bytes
from synthface.core.errors import ConfigError, DataError

EPS = 1e-5  # added to variances, as batch norms do


@dataclass(frozen=True)
class LayerStatistics:
    """One layer's statistics, under the names that a batch norm gives them."""

    running_mean: Tensor | None
    running_var: Tensor | None
    eps: float = EPS


@dataclass(frozen=True)
class MeasuredStatistics:
    """Mean and variance of the features at chosen layers over a collection of images.

    They stand in for those of batch norms, and take real faces to measure (or generated ones): whoever inverts with
    them uses more than the recogniser and a template, and the result says so.

    Attributes:
        layers: name of each layer to its mean and biased variance, [2, C] float32.
        n_images: how many images they come from.
    """

    layers: Mapping[str, NDArray[np.float32]]
    n_images: int

    def modules_in(self, model: nn.Module) -> list[nn.Module]:
        """Return the layers of a model, in the order of their statistics.

        Raises:
            ConfigError: the model has no layer of that name.
        """
        return list(_named(model, list(self.layers)).values())

    def references(self, model: nn.Module) -> list[LayerStatistics]:
        """Return the statistics on a model's device, in the same order."""
        device = device_of(model)
        pairs = (torch.from_numpy(values).to(device) for values in self.layers.values())
        return [LayerStatistics(mean, variance) for mean, variance in pairs]

    def to_npz(self) -> bytes:
        """Return the content of an ``.npz`` file."""
        stream = io.BytesIO()
        arrays = {f"layer/{name}": values for name, values in self.layers.items()}
        np.savez(stream, n_images=np.array(self.n_images), **arrays)  # type: ignore[arg-type]
        return stream.getvalue()

    @classmethod
    def from_npz(cls, content: bytes) -> "MeasuredStatistics":
        """Read what ``to_npz`` returned."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            layers = {name.removeprefix("layer/"): file[name] for name in file if name.startswith("layer/")}
            return cls(layers, int(file["n_images"]))


def measure_statistics(
    model: nn.Module,
    images: NDArray[np.uint8],
    layers: Sequence[str] | None = None,
    *,
    batch_size: int = 32,
) -> MeasuredStatistics:
    """Measure mean and variance of a recogniser's features over images of many people.

    Of normalisation layers the input is measured, of all others the output. Some hundreds of people are needed before
    their statistics are a population's.

    Args:
        model: recogniser, [N, 3, 112, 112] in [-1, 1] to embeddings; used frozen, left as it was.
        images: [N, 112, 112, 3] uint8 RGB aligned faces; anything that can be sliced, a memory map included.
        layers: names of modules (``model.named_modules()``) whose features have a batch, channels and places.
            By default all Conv2d and LayerNorm layers with such features: where batch norms were, or would be.
        batch_size: images at a time; the result does not depend on it but in the last digits.

    Raises:
        ConfigError: no such layer, or one whose features are embeddings.
        DataError: the images are not [N, H, W, 3] uint8, or fewer than two.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or len(images) < 2:
        raise DataError(f"images of shape {images.shape} and type {images.dtype}; give two or more, [N, H, W, 3] uint8")
    chosen = _default_layers(model) if layers is None else _named(model, layers)
    totals: dict[str, _Total] = {}
    hooks = []
    try:
        for name, module in chosen.items():
            hooks.append(module.register_forward_hook(_measurer(name, totals, skip_flat=layers is None)))
        with frozen(model), torch.no_grad():
            for start in range(0, len(images), batch_size):
                batch = torch.from_numpy(np.ascontiguousarray(images[start : start + batch_size]))
                model(from_bytes(batch.to(device_of(model))).contiguous(memory_format=torch.channels_last))
    finally:
        for hook in hooks:
            hook.remove()
    if not totals:
        raise ConfigError("no layer of the recogniser has features to measure; name some in layers")
    return MeasuredStatistics({name: total.moments() for name, total in totals.items()}, len(images))


def features_seen(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
    """Return the features that a layer's statistics are about, channels second.

    Raises:
        ConfigError: they have no places beside batch and channels.
    """
    norms = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
    features = inputs[0] if isinstance(module, norms) else output
    if not isinstance(features, Tensor) or features.dim() < 3:
        raise ConfigError(
            f"the features of a {type(module).__name__} are no maps or tokens ([N, C, H, W] or [N, T, C]): statistics "
            "of embeddings would pull against the targets; choose another layer"
        )
    over_last = isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1
    return features.movedim(-1, 1) if over_last or features.dim() == 3 else features


class _Total:
    """Moments of all batches so far (Chan, Golub and LeVeque 1979, updating formulae for variances)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: NDArray[np.float64] = np.zeros(1)
        self._squares: NDArray[np.float64] = np.zeros(1)  # summed squared distance from the mean

    def add(self, features: Tensor) -> None:
        mean, variance = (moment.cpu().double().numpy() for moment in batch_moments(features))
        count = features.numel() // features.shape[1]
        total = self._count + count
        step = mean - self._mean
        self._mean = self._mean + step * (count / total)
        self._squares = self._squares + variance * count + step**2 * (self._count * count / total)
        self._count = total

    def moments(self) -> NDArray[np.float32]:
        return np.stack([self._mean, self._squares / self._count]).astype(np.float32)


def _measurer(name: str, totals: dict[str, _Total], *, skip_flat: bool) -> Any:
    def measure(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        try:
            features = features_seen(module, inputs, output)
        except ConfigError:
            if skip_flat:
                return
            raise
        totals.setdefault(name, _Total()).add(features)

    return measure


def _default_layers(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.LayerNorm)}


def _named(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    modules = dict(model.named_modules())
    missing = [name for name in names if name not in modules]
    if missing:
        raise ConfigError(f"the recogniser has no layer {missing[0]!r}; the names are those of model.named_modules()")
    return {name: modules[name] for name in names}
