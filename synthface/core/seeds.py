"""Seeds derived from (run seed, what, which item): no global random state anywhere."""

import hashlib

import numpy as np


def derive_seed(seed: int, *parts: str | int) -> int:
    """Return a 63-bit seed that depends on the run seed and on every part, in order.

    SHA-256 rather than ``seed + index``: neighbouring runs must not share items. Torch's generator on the CPU reads the
    lower 32 bits alone, of which two in a hundred thousand are likely to be alike.

    Args:
        seed: the run's seed.
        parts: what the seed is for, for instance ``("generate", class_index, image_index)``.
    """
    text = "\x1f".join([str(int(seed)), *(f"{type(part).__name__}:{part}" for part in parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *parts: str | int) -> np.random.Generator:
    """Return an independent numpy generator for (seed, parts)."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *parts)))
