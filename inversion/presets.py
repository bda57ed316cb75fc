"""Settings by name; they differ from the defaults only where they say so."""

from dataclasses import replace

from inversion.config import InversionConfig
from synthface.core.errors import ConfigError

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
    start="noise",
    symmetric_share=0.0,
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

# The best of three images of each target, chosen by the inverted recogniser itself: some starts settle into half faces
# side by side, which shows in views stronger than those of the optimisation. Three times the steps brought little.
QUALITY = replace(FAST, candidates=3)

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
