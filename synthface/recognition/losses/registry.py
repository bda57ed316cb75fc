"""Every loss by name, with its options and their defaults."""

import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, NoneType
from typing import Any, Literal

from synthface.core.errors import ConfigError
from synthface.recognition.losses import family, refinements
from synthface.recognition.losses.anisotropy import AnisotropyPenalty
from synthface.recognition.losses.centre import CentreLoss
from synthface.recognition.losses.contrastive import ContrastiveLoss
from synthface.recognition.losses.distance_weighted import DistanceWeightedMargin
from synthface.recognition.losses.frequency_margin import FrequencyMarginHead
from synthface.recognition.losses.identity_triplet import IdentityTripletLoss
from synthface.recognition.losses.range_loss import RangeLoss
from synthface.recognition.losses.recognition_loss import RecognitionLoss
from synthface.recognition.losses.scale import default_scale
from synthface.recognition.losses.shard import Shard
from synthface.recognition.losses.simplex import SimplexLoss
from synthface.recognition.losses.triplets import BatchHardTriplets, SemiHardTriplets

_FROM_THE_DATA = {"seed", "class_counts", "groups", "attribute_sizes", "shard"}  # no options of the command line


@dataclass(frozen=True)
class Loss:
    """A named loss; call it to make its head.

    Attributes:
        name: what the command line calls it.
        make: from (number of classes, embedding dimension, options) to the head; its signature holds the defaults.
        source: where it was published.
    """

    name: str
    make: Callable[..., RecognitionLoss]
    source: str

    @property
    def defaults(self) -> dict[str, Any]:
        """The loss's options with their defaults."""
        return {name: parameter.default for name, parameter in self._options().items() if name not in _FROM_THE_DATA}

    @property
    def takes_class_counts(self) -> bool:
        """Whether the head wants to know how many images each class has."""
        return "class_counts" in self._options()

    @property
    def takes_attributes(self) -> bool:
        """Whether the head also learns labelled attributes."""
        return "attribute_sizes" in self._options()

    @property
    def can_spread(self) -> bool:
        """Whether the class centres can be spread over processes."""
        return "shard" in self._options()

    def __call__(self, n_classes: int, embedding_dim: int, **options: Any) -> RecognitionLoss:
        """Return the head.

        Raises:
            ConfigError: fewer than two classes, an option that the loss does not have, or a value it cannot take.
        """
        if n_classes < 2:
            raise ConfigError(f"--loss {self.name} needs at least 2 identities, not {n_classes}")
        of_the_data = _FROM_THE_DATA & self._options().keys()
        chosen = self.checked({name: value for name, value in options.items() if name not in of_the_data})
        return self.make(n_classes, embedding_dim, **{**options, **chosen})

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return a user's options as the loss takes them, 4.0 as 4 for a whole number; the data's are not among them.

        Raises:
            ConfigError: an option that the loss does not have, or a value it cannot take.
        """
        known = self._options()
        chosen = {}
        for name, given in options.items():
            if name not in self.defaults:
                takes = ", ".join(f"{key}={default}" for key, default in self.defaults.items())
                raise ConfigError(f"{self.name} has no option {name!r}; it takes {takes or 'none'}")
            hint = known[name].annotation
            value = int(given) if hint is int and isinstance(given, float) and given.is_integer() else given
            if not _fits(value, hint):
                raise ConfigError(f"{self.name}: {name} cannot be {given!r}; give {_described(hint)}")
            chosen[name] = value
        return chosen

    def _options(self) -> Mapping[str, inspect.Parameter]:
        parameters = inspect.signature(self.make, eval_str=True).parameters
        return {name: value for name, value in parameters.items() if value.kind is inspect.Parameter.KEYWORD_ONLY}


def _fits(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    kinds = typing.get_args(hint) or (hint,)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))


def _described(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    words = {float: "a number", int: "a whole number", bool: "true or false", NoneType: "null"}
    return " or ".join(words.get(kind, str(kind)) for kind in typing.get_args(hint) or (hint,))


def _center(
    n_classes: int,
    embedding_dim: int,
    *,
    base: family.Base = "softmax",
    lam: float = 0.003,
    alpha: float = 0.5,
    seed: int = 0,
) -> RecognitionLoss:
    return CentreLoss(family.base_head(base, n_classes, embedding_dim, seed=seed), embedding_dim, lam=lam, alpha=alpha)


def _contrastive(
    n_classes: int,
    embedding_dim: int,
    *,
    base: family.Base = "softmax",
    lam: float = 0.05,
    margin: float | None = None,
    reset_every: int = 100,
    shard: Shard | None = None,
    seed: int = 0,
) -> RecognitionLoss:
    head = family.base_head(base, n_classes, embedding_dim, shard=shard, seed=seed)
    return ContrastiveLoss(head, lam=lam, margin=margin, reset_every=reset_every)


def _range(
    n_classes: int,
    embedding_dim: int,
    *,
    base: family.Base = "softmax",
    lam: float = 1.0,
    alpha: float = 5e-5,
    beta: float = 1e-4,
    margin: float = 2e4,
    k: int = 2,
    shard: Shard | None = None,
    seed: int = 0,
) -> RecognitionLoss:
    head = family.base_head(base, n_classes, embedding_dim, shard=shard, seed=seed)
    return RangeLoss(head, lam=lam, alpha=alpha, beta=beta, margin=margin, k=k)


def _anisotropy(
    n_classes: int, embedding_dim: int, *, base: family.Base = "cosface", weight: float = 1.0, seed: int = 0
) -> RecognitionLoss:
    return AnisotropyPenalty(family.base_head(base, n_classes, embedding_dim, seed=seed), weight=weight)


def _id_triplet(
    n_classes: int,
    embedding_dim: int,
    *,
    base: family.Base = "normface",
    lam_t: float = 1.0,
    lam_a: float = 1.0,
    triplet_margin: float | None = None,
    attribute_sizes: Sequence[int] = (),
    shard: Shard | None = None,
    seed: int = 0,
) -> RecognitionLoss:
    return IdentityTripletLoss(
        family.base_head(base, n_classes, embedding_dim, shard=shard, seed=seed),
        embedding_dim,
        lam_t=lam_t,
        lam_a=lam_a,
        triplet_margin=triplet_margin,
        attribute_sizes=attribute_sizes,
        seed=seed,
    )


def _adapted_margin(
    n_classes: int,
    embedding_dim: int,
    *,
    scale: float | None = None,
    class_counts: Sequence[int] | None = None,
    groups: Sequence[int] | None = None,
    shard: Shard | None = None,
    seed: int = 0,
) -> RecognitionLoss:
    scale = default_scale(n_classes, 32.0) if scale is None else scale
    return FrequencyMarginHead(
        n_classes, embedding_dim, class_counts=class_counts, groups=groups, scale=scale, shard=shard, seed=seed
    )


def _triplet_semihard(
    n_classes: int,
    embedding_dim: int,
    *,
    margin: float = 0.2,
    reduction: Literal["mean", "sum"] = "mean",
    seed: int = 0,
) -> RecognitionLoss:
    return SemiHardTriplets(margin=margin, reduction=reduction)


def _triplet_batchhard(
    n_classes: int, embedding_dim: int, *, margin: float | None = None, seed: int = 0
) -> RecognitionLoss:
    return BatchHardTriplets(margin=margin)


def _margin_distance_weighted(
    n_classes: int,
    embedding_dim: int,
    *,
    alpha: float = 0.2,
    beta: float = 1.2,
    cutoff: float = 0.5,
    limit: float = 1.4,
    seed: int = 0,
) -> RecognitionLoss:
    return DistanceWeightedMargin(alpha=alpha, beta=beta, cutoff=cutoff, limit=limit, seed=seed)


LOSSES: Mapping[str, Loss] = MappingProxyType({
    loss.name: loss
    for loss in (
        Loss("softmax", family.softmax, "cross entropy, no bias"),
        Loss("modified-softmax", family.modified_softmax, "SphereFace, arXiv 1704.08063, section 3.1"),
        Loss("normface", family.normface, "NormFace, arXiv 1704.06369"),
        Loss("l-softmax", family.l_softmax, "L-Softmax, arXiv 1612.02295"),
        Loss("sphereface", family.sphereface, "SphereFace, arXiv 1704.08063"),
        Loss("cosface", family.cosface, "CosFace, arXiv 1801.09414; AM-Softmax, arXiv 1801.05599"),
        Loss("arcface", family.arcface, "ArcFace, arXiv 1801.07698"),
        Loss("combined-margin", family.combined_margin, "ArcFace, arXiv 1801.07698, section 2.3"),
        Loss("subcenter-arcface", family.subcenter_arcface, "sub-centre ArcFace, ECCV 2020"),
        Loss("magface", refinements.magface, "MagFace, arXiv 2103.06627"),
        Loss("sv-softmax", refinements.sv_softmax, "SV-Softmax, arXiv 1812.11317"),
        Loss("mv-softmax", refinements.mv_softmax, "MV-Softmax, arXiv 1912.00833"),
        Loss("gb-cosface", refinements.gb_cosface, "GB-CosFace, arXiv 2111.11186"),
        Loss("adapted-margin", _adapted_margin, "AdaVQA, IJCAI 2021"),
        Loss("center", _center, "centre loss, ECCV 2016"),
        Loss("contrastive", _contrastive, "DeepID2, arXiv 1406.4773"),
        Loss("range", _range, "range loss, arXiv 1611.08976"),
        Loss("anisotropy", _anisotropy, "ours, after the aim of IntraLoss, arXiv 2107.03352"),
        Loss("id-triplet", _id_triplet, "arXiv 2212.14107"),
        Loss("simplex", SimplexLoss, "arXiv 2212.11747"),
        Loss("triplet-semihard", _triplet_semihard, "FaceNet, arXiv 1503.03832"),
        Loss("triplet-batchhard", _triplet_batchhard, "arXiv 1703.07737"),
        Loss("margin-distance-weighted", _margin_distance_weighted, "arXiv 1706.07567"),
    )
})  # fmt: skip
