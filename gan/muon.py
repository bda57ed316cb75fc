"""Muon for adversarial training: steps that are equally long in all directions of a kernel, and without momentum.

Each gradient of a kernel, seen as a matrix, is replaced by the nearest matrix of equal singular values
(``synthface.optimisation.muon``). How long a step is follows Adam as StyleGAN2 uses it: memory of lengths, none of
directions. The step of a penalty is shorter than the others if its gradient is smaller than theirs, and never longer.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from synthface.optimisation.muon import orthogonalised

_EPS = 1e-8


class AdversarialMuon(torch.optim.Optimizer):
    """Muon for the kernels of a network's convolutions, Adam (arXiv 1412.6980) with no momentum for all the rest.

    Args:
        network: whose parameters learn; those of four dimensions with more than one pixel are kernels.
        lr: Adam's rate. A kernel's step has the mean square that Adam's would have, or less where its gradient is
            smaller than usual.
        beta2: share of the old mean square of gradients that is kept.
    """

    def __init__(self, network: nn.Module, *, lr: float, beta2: float) -> None:
        parameters = list(network.parameters())
        kernels = [parameter for parameter in parameters if _is_kernel(parameter)]
        others = [parameter for parameter in parameters if not _is_kernel(parameter)]
        groups = [{"params": kernels, "kernels": True}, {"params": others, "kernels": False}]
        super().__init__([group for group in groups if group["params"]], {"lr": lr, "betas": (0.0, beta2)})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            learning = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["kernels"]:
                self._step_kernels(learning, group)
            elif learning:
                self._step_others(learning, group)
        return loss

    def _step_kernels(self, kernels: list[Tensor], group: dict[str, Any]) -> None:
        of_shape = defaultdict(list)
        for kernel in kernels:
            of_shape[kernel.shape].append(kernel)
        for shape, alike in of_shape.items():
            gradients = torch.stack([kernel.grad.flatten(1) for kernel in alike])  # type: ignore[union-attr]
            squares = gradients.square().sum(dim=(1, 2))
            usual = torch.stack(
                [self._mean_square(kernel, square, group) for kernel, square in zip(alike, squares, strict=True)]
            )
            lengths = (squares / usual.clamp(min=_EPS**2)).sqrt().clamp(max=1) * max(gradients.shape[1:]) ** 0.5
            steps = orthogonalised(gradients) * (group["lr"] * lengths)[:, None, None]
            for kernel, step in zip(alike, steps, strict=True):
                kernel.sub_(step.view(shape))

    def _step_others(self, others: list[Tensor], group: dict[str, Any]) -> None:
        gradients: list[Tensor] = [parameter.grad for parameter in others]  # type: ignore[misc]  # not None, see above
        pairs = zip(others, gradients, strict=True)
        spreads = [self._mean_square(parameter, gradient.square(), group) for parameter, gradient in pairs]
        torch._foreach_sqrt_(spreads)
        torch._foreach_add_(spreads, _EPS)
        torch._foreach_addcdiv_(others, gradients, spreads, value=-group["lr"])

    def _mean_square(self, parameter: Tensor, square: Tensor, group: dict[str, Any]) -> Tensor:
        """Return the running mean with a new value in it, without the bias of having begun at 0."""
        beta, state = group["betas"][1], self.state[parameter]
        if "square" not in state:
            state["square"], state["step"] = torch.zeros_like(square), 0
        state["step"] += 1
        mean: Tensor = state["square"].lerp_(square, 1 - beta)
        return mean / (1 - beta ** state["step"])


def _is_kernel(parameter: Tensor) -> bool:
    return parameter.ndim == 4 and parameter.shape[-1] > 1
