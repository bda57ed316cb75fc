"""The losses that refine the softmax formula: by length, by hard negatives, by a shared boundary."""

from typing import Literal

from synthface.recognition.losses.boundary import BoundaryHead
from synthface.recognition.losses.hard_negatives import SupportVectors
from synthface.recognition.losses.magnitude import MagFaceHead, MagnitudeMargin
from synthface.recognition.losses.margins import AngularMargin, CosineMargin, Identity, TargetFunction
from synthface.recognition.losses.scale import default_scale
from synthface.recognition.losses.shard import Shard
from synthface.recognition.losses.softmax_head import SoftmaxHead

_PUBLISHED_SCALE = 32.0  # of SV-Softmax, MV-Softmax and GB-CosFace


def magface(
    n_classes: int,
    embedding_dim: int,
    *,
    l_a: float = 10.0,
    u_a: float = 110.0,
    l_m: float = 0.45,
    u_m: float = 0.8,
    lam_g: float = 35.0,
    scale: float | None = None,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """Angular margin that grows with the embedding's length."""
    margin = MagnitudeMargin(l_a, u_a, l_m, u_m)
    return MagFaceHead(
        n_classes,
        embedding_dim,
        margin=margin,
        lam_g=lam_g,
        scale=scale,
        sample_rate=sample_rate,
        shard=shard,
        seed=seed,
    )


def sv_softmax(
    n_classes: int,
    embedding_dim: int,
    *,
    t: float = 1.2,
    scale: float | None = None,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """NormFace whose hard negatives count more."""
    return SoftmaxHead(
        n_classes,
        embedding_dim,
        target=Identity(),
        negatives=SupportVectors(t, beside="target"),
        scale=default_scale(n_classes, _PUBLISHED_SCALE) if scale is None else scale,
        sample_rate=sample_rate,
        shard=shard,
        seed=seed,
    )


def mv_softmax(
    n_classes: int,
    embedding_dim: int,
    *,
    base: Literal["cosface", "arcface"] = "cosface",
    margin: float | None = None,
    t: float = 1.2,
    rule: Literal["adaptive", "fixed"] = "adaptive",
    scale: float | None = None,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """CosFace (m 0.35) or ArcFace (m 0.5) whose hard negatives count more."""
    target: TargetFunction = (
        CosineMargin(0.35 if margin is None else margin)
        if base == "cosface"
        else AngularMargin(0.5 if margin is None else margin)
    )
    return SoftmaxHead(
        n_classes,
        embedding_dim,
        target=target,
        negatives=SupportVectors(t, rule),
        scale=default_scale(n_classes, _PUBLISHED_SCALE) if scale is None else scale,
        sample_rate=sample_rate,
        shard=shard,
        seed=seed,
    )


def gb_cosface(
    n_classes: int,
    embedding_dim: int,
    *,
    margin: float = 0.16,
    alpha: float = 0.15,
    rate: float = 0.01,
    low: float = 0.5,
    high: float = 0.7,
    scale: float | None = None,
    sample_rate: float = 1.0,
    shard: Shard | None = None,
    seed: int = 0,
) -> SoftmaxHead:
    """CosFace with a boundary partly shared by all samples."""
    return BoundaryHead(
        n_classes,
        embedding_dim,
        margin=margin,
        alpha=alpha,
        rate=rate,
        low=low,
        high=high,
        scale=default_scale(n_classes, _PUBLISHED_SCALE) if scale is None else scale,
        sample_rate=sample_rate,
        shard=shard,
        seed=seed,
    )
