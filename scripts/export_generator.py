"""Turn a training run's generator into one that may be shipped: its classes become mixed identities.

The rows of the training classes are replaced by mixtures of several of them, and what went into each is not stored;
weights are kept as float16. So no class of the shipped file is a training person, and none can be asked for.

    python scripts/export_generator.py runs/gan synthface/models/generator.safetensors --identities 500 --seed 0
"""

import argparse
from pathlib import Path

import torch

from gan.generator import Generator
from gan.identities import MixtureConfig, mixed_identity
from gan.sampling import class_mixture
from gan.weights import generator_file, load_generator, read_header, save_generator


def bake_mixed_identities(G: Generator, n_identities: int, seed: int, config: MixtureConfig) -> Generator:
    """Return a generator whose classes are mixed identities 0 .. n_identities - 1 of ``G``."""
    codes = [mixed_identity(G.n_classes, index, seed, config) for index in range(n_identities)]
    embedding = class_mixture(G, codes)
    assert embedding is not None
    assert G.mapping.embed is not None
    baked = Generator(G.config, n_identities)
    state = {name: tensor for name, tensor in G.state_dict().items() if name != "mapping.embed.weight"}
    rows = (embedding - G.mapping.embed.bias) / G.mapping.embed.scale
    baked.load_state_dict({**state, "mapping.embed.weight": rows})
    return baked.eval()


def main() -> None:
    """Read the run, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of 'synthface train-gan'")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--identities", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    G = load_generator(arguments.run)
    info = read_header(generator_file(arguments.run))["info"]
    config = MixtureConfig()
    baked = bake_mixed_identities(G, arguments.identities, arguments.seed, config)
    kept = {key: info[key] for key in ("seen_images", "training")}
    facts = {**kept, "identities": f"mixtures of {config.n_parents} training classes; the parents are not stored"}
    save_generator(baked, arguments.out, info=facts, dtype=torch.float16)
    print(f"{arguments.out}: {arguments.identities} identities, {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
