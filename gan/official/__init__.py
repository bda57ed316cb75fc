"""Official StyleGAN2-ADA-PyTorch network pickles, read without running anything in them.

Such a file holds, beside the numbers, the source text of the networks and names of functions to call with it. Here
a pickle is data for a small machine of our own (``machine``), which can build numbers, text and containers, and to
which each of the few function names it needs means a harmless stand-in (``stand_ins``). Only shapes and values
come through; they are checked against our networks layer by layer (``layers``, ``convert``).
"""

from gan.official.convert import ImportedNetworks, import_discriminator, import_generator, import_networks
from gan.official.networks import OfficialModule, read_networks

__all__ = [
    "ImportedNetworks",
    "OfficialModule",
    "import_discriminator",
    "import_generator",
    "import_networks",
    "read_networks",
]
