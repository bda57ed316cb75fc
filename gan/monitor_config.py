"""What a training measures of itself, and when it takes a step back; every default of the two stands here."""

from dataclasses import dataclass

from synthface.core.errors import ConfigError


@dataclass(frozen=True)
class MonitorConfig:
    """How often, and on which images, the quality of the generated images is measured.

    Args:
        ticks: ticks between two measurements; 0 is off, and then collapse is not noticed.
        classes: classes to draw, evenly spaced over those with at least 2 images.
        per_class: images a class, each from a seed of its own; also how many real images a class counts with.
        recognizer: name or file of the recogniser whose features are compared.
        neighbours: k of precision, recall, density and coverage.
    """

    ticks: int = 5
    classes: int = 128
    per_class: int = 4
    recognizer: str = "synthface-small"
    neighbours: int = 5

    def __post_init__(self) -> None:
        if self.ticks < 0:
            raise ConfigError(f"--monitor.ticks {self.ticks}: give a number of ticks, or 0 for off")
        if self.classes < 3 or self.per_class < 2 or self.neighbours < 1:
            raise ConfigError("--monitor: at least 3 classes, 2 images a class and 1 neighbour")


@dataclass(frozen=True)
class HealthConfig:
    """When a training counts as failed, and how often it may try again from its last good checkpoint.

    Args:
        max_rollbacks: rollbacks before the run stops with an error; each halves the learning rate.
        grace_kimg: thousand images, from the start and from the end of the transition, in which collapse is not judged.
        patience: measurements in a row that must show a collapse.
        min_share: it is a collapse when images vary less than this share of the real ones, in features and in pixels.
        max_r_t: the discriminator has run away when r_t stays above this, with p at 1 if p is adaptive ...
        runaway_kimg: ... for so many thousand images ...
        max_score_gap: ... or when mean scores of real and generated images are this far apart in "patience" ticks.
    """

    max_rollbacks: int = 3
    grace_kimg: float = 10.0
    patience: int = 2
    min_share: float = 0.1
    max_r_t: float = 0.95
    runaway_kimg: float = 50.0
    max_score_gap: float = 50.0

    def __post_init__(self) -> None:
        if self.max_rollbacks < 0 or self.patience < 1 or self.grace_kimg < 0 or self.runaway_kimg <= 0:
            raise ConfigError(
                "--health: max_rollbacks and grace_kimg are not negative, patience is at least 1, runaway_kimg positive"
            )
        if not 0 <= self.min_share < 1 or not 0 < self.max_r_t < 1 or self.max_score_gap <= 0:
            raise ConfigError("--health: min_share and max_r_t lie between 0 and 1, max_score_gap is positive")
