"""Templates that are protected before they are stored: what an attacker who knows the protection gets from them.

A protection is a function ``f(embeddings)``, or ``f(embeddings, strength)``, of [N, D] unit embeddings to [N, D'].
It is called with a numpy array for the templates. If it also takes torch tensors and lets a gradient through, the
images are optimised until ``f(R(image))`` matches ``f(t)``, whatever D' is; a step that has no gradient, such as
rounding, is to pass it straight through, as ``straight_through`` does. Otherwise the protected template is itself the
target, which needs D' = D.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inversion.targets.groups import check_targets
from synthface.core.errors import ConfigError, DataError
from synthface.core.seeds import numpy_generator

if TYPE_CHECKING:
    from torch import nn

Function = Callable[..., Any]


def straight_through(smooth: Any, rounded: Any) -> Any:
    """Return ``rounded`` with the gradient of ``smooth`` (torch), or just ``rounded`` (numpy).

    Source: Bengio, Leonard and Courville, arXiv 1308.3432, section 4 (straight-through estimator).
    """
    return rounded if isinstance(smooth, np.ndarray) else smooth + (rounded - smooth).detach()


def quantise(embeddings: Any, strength: float) -> Any:
    """Keep ``strength`` bits of each number: 8 is nearly everything, 1 is its sign.

    Levels are spread evenly over three standard deviations of a random unit vector's numbers.
    """
    bits = round(strength)
    if not 1 <= bits <= 16:
        raise ConfigError(f"--strengths {strength:g}: quantise keeps 1 to 16 bits")
    reach = 3 / embeddings.shape[1] ** 0.5
    step = 2 * reach / 2**bits
    index = (embeddings / step - 0.5).round().clip(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return straight_through(embeddings, (index + 0.5) * step)


def noise(embeddings: NDArray[np.floating], strength: float) -> NDArray[np.floating]:
    """Add Gaussian noise ``strength`` times as long as the embedding; the cosine to it falls to 1/sqrt(1 + s^2)."""
    if strength < 0:
        raise ConfigError(f"--strengths {strength:g}: noise is 0 or more")
    drawn = numpy_generator(0, "protection noise").normal(size=embeddings.shape)
    noisy: NDArray[np.floating] = embeddings + strength * drawn / embeddings.shape[1] ** 0.5
    return noisy


def project(embeddings: Any, strength: float) -> Any:
    """Hash to the signs of ``strength`` random projections (fewer: stronger); their directions are known.

    Source: Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002, section 3; as a template
    protection: Teoh, Goh and Ngo, "BioHashing", IEEE TPAMI 28 (2006) 1892-1901.
    """
    bits = round(strength)
    if bits < 1:
        raise ConfigError(f"--strengths {strength:g}: project keeps at least one bit")
    directions = numpy_generator(0, "protection directions").normal(size=(embeddings.shape[1], bits))
    if isinstance(embeddings, np.ndarray):
        return np.sign(embeddings @ directions)
    import torch

    projected = embeddings @ torch.as_tensor(directions, dtype=embeddings.dtype, device=embeddings.device)
    return straight_through(projected, projected.sign())


BUILT_IN: dict[str, Function] = {"quantise": quantise, "noise": noise, "project": project}


def load_protection(name: str) -> Function:
    """Return a built-in protection, or the function that ``module:function`` names.

    Raises:
        ConfigError: there is neither.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute) if attribute else None
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"--protect {name} cannot be imported ({error})") from None
    if not callable(function):
        known = ", ".join(BUILT_IN)
        raise ConfigError(f"--protect {name}: neither a built-in ({known}) nor module:function")
    loaded: Function = function
    return loaded


@dataclass(frozen=True)
class Protection:
    """A protection at one strength.

    Attributes:
        function: what is called.
        strength: its second argument, or None for a function of the embeddings alone.
        name: how it was asked for, for messages.
    """

    function: Function
    strength: float | None
    name: str

    def __post_init__(self) -> None:
        try:
            wanted = len(inspect.signature(self.function).parameters)
        except (TypeError, ValueError):
            return
        if self.strength is None and self.function in BUILT_IN.values():
            raise ConfigError(f"--protect {self.name} needs --strengths")
        if self.strength is not None and wanted < 2:
            raise ConfigError(f"--protect {self.name} takes no strength; leave out --strengths")

    def __call__(self, embeddings: Any) -> Any:
        """Protect [N, D] unit embeddings, numpy or torch."""
        return self.function(embeddings) if self.strength is None else self.function(embeddings, self.strength)

    def templates(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the protected templates at unit length, [N, D'].

        Raises:
            DataError: the function returned something else, NaN, infinity or zero vectors.
        """
        protected = np.asarray(self(embeddings))
        if protected.ndim != 2 or len(protected) != len(embeddings):
            raise DataError(
                f"--protect {self.name} returned shape {protected.shape} for {len(embeddings)} embeddings; "
                "it must return one row for each"
            )
        try:
            return check_targets(protected)
        except DataError as error:
            raise DataError(f"--protect {self.name}: {error}") from None

    def lets_gradients_through(self, dimension: int) -> bool:
        """Say whether the function can be followed by a gradient."""
        import torch

        probe = torch.nn.functional.normalize(torch.ones(2, dimension)).requires_grad_()
        try:
            protected = self(probe)
        except ConfigError:
            raise
        except Exception:  # noqa: BLE001 (a numpy function fails on tensors in ways of its own)
            return False
        return isinstance(protected, torch.Tensor) and protected.requires_grad

    def protected_model(self, model: "nn.Module", dimension: int, protected_dimension: int) -> "nn.Module":
        """Return what is to be inverted: ``f`` after the recogniser where a gradient passes, else the recogniser.

        Raises:
            ConfigError: no gradient passes, and templates are of another dimension than embeddings.
        """
        if self.lets_gradients_through(dimension):
            from inversion.protected_model import ProtectedModel

            return ProtectedModel(model, self)
        if protected_dimension != dimension:
            raise ConfigError(
                f"--protect {self.name} makes {protected_dimension} numbers of {dimension} and takes no torch tensors, "
                "so there is no gradient to follow; write it with torch operations"
            )
        return model
