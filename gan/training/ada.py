"""The controller of the augmentation probability (arXiv 2006.06676, section 3.1)."""

from typing import Any

from gan.config import AdaConfig


class AdaController:
    """Moves p so that r_t = E[sign D(real)], an overfitting measure, stays at its target."""

    def __init__(self, config: AdaConfig) -> None:
        self.config = config
        self.p = config.start if config.mode != "none" else 0.0
        self.r_t = 0.0
        self._sum, self._images, self._steps = 0.0, 0, 0

    def observe(self, sign_sum: float, n_images: int) -> None:
        """Take in one step's sum of sign D(real); adjust p every ``interval`` steps."""
        self._sum += sign_sum
        self._images += n_images
        self._steps += 1
        if self._steps % self.config.interval:
            return
        self.r_t = self._sum / max(self._images, 1)
        if self.config.mode == "adaptive":
            step = self._images / (self.config.kimg * 1000)
            direction = (self.r_t > self.config.target) - (self.r_t < self.config.target)
            self.p = min(max(self.p + direction * step, 0.0), 1.0)
        self._sum, self._images, self._steps = 0.0, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {"p": self.p, "r_t": self.r_t, "sum": self._sum, "images": self._images, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.p, self.r_t = float(state["p"]), float(state["r_t"])
        self._sum, self._images, self._steps = float(state["sum"]), int(state["images"]), int(state["steps"])
