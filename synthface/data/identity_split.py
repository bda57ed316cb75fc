"""Which identities are trained on, which are held out, and which are kept as a placebo."""

from collections.abc import Mapping
from typing import Literal

from synthface.core.errors import DataError
from synthface.core.seeds import derive_seed

Role = Literal["train", "holdout", "placebo"]
ROLES: tuple[Role, ...] = ("train", "holdout", "placebo")


def split_identities(n_images: Mapping[str, int], *, holdout: float, min_images: int, seed: int) -> dict[str, Role]:
    """Give each identity its role.

    Those with fewer than ``min_images`` images are the placebo. The others stand in a random order, from the seed and
    the names alone (SHA-256), so that no version of a library can change it; the first of them are held out.

    Args:
        n_images: number of images of each identity.
        holdout: share of the others that is held out, above 0 and below 1; rounded, but neither part is empty.
        min_images: images that an identity needs to be trained on or held out.
        seed: the split's seed.

    Raises:
        DataError: fewer than two identities have enough images.
    """
    eligible = [identity for identity, n in n_images.items() if n >= min_images]
    if len(eligible) < 2:
        raise DataError(
            f"{len(eligible)} of {len(n_images)} identities have {min_images} or more images, and a split needs two; "
            "lower --min-images or give more photos"
        )
    eligible.sort(key=lambda identity: (derive_seed(seed, "split", identity), identity))
    n_holdout = min(max(round(holdout * len(eligible)), 1), len(eligible) - 1)
    roles: dict[str, Role] = dict.fromkeys(n_images, "placebo")
    roles |= dict.fromkeys(eligible[:n_holdout], "holdout")
    roles |= dict.fromkeys(eligible[n_holdout:], "train")
    return roles
