"""A process's part of the classes."""

from dataclasses import dataclass

from synthface.core.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """One of ``count`` runs of neighbouring classes, of equal size but for one class."""

    rank: int = 0
    count: int = 1

    def rows(self, n_classes: int) -> range:
        """Return the classes of this part.

        Raises:
            ConfigError: fewer classes than parts.
        """
        if n_classes < self.count:
            raise ConfigError(f"{n_classes} classes cannot be spread over {self.count} processes")
        return range(n_classes * self.rank // self.count, n_classes * (self.rank + 1) // self.count)
