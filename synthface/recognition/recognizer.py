"""A recogniser: aligned face in, embedding out; crops, scales and normalises inside."""

from pathlib import Path

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from synthface.core.errors import DataError
from synthface.recognition.catalogue import find_weights
from synthface.recognition.embedding import MICRO_BATCH, embed_batches
from synthface.recognition.folding import folded_for_inference
from synthface.recognition.networks.build import Network
from synthface.recognition.weights import read_network


class Recognizer(nn.Module):
    """Embeds aligned faces.

    Attributes:
        network: the network inside, in evaluation mode, with its batch-norm statistics.
        name: catalogue name, or that of the file.
        sha256: hash of the weight file; empty for a network that was never written.
        input_size: height and width in pixels that the network sees.
        embedding_dim: numbers in an embedding.
    """

    def __init__(self, network: Network, *, name: str, sha256: str = "") -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.name = name
        self.sha256 = sha256
        self.input_size = network.config.input_size
        self.embedding_dim = network.config.embedding_dim
        self.side = network.config.side
        self._folded: tuple[object, object, nn.Module] | None = None  # in a tuple, so that it is no submodule
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Embed; differentiable with respect to the images.

        Args:
            images: [N, 3, S, S] float in [-1, 1], aligned to the ArcFace template (S is 112, or any other side).

        Returns:
            [N, D] raw embeddings.
        """
        return self.network(self.network_input(images))

    def network_input(self, images: Tensor) -> Tensor:
        """Resize, crop and normalise [N, 3, S, S] images in [-1, 1] to what the network expects."""
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise DataError(f"images of shape {tuple(images.shape)}; give square aligned faces, [N, 3, S, S]")
        if images.shape[-1] != self.side:
            images = F.interpolate(images, size=(self.side, self.side), mode="bicubic", antialias=True)
        height, width = self.input_size
        top, left = (self.side - height) // 2, (self.side - width) // 2
        return images[:, :, top : top + height, left : left + width] * self.network.config.pixel_scale

    @property
    def folded(self) -> nn.Module:
        """The network with its batch norms folded; made again when a tensor has changed (but by its ``.data``)."""
        state = list(self.network.state_dict(keep_vars=True).values())
        # Tensors made in inference mode count no versions: in that mode alone they can change.
        now = [(tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version, tensor.device) for tensor in state]
        if self._folded is None or self._folded[0] != now:
            # The tensors are kept, so that no new one is taken for them because it lies where they did.
            self._folded = (now, state, folded_for_inference(self.network))
        return self._folded[2]

    def embed(self, images: NDArray[np.uint8], flip: bool = False, *, half: bool = False) -> NDArray[np.float32]:
        """Return unit embeddings [N, D] of aligned faces [N, S, S, 3] uint8 RGB (S is 112, or any other side).

        Args:
            images: the faces.
            flip: add the embedding of each image's mirror before normalising.
            half: compute the network in bfloat16, where autocast does.
        """
        return self.embed_with_norms(images, flip=flip, half=half)[0]

    def embed_with_norms(
        self, images: NDArray[np.uint8], flip: bool = False, *, half: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return unit embeddings [N, D] and their norms before normalisation [N]; see ``embed``."""
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise DataError(f"images of shape {images.shape} and type {images.dtype}; give [N, S, S, 3] uint8")
        starts = range(0, len(images), MICRO_BATCH)
        batches = (lambda start=start: images[start : start + MICRO_BATCH] for start in starts)
        parts = embed_batches(self, batches, flip=flip, half=half)
        return unit_and_norms(np.concatenate([np.zeros((0, self.embedding_dim), np.float32), *parts]))


def unit_and_norms(raw: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Part raw embeddings [N, D] into unit ones [N, D] and their norms [N]."""
    norms = np.sqrt(np.square(raw, dtype=np.float64).sum(axis=1))
    unit = raw / np.maximum(norms, 1e-12)[:, None]
    return unit.astype(np.float32), norms.astype(np.float32)


def load_recognizer(name_or_path: str | Path, device: str = "cpu") -> Recognizer:
    """Load a recogniser, ready to embed.

    Args:
        name_or_path: a name of the catalogue (``mobilefacenet-ms1m``, ``mobilefacenet-casia``, ``synthface-student``,
            ``synthface-small``), a ``.safetensors`` file, a folder made by ``synthface train-recognizer``,
            an InsightFace IResNet (``.pth``), an ONNX file, or ``package.module:callable`` for a module that maps
            [N, 3, 112, 112] in [-1, 1] to [N, D].
        device: torch device.

    Raises:
        WeightsError: not found, damaged, or not a network that is known here; the message says what to put where.
    """
    weights = find_weights(name_or_path)
    return Recognizer(read_network(weights), name=weights.name, sha256=weights.sha256).to(device)
