"""A recogniser that stores protected templates."""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class ProtectedModel(nn.Module):
    """Embeds, brings to unit length, protects: f(R(x) / |R(x)|)."""

    def __init__(self, model: nn.Module, protect: Callable[[Any], Any]) -> None:
        super().__init__()
        self.model = model
        self._protect = protect

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, 112, 112] in [-1, 1] -> [N, D']."""
        protected: Tensor = self._protect(F.normalize(self.model(images)))
        return protected
