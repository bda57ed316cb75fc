"""The frozen network of a feature discriminator: a recogniser's maps, one for each resolution, and its embedding."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from gan.config import TrainingConfig
from synthface.core.errors import ConfigError
from synthface.recognition import load_recognizer
from synthface.recognition.folding import folded_for_inference
from synthface.recognition.recognizer import Recognizer

SMALLEST_MAP = 4


def frozen_features(training: TrainingConfig, device: Any) -> "RecognizerFeatures | None":
    """Return the network of the feature discriminator that the settings ask for, or None.

    Raises:
        ConfigError: its recogniser cannot be cut into maps.
        WeightsError: it cannot be loaded.
    """
    config = training.features
    if config.mode == "off":
        return None
    recognizer = load_recognizer(config.recognizer)
    if getattr(recognizer.network, "is_foreign", False):
        raise ConfigError(
            f"--training.features.recognizer {config.recognizer}: only a network of this package shows its maps; "
            "give a name of the catalogue or what 'synthface train-recognizer' wrote"
        )
    return RecognizerFeatures(recognizer, config.finest).to(device)


class RecognizerFeatures(nn.Module):
    """[N, 3, S, S] images -> the last map of each resolution from ``finest`` to 4 pixels a side, then the embedding.

    Heads halve their maps, so one whose side is no power of two comes averaged down to the next: 7 pixels, as most
    recognisers have in the end, to 4.

    Args:
        recognizer: its network, batch norms folded into the layers before them, is traced and cut into its maps.
        finest: pixels a side of the first map.

    Attributes:
        sha256: hash of the recogniser's weights.
        shapes: channels and side of each map.
    """

    def __init__(self, recognizer: Recognizer, finest: int = 32) -> None:
        super().__init__()
        self.sha256, self._prepare = recognizer.sha256, recognizer.network_input
        side = recognizer.side
        self.maps = _cut(folded_for_inference(recognizer.network), self._prepare(torch.zeros(1, 3, side, side)), finest)
        self.requires_grad_(False)
        with torch.no_grad():
            found: Sequence[Tensor] = self(torch.zeros(1, 3, side, side))
        self.shapes = [(part.shape[1], part.shape[2]) for part in found]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps, finest first; the embedding is a map of one pixel."""
        x = self._prepare(images).contiguous(memory_format=torch.channels_last)
        *maps, embedding = self.maps(x)
        halvable = [_averaged(part, 1 << (part.shape[-1].bit_length() - 1)) for part in maps]
        return [*halvable, embedding[:, :, None, None]]


def _averaged(x: Tensor, side: int) -> Tensor:
    return x if x.shape[-1] == side else F.adaptive_avg_pool2d(x, side)


def _cut(network: nn.Module, example: Tensor, finest: int) -> fx.GraphModule:
    """Return the network with another output: the last value of each resolution, and what it returned before."""
    traced = fx.GraphModule(network, _WholeLayers().trace(network))
    sides = _Sides(traced)
    with torch.no_grad():
        sides.run(example)
    output = next(node for node in traced.graph.nodes if node.op == "output")
    wanted = [node for side, node in sides.last.items() if SMALLEST_MAP <= side <= finest]
    output.args = ((*wanted, output.args[0]),)
    traced.recompile()
    return traced


class _WholeLayers(fx.Tracer):
    """Does not look into layers, whoever wrote them: what they do may depend on their input."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Say whether a module is one step of the graph."""
        return next(m.children(), None) is None


class _Sides(fx.Interpreter):
    """Notes the last square map of each side while a network runs."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.last: dict[int, fx.Node] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if n.op not in ("placeholder", "output") and isinstance(value, Tensor) and value.ndim == 4:
            self.last[value.shape[2]] = n
        return value
