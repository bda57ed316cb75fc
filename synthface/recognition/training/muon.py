"""Muon: steps that are equally long in all directions of a kernel.

A kernel's momentum, seen as a matrix, is replaced by the nearest matrix of equal singular values (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon), so directions that gradients seldom point in are learnt as fast as the
others. ``torch.optim.Muon`` takes matrices only and rounds to bfloat16; here kernels of one shape go together, in
float32. Vectors (batch norms, biases, slopes), class centres and everything else outside the network learn by Adam.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

A, B, C = 3.4445, -4.7750, 2.0315  # of the quintic, as published
_ITERATIONS = 5
_MOMENTUM = 0.95
_ADAM_RATE = 0.1  # of the kernels' rate
_BETAS = (0.9, 0.95)
_EPS = 1e-8


def orthogonalised(matrices: Tensor) -> Tensor:
    """Bring the singular values of each of [N, R, C] matrices near to 1 (0.7 to 1.2), its singular vectors as they are.

    Newton and Schulz's iteration X <- (A + B XX' + C (XX')^2) X, five times. Each factor is a polynomial in the first
    Gram matrix, so it is the small Gram matrix alone that is iterated here, and X is multiplied once.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalised(matrices.mT).mT
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=_EPS)
    gram = x @ x.mT
    factor = step = _polynomial(gram)
    for _ in range(_ITERATIONS - 1):
        gram = step @ gram @ step
        step = _polynomial(gram)
        factor = step @ factor
    return factor @ x


def _polynomial(gram: Tensor) -> Tensor:
    values = torch.baddbmm(gram, gram, gram, beta=B, alpha=C)
    values.diagonal(dim1=1, dim2=2).add_(A)
    return values


class Muon(torch.optim.Optimizer):
    """Muon for kernels, Adam (arXiv 1412.6980) at a tenth of its rate for the rest; weight decay is decoupled.

    Args:
        kernels: parameters of two or more dimensions; all but the first count as one.
        others: any parameters.
        lr: of the kernels. A step changes an [R, C] kernel by about lr * sqrt(max(1, R / C)) in each of its directions.
        weight_decay: of the kernels; each step takes off lr times it.
    """

    def __init__(
        self, kernels: Iterable[Tensor], others: Iterable[Tensor], *, lr: float, weight_decay: float = 0.0
    ) -> None:
        groups = [{"params": list(kernels), "kernels": True}, {"params": list(others), "kernels": False}]
        defaults = {"lr": lr, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

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
            else:
                self._step_others(learning, group)
        return loss

    def _step_kernels(self, kernels: list[Tensor], group: dict[str, Any]) -> None:
        of_shape = defaultdict(list)
        for kernel in kernels:
            of_shape[kernel.shape].append(kernel)
        for shape, alike in of_shape.items():
            looking_ahead = []  # Nesterov's momentum
            for kernel in alike:
                assert kernel.grad is not None
                momentum = self._moment(kernel, "momentum").lerp_(kernel.grad, 1 - _MOMENTUM)
                looking_ahead.append(kernel.grad.lerp(momentum, _MOMENTUM).flatten(1))
            steps = orthogonalised(torch.stack(looking_ahead))
            stretch = max(1.0, steps.shape[1] / steps.shape[2]) ** 0.5
            for kernel, step in zip(alike, steps, strict=True):
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.add_(step.view(shape), alpha=-group["lr"] * stretch)

    def _step_others(self, others: list[Tensor], group: dict[str, Any]) -> None:
        for parameter in others:
            gradient, state = parameter.grad, self.state[parameter]
            assert gradient is not None
            count = state["step"] = state.get("step", 0) + 1
            mean = self._moment(parameter, "mean").lerp_(gradient, 1 - _BETAS[0])
            square = self._moment(parameter, "square").lerp_(gradient.square(), 1 - _BETAS[1])
            spread = (square / (1 - _BETAS[1] ** count)).sqrt() + _EPS
            parameter.addcdiv_(mean, spread, value=-_ADAM_RATE * group["lr"] / (1 - _BETAS[0] ** count))

    def _moment(self, parameter: Tensor, name: str) -> Tensor:
        """Return a running mean of a parameter's, 0 at first."""
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        moment: Tensor = state[name]
        return moment
