"""Every constant of the inversion, with its source; the presets differ from the defaults only where they say so."""

from dataclasses import dataclass, replace
from typing import Literal

from synthface.core.errors import ConfigError

PriorForm = Literal["kl", "paper", "deepinversion"]
SIDE = 112  # pixels; the aligned face template of ArcFace, and the size recognisers take


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """How one group of targets is optimised; the defaults are those of the ``fast`` preset.

    "Chosen" means: the best of the few values tried on 16 LFW faces that no reported figure uses, inverting one
    MobileFaceNet (MS1M) and judging with another (CASIA). With so few faces a step of a factor two in any of them is
    hardly told from noise; the order of magnitude is. "DeepInversion" is arXiv 1912.08795 with its published code's
    defaults.

    Args:
        steps: optimisation steps of a group.
        group_size: targets optimised together; the batch-norm prior is about a batch of people.
        least_batch: a smaller group is filled up to this with companions; see ``groups``.
        sides: side of the optimised image at each stage, in pixels; it is upsampled to 112 for the recogniser.
        stage_shares: share of the steps that each stage takes.
        learning_rate: Adam's, at the end of the warm-up, in units of pixels in [-1, 1].
        betas: Adam's.
        schedule: what the learning rate does after the warm-up, within each stage.
        warmup_steps: steps of linear warm-up at the start of each stage.
        final_rate: share of the learning rate that the cosine ends at.
        start_std: standard deviation of the first image's pixels.
        identity_weight: weight of ``1 - cosine``, mean over the targets.
        prior_form: how batch statistics are compared with running ones; see ``bn_prior``.
        prior_weight: weight of the batch-norm prior; 0 switches it off.
        first_layer_weight: extra factor on the first BatchNorm layer.
        tv_l1_weight: weight of the mean absolute difference of neighbouring pixels.
        tv_norm_weight: weight of the norm of the differences of neighbouring pixels.
        l2_weight: weight of the image's norm.
        flip: mirror each image with probability one half at each step.
        shift_pixels: largest shift of a view, in whole pixels.
        scale: largest relative change of size of a view.
        rotation_degrees: largest rotation of a view.
    """

    steps: int = 150
    group_size: int = 32
    least_batch: int = 8  # 8 companions beside 8 targets: judge .43, alone .38: noise, at twice the cost
    sides: tuple[int, ...] = (28, 56, 112)  # low frequencies first, as DeepInversion's two; from 14 was no better
    stage_shares: tuple[float, ...] = (0.4, 0.3, 0.3)
    learning_rate: float = 0.1  # chosen from .05, .1, .2
    betas: tuple[float, float] = (0.5, 0.9)  # DeepInversion
    schedule: Literal["cosine", "constant"] = "cosine"  # DeepInversion
    warmup_steps: int = 10  # Adam's second moment, beta .9, remembers some ten steps
    final_rate: float = 0.05  # not 0: a stage's last steps should still move
    start_std: float = 0.1  # a tenth of ArcFace's: large noise at full size is what the prior then has to remove
    identity_weight: float = 10.0  # chosen
    prior_form: PriorForm = "kl"
    prior_weight: float = 60.0  # chosen from 60, 150; without it the judge's cosine falls to a third
    first_layer_weight: float = 1.0  # DeepInversion's 10 is a visual gain with unclear transfer
    tv_l1_weight: float = 10.0  # chosen from 4, 10
    tv_norm_weight: float = 0.0
    l2_weight: float = 0.0
    flip: bool = True  # ArcFace is trained with flips
    shift_pixels: int = 3  # these three: what alignment leaves unsettled
    scale: float = 0.05
    rotation_degrees: float = 3.0

    def __post_init__(self) -> None:
        for name in ("steps", "group_size", "least_batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"inversion {name} is at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "start_std"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"inversion {name} is above 0, not {getattr(self, name)}")
        for name in ("prior_weight", "tv_l1_weight", "tv_norm_weight", "l2_weight", "shift_pixels", "scale"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"inversion {name} is 0 or more, not {getattr(self, name)}")
        if len(self.sides) != len(self.stage_shares) or self.sides[-1] != SIDE or min(self.sides) < 1:
            raise ConfigError(f"inversion sides {self.sides} need one share each and end at {SIDE}")
        if min(self.stage_shares) <= 0 or abs(sum(self.stage_shares) - 1) > 1e-6:
            raise ConfigError(f"inversion stage_shares {self.stage_shares} are positive and sum to 1")


FAST = InversionConfig()

# The recipe of the ArcFace paper (arXiv 1801.07698v4, section 3.3 and algorithm 1) where it states one: 256 people a
# batch, N(0, 1) start, Adam with rate .25, 20,000 steps, .05 x the BN term, TV 1e-3, l2 1e-4. It does not state the
# schedule, betas or clipping (DeepInversion's here), nor how TV and l2 are normalised. DeepInversion takes norms over
# the whole batch, so a weight w on them equals w x sqrt(256) on per-image norms; these do not depend on the batch
# size. Its identity term is the squared distance of embeddings; with a head that ends in a BatchNorm of unit gain,
# embeddings have mean squared norm D, so the distance is 2 D (1 - cosine): 1024 for its 512 dimensions.
PAPER = InversionConfig(
    steps=20_000,
    group_size=256,
    least_batch=64,  # not the paper's, which has thousands of targets
    sides=(112,),
    stage_shares=(1.0,),
    learning_rate=0.25,
    warmup_steps=100,
    final_rate=0.0,
    start_std=1.0,
    identity_weight=1024.0,
    prior_form="paper",
    prior_weight=0.05,
    tv_l1_weight=0.0,
    tv_norm_weight=1e-3 * 16,
    l2_weight=1e-4 * 16,
    flip=False,
    shift_pixels=0,
    scale=0.0,
    rotation_degrees=0.0,
)

# Longer runs afford less smoothing: more detail appears late.
QUALITY = replace(FAST, steps=900, tv_l1_weight=5.0)

PRESETS: dict[str, InversionConfig] = {"fast": FAST, "quality": QUALITY, "paper": PAPER}


def resolve_config(preset: str, config: InversionConfig | None) -> InversionConfig:
    """Return the config given, or the preset of that name.

    Raises:
        ConfigError: there is no such preset.
    """
    if config is not None:
        return config
    if preset not in PRESETS:
        raise ConfigError(f"no inversion preset {preset!r}; there are {', '.join(PRESETS)}")
    return PRESETS[preset]
