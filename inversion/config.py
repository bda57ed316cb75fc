"""Every constant of the inversion, with its source."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from synthface.core.errors import ConfigError

PriorForm = Literal["kl", "paper", "deepinversion"]
IdentityForm = Literal["cosine", "feature_l2", "margin"]
VariableKind = Literal["pixels", "fourier"]
StartKind = Literal["noise", "drawn_face"]
Schedule = Literal["cosine", "constant"]
SIDE = 112  # pixels; the aligned face template of ArcFace, and the size recognisers take


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """How one group of targets is optimised; the defaults are those of the ``fast`` preset.

    "Chosen" means: the best of the few values tried on LFW faces that no reported figure uses, inverting one
    MobileFaceNet (MS1M) and judging with another (CASIA): 16 faces, so that a step of a factor two is hardly told
    from noise; the order of magnitude is. What each choice brings on other people is in docs/results.md, from
    scripts/study_inversion.py. "DeepInversion" is arXiv 1912.08795 with its published code's defaults.

    Args:
        steps: optimisation steps of a group.
        group_size: targets optimised together; the batch-norm prior is about a batch of people.
        least_batch: a smaller group is filled up to this with companions, random targets that are thrown away.
        candidates: images made of each target, from different starts; the one is kept whose embedding bears changes of
            the image best, or that --validator chooses.
        variable: what is optimised: pixels, or fourier coefficients in decorrelated colours.
        sides: side of the optimised image at each stage, in pixels; it is upsampled to 112 for the recogniser.
        stage_shares: share of the steps that each stage takes.
        learning_rate: Adam's, at the end of the warm-up, in units of pixels in [-1, 1].
        betas: Adam's.
        schedule: what the learning rate does after the warm-up, within each stage: cosine, a fall to final_rate, or
            constant.
        warmup_steps: steps of linear warm-up at the start of each stage.
        final_rate: share of the learning rate that the cosine ends at.
        start: what the noise of the start is added to: noise, to nothing (mid-grey); drawn_face, to a face drawn by
            rule, the same for everybody, that shows where a face lies.
        start_std: standard deviation of the first image's pixels.
        common_image: add an image that the whole group shares to each member's own, and optimise both.
        symmetric_share: share of the steps, from the first, in which every image is its own mirror image.
        average_share: share of the steps, up to the last, whose images are averaged into the result.
        average_decay: weight of the past in that average, at each step.
        latent_share: share of the steps, from the first, taken in a generator's latent space, where one is given.
        latent_rate: learning rate there, in standard deviations of the latents.
        latent_weight: weight of the latents' mean squared distance from their mean, in standard deviations.
        identity_form: cosine; feature_l2, squared distance, for raw embeddings as targets; or margin, the ArcFace loss,
            for class centres as targets.
        margin: of the ArcFace loss, in radians.
        margin_scale: of the ArcFace loss.
        identity_weight: weight of the identity loss, mean over targets and views.
        prior_form: how batch statistics are compared with running ones: kl, divergence of Gaussians; paper (ArcFace),
            squared differences of mean and standard deviation; deepinversion, norms of those of mean and variance.
        prior_weight: weight of the batch-norm prior; 0 switches it off.
        statistics_momentum: share of the batch in the statistics compared; the rest is a running average over earlier
            steps of the group.
        first_layer_weight: extra factor on the first BatchNorm layer.
        depth_weights: extra factors on the first and the last BatchNorm layer, linear between them.
        tv_l1_weight: weight of the mean absolute difference of neighbouring pixels.
        tv_early_factor: extra factor on both smoothness weights at the first step, falling to 1 at the last.
        tv_norm_weight: weight of the norm of the differences of neighbouring pixels.
        l2_weight: weight of the image's norm.
        views: views of each image at each step, whose terms are averaged.
        flip: mirror each view with probability one half.
        flip_from: share of the steps before which no view is mirrored.
        shift_pixels: largest shift of a view, in whole pixels.
        scale: largest relative change of size of a view.
        rotation_degrees: largest rotation of a view.
        colour: largest relative change of a view's contrast, half as much again for each channel alone, and largest
            shift of its brightness, in units of pixels in [-1, 1].
    """

    steps: int = 150
    group_size: int = 32
    least_batch: int = 8  # companions beside 8 targets cost twice the time and brought nothing clear
    candidates: int = 1
    variable: VariableKind = "pixels"
    sides: tuple[int, ...] = (28, 56, 112)  # low frequencies first, as DeepInversion's two; from 14 was no better
    stage_shares: tuple[float, ...] = (0.4, 0.3, 0.3)
    learning_rate: float = 0.1  # chosen from .05, .1, .2
    betas: tuple[float, float] = (0.5, 0.9)  # DeepInversion
    schedule: Schedule = "cosine"  # DeepInversion
    warmup_steps: int = 10  # Adam's second moment, beta .9, remembers some ten steps
    final_rate: float = 0.05  # not 0: a stage's last steps should still move
    start: StartKind = "drawn_face"  # the largest gain of all: noise lets half faces settle side by side
    start_std: float = 0.1  # a tenth of ArcFace's: large noise at full size is what the prior then has to remove
    common_image: bool = False
    symmetric_share: float = 0.0  # tried against half faces side by side, and no help: docs/results.md
    average_share: float = 0.0
    average_decay: float = 0.9
    latent_share: float = 0.5
    latent_rate: float = 0.2
    latent_weight: float = 0.1
    identity_form: IdentityForm = "cosine"
    margin: float = 0.5  # ArcFace, section 3.1
    margin_scale: float = 64.0
    identity_weight: float = 10.0  # chosen
    prior_form: PriorForm = "kl"
    prior_weight: float = 60.0  # chosen from 60, 150; docs/results.md: what it brings
    statistics_momentum: float = 1.0
    first_layer_weight: float = 1.0  # DeepInversion's 10 is a visual gain with unclear transfer
    depth_weights: tuple[float, float] = (1.0, 1.0)
    tv_l1_weight: float = 10.0  # chosen from 4, 10
    tv_early_factor: float = 1.0
    tv_norm_weight: float = 0.0
    l2_weight: float = 0.0
    views: int = 1
    flip: bool = True  # ArcFace is trained with flips
    flip_from: float = 0.0
    shift_pixels: int = 6  # these three: twice what alignment leaves unsettled
    scale: float = 0.1
    rotation_degrees: float = 6.0
    colour: float = 0.0

    def __post_init__(self) -> None:
        for names, holds, words in _RANGES:
            for name in names:
                if not holds(getattr(self, name)):
                    raise ConfigError(f"inversion {name} is {words}, not {getattr(self, name)}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(f"inversion {name} is one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"inversion betas {self.betas}: give two, from 0 to below 1")
        if len(self.depth_weights) != 2 or not all(0 <= weight < inf for weight in self.depth_weights):
            raise ConfigError(f"inversion depth_weights {self.depth_weights}: give two, finite, 0 or more")
        if not self.sides or self.sides[-1] != SIDE or min(self.sides) < 1 or len(self.sides) != len(self.stage_shares):
            raise ConfigError(f"inversion sides {self.sides} need one share each and end at {SIDE}")
        if not all(share > 0 for share in self.stage_shares) or not abs(sum(self.stage_shares) - 1) < 1e-6:
            raise ConfigError(f"inversion stage_shares {self.stage_shares} are positive and sum to 1")


_RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (("steps", "group_size", "least_batch", "candidates", "views"), lambda value: value >= 1, "at least 1"),
    (
        ("learning_rate", "start_std", "latent_rate", "margin_scale"),
        lambda value: 0 < value < inf,
        "finite and above 0",
    ),
    (
        (
            "identity_weight",
            "prior_weight",
            "first_layer_weight",
            "tv_l1_weight",
            "tv_norm_weight",
            "tv_early_factor",
            "l2_weight",
            "latent_weight",
            "warmup_steps",
            "margin",
            "shift_pixels",
            "rotation_degrees",
            "colour",
        ),
        lambda value: 0 <= value < inf,
        "finite, 0 or more",
    ),
    (
        ("final_rate", "symmetric_share", "average_share", "average_decay", "latent_share", "flip_from"),
        lambda value: 0 <= value <= 1,
        "from 0 to 1",
    ),
    (("scale",), lambda value: 0 <= value < 1, "from 0 to below 1"),
    (("statistics_momentum",), lambda value: 0 < value <= 1, "above 0, at most 1"),
)
_CHOICES = {
    "prior_form": get_args(PriorForm),
    "identity_form": get_args(IdentityForm),
    "variable": get_args(VariableKind),
    "start": get_args(StartKind),
    "schedule": get_args(Schedule),
}
