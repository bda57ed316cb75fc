"""The models that ship with the package: a generator with its audit, and two recognisers, each with its card."""

from pathlib import Path

from synthface.core.errors import WeightsError

GENERATOR = "generator.safetensors"
RECOGNIZER = "recognizer.safetensors"
STUDENT = "student.safetensors"
GENERATOR_AUDIT = "generator-audit.json"
GENERATOR_AUDIT_PAGE = "generator-audit.html"
THRESHOLDS = "thresholds.json"


def shipped_model(name: str) -> Path:
    """Return the path of a shipped model file.

    Raises:
        WeightsError: the installation lacks it.
    """
    path = Path(__file__).resolve().parent / name
    if not path.is_file():
        raise WeightsError(f"{path} is missing from this installation; install synthface-kit again")
    return path
