"""Random choices, one for each image."""

from torch import Generator, Tensor, rand, randn, where


class Draw:
    """Random numbers for N images, and the decision for each whether a transformation is on.

    Args:
        n: images.
        p: probability that a transformation is on.
        generator: source of all randomness, on the CPU.
    """

    def __init__(self, n: int, p: float, generator: Generator) -> None:
        self.n, self.p, self.generator = n, p, generator

    def switched(self, value: Tensor, neutral: float, p: float | None = None) -> Tensor:
        """Keep the values [N, ...] of some images, each with probability p, and make the others neutral."""
        on = rand(self.n, generator=self.generator) < (self.p if p is None else p)
        return where(on.reshape(-1, *[1] * (value.ndim - 1)), value, neutral)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """[N, *shape] uniform in [low, high)."""
        return rand(self.n, *shape, generator=self.generator) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        """[N, *shape] standard normal."""
        return randn(self.n, *shape, generator=self.generator)

    def integer(self, count: int) -> Tensor:
        """[N] whole numbers below ``count``, as floats."""
        return self.uniform(0, count).floor()
