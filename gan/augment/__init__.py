"""Differentiable augmentation of what the discriminator sees (arXiv 2006.06676, section 2 and appendix B).

Each image draws its own transformations, each with probability p. All spatial filters and borders are matrices that
act on rows and on columns (``operators``): on a CPU two matrix products beat a convolution of three channels, and
their derivatives of any order come for free.
"""

from gan.augment.pipeline import augment

__all__ = ["augment"]
