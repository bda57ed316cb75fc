"""What the audit demands before it says PASS: every number of the protocol in one frozen place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from synthface.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """Limits and sample sizes of the audit; set them before the run, their hash is part of the result.

    No standard sets these limits. An interval is two-sided, and ``confidence`` holds at each of its ends.

    Args:
        seed: seed of permutations, bootstraps and plants.
        permutations: random re-assignments behind each permutation p-value.
        bootstraps: resamples of identities behind each bootstrap interval.
        confidence: one-sided confidence at each end of every interval.
        images_per_identity: photos of one real person that are used at most, so that galleries are exchangeable.
        top_scores: scores of a person against the synthetic set that are averaged.
        alpha: a leak is shown when its p-value, corrected for all tests by Holm's method, is at most this.
        min_recognizers: recognisers that must pass V1.
        fmr: false match rate at which a recogniser must work on the hold-out (V1).
        min_tmr: its true match rate there, lower bound (V1).
        min_holdout: people in the hold-out (V2).
        overlap_chance: training-hold-out pairs that one recogniser may name by chance; all must agree on a pair (V2).
        placebo_alpha: the placebo's p-value must be above this (V3).
        planted_people: training people to plant, at least (V4).
        planted_images: training photos to plant in each way that copies are made, at least, all to be found (V4).
        planted_photos: photos such a person must have, half of which are planted (V4).
        min_recall: share of the plants that the alarm must find, lower bound (V4).
        max_hub_share: share of the synthetic images that may have the same nearest photo (V5, a warning).
        max_unaudited: share of the synthetic images in which no face may be found (V5).
        copy_bits: bits of 64 up to which a perceptual hash makes an image and a photo a candidate (A1).
        copy_correlation: correlation of fine detail from which a candidate is a copy (A1).
        residual_at: share of hold-out people above the threshold at which the residual risk is read (A2).
        max_residual: residual risk, upper bound (A2).
        tail_people: people with the largest scores of whom the share from the training set is tested (A2).
        flag_rate: false discovery rate of the per-class alarm (A3).
        linkage_quantile: quantile of the chance number of rank-1 hits that may be reached (A4).
        max_linkage_auc: area under the curve of same-label against other-label scores, upper bound (A4).
        max_unlinkability: D_sys of the same scores, upper bound (A4).
        top_pairs: largest class-to-person scores among which label hits are counted (A4), and pairs listed.
        max_membership_auc: area under the curve of membership inference, upper bound (A5).
        membership_fpr: false positive rate at which the attack's true positive rate is read (A5).
        max_membership_tpr: that true positive rate, upper bound (A5).
        count_share: share of the (hold-out person, image) scores that count as hits for the counting attack (A5).
        cells: parts of the embedding space in which data copying is tested (A6).
        copying_z: Meehan's C_T must be above minus this (A6).
        unique_fmr: false match rate at which two classes count as one person (A7, a warning).
        max_merged: share of the pairs of classes that may (A7).
        max_rounds: audits of one release against one hold-out (A8).
    """

    seed: int = 0
    permutations: int = 9999
    bootstraps: int = 2000
    confidence: float = 0.95
    images_per_identity: int = 20
    top_scores: int = 5
    alpha: float = 0.01
    min_recognizers: int = 2
    fmr: float = 1e-3
    min_tmr: float = 0.85
    min_holdout: int = 500
    overlap_chance: float = 0.5
    placebo_alpha: float = 0.05
    planted_people: int = 59
    planted_photos: int = 4
    planted_images: int = 59
    min_recall: float = 0.90
    max_hub_share: float = 0.01
    max_unaudited: float = 0.02
    copy_bits: int = 6
    copy_correlation: float = 0.90
    residual_at: float = 0.01
    max_residual: float = 0.005
    tail_people: int = 50
    flag_rate: float = 0.05
    linkage_quantile: float = 0.99
    max_linkage_auc: float = 0.55
    max_unlinkability: float = 0.05
    top_pairs: int = 100
    membership_fpr: float = 0.01
    max_membership_auc: float = 0.55
    max_membership_tpr: float = 0.03
    count_share: float = 0.01
    cells: int = 10
    copying_z: int = 3
    unique_fmr: float = 1e-4
    max_merged: float = 0.01
    max_rounds: int = 3

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, float) and not 0 < value < 1:
                raise ConfigError(f"audit gate {field.name} is {value}; it lies between 0 and 1")
            if isinstance(field.default, int) and field.name != "seed" and value < 1:
                raise ConfigError(f"audit gate {field.name} is {value}; it is at least 1")

    @classmethod
    def strict(cls, **changes: Any) -> "AuditConfig":
        """Return the limits for a release that cannot be called back."""
        limits: dict[str, Any] = {
            "min_holdout": 2000,
            "planted_images": 299,
            "max_residual": 0.001,
            "max_linkage_auc": 0.52,
            "max_membership_auc": 0.53,
            "max_membership_tpr": 0.02,
        }
        return cls(**{**limits, **changes})

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, source: str = "gates") -> "AuditConfig":
        """Return a profile with some values changed.

        Args:
            values: field names and values; ``profile`` is "default" or "strict".
            source: where they come from, for messages.

        Raises:
            ConfigError: a name or a type that is not known, or a value out of range.
        """
        changes = dict(values)
        profile = changes.pop("profile", "default")
        if profile not in PROFILES:
            raise ConfigError(f"{source}: profile {profile!r} is unknown; it is one of {', '.join(PROFILES)}")
        kinds: dict[str, Any] = {field.name: type(field.default) for field in fields(cls)}
        for name, value in changes.items():
            if name not in kinds:
                raise ConfigError(f"{source}: {name!r} is no gate of the audit; see 'synthface audit --help'")
            allowed = (int,) if kinds[name] is int else (int, float)
            if isinstance(value, bool) or not isinstance(value, allowed):
                raise ConfigError(f"{source}: {name} is {value!r}; give a number ({kinds[name].__name__})")
            changes[name] = kinds[name](value)
        return PROFILES[profile](**changes)

    @classmethod
    def from_file(cls, path: Path) -> "AuditConfig":
        """Read a YAML or JSON file of values, as ``from_mapping`` takes them.

        Raises:
            ConfigError: the file cannot be read, or holds something else.
        """
        import yaml

        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"gates file {path} cannot be read ({str(error).splitlines()[0]})") from None
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            raise ConfigError(f"gates file {path} holds no 'name: value' lines")
        return cls.from_mapping(values, source=f"gates file {path}")

    @property
    def profile(self) -> str:
        """Name of the profile that these limits are, or "custom"; the seed is no limit."""
        return next((name for name, make in PROFILES.items() if make(seed=self.seed) == self), "custom")

    def differences(self) -> dict[str, tuple[float, float]]:
        """Return the fields that differ from the default profile: (default, here)."""
        default = AuditConfig(seed=self.seed)
        pairs = {field.name: (getattr(default, field.name), getattr(self, field.name)) for field in fields(self)}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


PROFILES: dict[str, Callable[..., AuditConfig]] = {"default": AuditConfig, "strict": AuditConfig.strict}
