"""What is optimised: pixels, Fourier coefficients, or the latents of a generator."""

from inversion.variables.fourier import FourierVariable
from inversion.variables.generator import GeneratorPrior, LatentVariable, eigenfaces
from inversion.variables.noise import start_noise
from inversion.variables.pixels import PixelVariable
from inversion.variables.start import start_variable
from inversion.variables.variable import Variable

__all__ = [
    "FourierVariable",
    "GeneratorPrior",
    "LatentVariable",
    "PixelVariable",
    "Variable",
    "eigenfaces",
    "start_noise",
    "start_variable",
]
