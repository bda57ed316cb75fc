"""Turn a training run's generator into one that may be shipped: its classes become people of nobody.

The rows of the training classes are replaced by draws from their distribution (or by mixtures of a few of them), and
what went into each is not stored; weights are kept as float16. So no class of the shipped file is a training person,
and none can be asked for.

    python scripts/export_generator.py runs/gan generator.safetensors --identities 500 --seed 0
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from gan.generator import Generator
from gan.identities import Code, MixtureConfig, SampleConfig, mixed_identity, sampled_identity
from gan.sampling import class_mixture
from gan.weights import generator_file, load_generator, read_header, save_generator

MIXTURE, SAMPLE = MixtureConfig(), SampleConfig()
MADE = {
    "sampled": f"drawn from the Gaussian fitted to the training classes' rows, by way of {SAMPLE.n_parents} of them",
    "mixed": f"a mixture of {MIXTURE.n_parents} training classes, none with more than {MIXTURE.max_weight:.0%}",
}


def code_of(kind: str, n_classes: int, index: int, seed: int) -> Code:
    """Return what identity ``index`` is made of."""
    if kind == "mixed":
        return mixed_identity(n_classes, index, seed, MIXTURE)
    return sampled_identity(n_classes, index, seed, SAMPLE)


def bake_identities(G: Generator, codes: list[Code]) -> Generator:
    """Return a generator whose classes are the identities of ``codes`` in ``G``."""
    embedding = class_mixture(G, codes)
    assert embedding is not None
    assert G.mapping.embed is not None
    baked = Generator(G.config, len(codes))
    state = {name: tensor for name, tensor in G.state_dict().items() if name != "mapping.embed.weight"}
    rows = (embedding - G.mapping.embed.bias) / G.mapping.embed.scale
    baked.load_state_dict({**state, "mapping.embed.weight": rows})
    return baked.eval()


def export(run: Path, out: Path, *, identities: int, seed: int, kind: str = "sampled") -> dict[str, Any]:
    """Write the file to ship; return facts for its card."""
    G = load_generator(run)
    info = read_header(generator_file(run))["info"]
    baked = bake_identities(G, [code_of(kind, G.n_classes, index, seed) for index in range(identities)])
    kept = {key: info[key] for key in ("seen_images", "training")}
    made = f"{MADE[kind]}; which ones is not stored"
    save_generator(baked, out, info={**kept, "identities": made}, dtype=torch.float16)
    seen = info["seen_images"] + info.get("seen_images_before", 0)
    sizes = {"resolution": G.resolution, "weights": sum(weight.numel() for weight in baked.parameters())}
    return {**sizes, "identities": identities, "seen_images": seen, "made": made}


def main() -> None:
    """Read the run, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of 'synthface train-gan'")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--identities", type=int, default=500)
    parser.add_argument("--kind", choices=sorted(MADE), default="sampled")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    export(arguments.run, arguments.out, identities=arguments.identities, seed=arguments.seed, kind=arguments.kind)
    print(f"{arguments.out}: {arguments.identities} identities, {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
