"""The losses that are rows of the softmax formula: each a function from its options to a head."""

from typing import Any, Literal

from synthface.recognition.losses.margins import (
    AngularMargin,
    CombinedMargin,
    CosineMargin,
    GradientRule,
    Identity,
    PastPi,
)
from synthface.recognition.losses.multiplied_angle import AnnealedAngle
from synthface.recognition.losses.scale import default_scale
from synthface.recognition.losses.shard import Shard
from synthface.recognition.losses.softmax_head import SoftmaxHead

_FIRST_LEARNT_SCALE = 10.0  # as in NormFace's code
_PUBLISHED_SCALE = {"cosface": 64.0, "am-softmax": 30.0}


def softmax(
    n_classes: int, embedding_dim: int, *, sample_rate: float = 1.0, shard: Shard | None = None, seed: int = 0
) -> SoftmaxHead:
    """Cross entropy of inner products, without bias."""
    return SoftmaxHead(
        n_classes, embedding_dim, target=Identity(), scale_rule="norms", sample_rate=sample_rate, shard=shard, seed=seed
    )


def modified_softmax(
    n_classes: int, embedding_dim: int, *, sample_rate: float = 1.0, shard: Shard | None = None, seed: int = 0
) -> SoftmaxHead:
    """Softmax with unit class centres."""
    return SoftmaxHead(
        n_classes,
        embedding_dim,
        target=Identity(),
        scale_rule="feature_norm",
        sample_rate=sample_rate,
        shard=shard,
        seed=seed,
    )


def normface(
    n_classes: int,
    embedding_dim: int,
    *,
    scale: float | None = None,
    learn_scale: bool = False,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """Softmax of cosines, with s fixed or learnt from 10 on."""
    return SoftmaxHead(
        n_classes,
        embedding_dim,
        target=Identity(),
        scale=_FIRST_LEARNT_SCALE if learn_scale and scale is None else scale,
        learn_scale=learn_scale,
        sample_rate=sample_rate,
        shard=shard,
        seed=seed,
    )


def cosface(
    n_classes: int,
    embedding_dim: int,
    *,
    preset: Literal["cosface", "am-softmax"] = "cosface",
    margin: float = 0.35,
    scale: float | None = None,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """Margin on the cosine; the presets cosface (s 64) and am-softmax (s 30) are one function."""
    return SoftmaxHead(
        n_classes,
        embedding_dim,
        target=CosineMargin(margin),
        scale=default_scale(n_classes, _PUBLISHED_SCALE[preset]) if scale is None else scale,
        sample_rate=sample_rate,
        shard=shard,
        seed=seed,
    )


def arcface(
    n_classes: int,
    embedding_dim: int,
    *,
    margin: float = 0.5,
    past_pi: PastPi = "linear",
    grad: GradientRule = "exact",
    scale: float | None = None,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """Margin on the angle, in radians."""
    target = AngularMargin(margin, past_pi, grad)
    return SoftmaxHead(
        n_classes, embedding_dim, target=target, scale=scale, sample_rate=sample_rate, shard=shard, seed=seed
    )


def combined_margin(
    n_classes: int,
    embedding_dim: int,
    *,
    m1: float = 1.0,
    m2: float = 0.3,
    m3: float = 0.2,
    scale: float | None = None,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """All three margins: cos(m1 theta + m2) - m3."""
    target = CombinedMargin(m1, m2, m3)
    return SoftmaxHead(
        n_classes, embedding_dim, target=target, scale=scale, sample_rate=sample_rate, shard=shard, seed=seed
    )


def subcenter_arcface(
    n_classes: int,
    embedding_dim: int,
    *,
    sub_centres: int = 3,
    margin: float = 0.5,
    past_pi: PastPi = "linear",
    grad: GradientRule = "exact",
    scale: float | None = None,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """ArcFace with several centres a class, of which the nearest counts."""
    return SoftmaxHead(
        n_classes,
        embedding_dim,
        target=AngularMargin(margin, past_pi, grad),
        scale=scale,
        sub_centres=sub_centres,
        sample_rate=sample_rate,
        shard=shard,
        seed=seed,
    )


def l_softmax(
    n_classes: int,
    embedding_dim: int,
    *,
    margin: int = 4,
    lam_base: float = 1000.0,
    lam_gamma: float = 2.5e-5,
    lam_power: float = 35.0,
    lam_min: float = 5.0,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """Multiplied angle with free centres."""
    return SoftmaxHead(
        n_classes,
        embedding_dim,
        target=AnnealedAngle(margin, lam_base=lam_base, lam_gamma=lam_gamma, lam_power=lam_power, lam_min=lam_min),
        scale_rule="norms",
        sample_rate=sample_rate,
        shard=shard,
        seed=seed,
    )


def sphereface(
    n_classes: int,
    embedding_dim: int,
    *,
    margin: int = 4,
    lam_base: float = 1000.0,
    lam_gamma: float = 0.12,
    lam_power: float = 1.0,
    lam_min: float = 5.0,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """A-Softmax: multiplied angle with unit centres."""
    return SoftmaxHead(
        n_classes,
        embedding_dim,
        target=AnnealedAngle(margin, lam_base=lam_base, lam_gamma=lam_gamma, lam_power=lam_power, lam_min=lam_min),
        scale_rule="feature_norm",
        sample_rate=sample_rate,
        shard=shard,
        seed=seed,
    )


BASES = {
    "softmax": softmax,
    "modified-softmax": modified_softmax,
    "normface": normface,
    "cosface": cosface,
    "arcface": arcface,
}
Base = Literal["softmax", "modified-softmax", "normface", "cosface", "arcface"]


def base_head(base: str, n_classes: int, embedding_dim: int, **options: Any) -> SoftmaxHead:
    """Return the classification part of a joint loss, with its own defaults but for the options given."""
    return BASES[base](n_classes, embedding_dim, **options)
