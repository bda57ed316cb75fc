"""Class-conditional StyleGAN2-ADA, written from the papers: networks, augmentation, training, sampling.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (arXiv 1912.04958) and
"Training Generative Adversarial Networks with Limited Data" (arXiv 2006.06676).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan.networks.generator import Generator
    from gan.weights import load_generator

__all__ = ["Generator", "load_generator"]


def __getattr__(name: str) -> Any:
    """Import torch only when a network is asked for: the command line reads ``gan.config`` without it."""
    if name == "Generator":
        from gan.networks.generator import Generator

        return Generator
    if name == "load_generator":
        from gan.weights import load_generator

        return load_generator
    raise AttributeError(f"module 'gan' has no attribute {name!r}")
