"""Read the generator of an official StyleGAN2-ADA-PyTorch pickle without running any code in it.

Such a file can execute anything when it is unpickled. Here it is read as data: only tensors, sizes and settings come
through, each compared with what our own layers compute; whatever else the file asks for ends the import. Networks
with the default architecture are read, conditional or not, from 8 to 1024 pixels. The model draws in float32. To go on
training, give the pickle itself to 'synthface train-gan --init', which takes its discriminator too.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from synthface.core.errors import ConfigError, WeightsError
from synthface.core.hashing import sha256_file

EXAMPLES = """
synthface import-gan network-snapshot-025000.pkl --out model.safetensors
synthface import-gan generator-alone.pkl --network G --out model.safetensors
"""


@dataclass(frozen=True)
class Options:
    """Options of ``synthface import-gan``.

    Args:
        file: the official network pickle.
        out: model file to write, .safetensors.
        network: G_ema is the moving average, which draws the good images; G is the generator as it was trained.
    """

    file: Path = field(metadata={"positional": True})
    out: Path
    network: Literal["G_ema", "G"] = "G_ema"

    def __post_init__(self) -> None:
        if self.out.suffix != ".safetensors":
            raise ConfigError(f"--out {self.out}: give a file name that ends in .safetensors")


def run(options: Options) -> None:
    """Convert the pickle's generator and say what it is."""
    from gan.official import import_generator
    from gan.weights import save_generator

    G = import_generator(options.file, options.network)
    info = {"imported_from": sha256_file(options.file), "which": options.network}
    _require_free(options.out, info)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_generator(G, options.out, info=info)
    config = G.config
    classes = f"{G.n_classes:,} classes" if G.n_classes else "no classes"
    print(
        f"{options.network} of {options.file}: {config.resolution}x{config.resolution} pixels, {classes}, "
        f"z {config.z_dim}, w {config.w_dim}, {config.mapping_layers} mapping layers, "
        f"{sum(p.numel() for p in G.parameters()):,} parameters"
    )
    print(f"written to {options.out}; nothing in the pickle was run")
    chosen = f" --classes 0-{min(G.n_classes, 100) - 1}" if G.n_classes > 1 else ""
    print(f"next: synthface generate --generator {options.out}{chosen} --per-class 20 --out synthetic")


def _require_free(out: Path, info: dict[str, str]) -> None:
    """Raise ConfigError if something else than an import of the same pickle stands at ``out``."""
    from gan.weights import read_header

    if not out.exists():
        return
    try:
        same = read_header(out)["info"] == info
    except WeightsError:
        same = False
    if not same:
        raise ConfigError(f"--out {out} already exists and holds something else; give another path or remove it")
