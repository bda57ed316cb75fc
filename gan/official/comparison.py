"""What is compared between an official network and ours, and the refusal when it differs."""

import math
from typing import Any, NoReturn

from gan.official.networks import OfficialModule, OfficialNetwork
from synthface.core.errors import WeightsError


def unsupported(label: str, fact: str) -> NoReturn:
    """Refuse a network."""
    raise WeightsError(
        f"{label} is {fact}; imported are networks of stylegan2-ada-pytorch with a skip generator and a resnet "
        "discriminator"
    )


def find_module(network: OfficialNetwork, path: str, label: str) -> OfficialModule:
    """Return the layer of a path."""
    if path not in network.modules:
        unsupported(f"{label}.{path}", "missing")
    return network.modules[path]


def require_kind(network: OfficialNetwork, kind: str, label: str) -> None:
    """Refuse a network of another class or with other than three colours."""
    if network.root.class_name != kind:
        unsupported(label, f"a {shown(network.root.class_name)}, where a {kind!r} is needed")
    compare({"img_channels": 3}, network.root, label)


def compare(expected: dict[str, Any], official: OfficialModule, label: str) -> None:
    """Refuse a layer whose attributes say something else than expected."""
    for name, value in expected.items():
        found = official.attributes.get(name, "missing")
        if not _same(found, value):
            unsupported(f"{label}.{name}", f"{shown(found)}, where only {value!r} is supported")


def _same(found: Any, value: Any) -> bool:
    if isinstance(value, int | float):
        numeric = type(found) in (bool, float) or (type(found) is int and abs(found) < 2**53)
        return numeric and math.isclose(found, value, rel_tol=1e-6)
    return type(found) is type(value) and bool(found == value)


def shown(value: Any) -> str:
    """Return a short text for a message; of a container only the type, since it may contain itself."""
    simple = value is None or isinstance(value, str | int | float)
    return f"{value!r:.40}" if simple else f"a {type(value).__name__}"
