"""A learning rate that falls before a run ends (arXiv 2405.18392, section 3)."""

from dataclasses import dataclass

from synthface.core.errors import ConfigError


@dataclass(frozen=True)
class CooldownConfig:
    """How the rate falls.

    Args:
        share: last share of the run's images or minutes in which the rate falls, linearly; 0 is off. A finished run
            that goes on with more of them goes on at the full rate.
        end: share of the rate that is left at the very end.
    """

    share: float = 0.5
    end: float = 0.0

    def __post_init__(self) -> None:
        for name in ("share", "end"):
            value = getattr(self, name)
            if not 0 <= value <= 1:  # NaN is not either
                raise ConfigError(f"--training.cooldown.{name} {value}: give a share from 0 to 1")

    def factor(self, done: float) -> float:
        """Return the factor of the learning rate when a share of the run is done."""
        left = max(1 - done, 0.0)
        return 1.0 if left >= self.share else self.end + (1 - self.end) * left / self.share
