"""Turn a training run's generator into one that may be shipped: its classes become people of nobody.

The rows of the training classes are replaced by draws from the Gaussian with their mean and covariance, and weights are
kept as float16. The random numbers come from the operating system and are not kept: the rows hold the mean and the
covariance of the classes, not weights of single ones that somebody could solve for them. So no class of the file is a
training person and none can be asked for, and no run of this script gives the same file twice.

    python scripts/export_generator.py runs/gan generator.safetensors --identities 500
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan.networks.generator import Generator
from gan.weights import generator_file, load_generator, read_header, save_generator
from synthface.core.atomic import require_absent
from synthface.core.errors import SynthfaceError

MADE = (
    "drawn from the Gaussian that has the mean and covariance of the training classes' rows, with random numbers that "
    "were not kept"
)


def rows_like(rows: Tensor, count: int) -> Tensor:
    """Return [count, D] draws from the Gaussian with the mean and covariance of [C, D] ``rows``."""
    known = rows.double().numpy()
    drawn = np.random.default_rng().multivariate_normal(  # seeded by the operating system, on purpose
        known.mean(axis=0), np.cov(known, rowvar=False), size=count, method="eigh"
    )
    return torch.from_numpy(drawn).to(rows.dtype)


def with_new_identities(G: Generator, count: int) -> Generator:
    """Return a generator whose ``count`` classes are no class of ``G``."""
    assert G.mapping.embed is not None, "the generator has no classes"
    other = Generator(G.config, count)
    state = {name: tensor for name, tensor in G.state_dict().items() if name != "mapping.embed.weight"}
    other.load_state_dict({**state, "mapping.embed.weight": rows_like(G.mapping.embed.weight.detach(), count)})
    return other.eval()


def export(run: Path, out: Path, *, identities: int) -> None:
    """Write the file to ship.

    Raises:
        ConfigError: there is one already, which nobody could make again.
    """
    require_absent(out, flag="OUT")
    G = load_generator(run)
    info = read_header(generator_file(run))["info"]
    shipped = with_new_identities(G, identities)
    seen = info["seen_images"] + info.get("seen_images_before", 0)
    kept = {"seen_images": seen, "training": info["training"], "identities": MADE}
    save_generator(shipped, out, info=kept, dtype=torch.float16)


def main() -> None:
    """Read the run, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of 'synthface train-gan'")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--identities", type=int, default=500)
    arguments = parser.parse_args()
    try:
        export(arguments.run, arguments.out, identities=arguments.identities)
    except SynthfaceError as error:
        parser.error(str(error))
    print(f"{arguments.out}: {arguments.identities} identities, {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
