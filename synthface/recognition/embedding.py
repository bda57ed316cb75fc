"""Embedding in micro-batches of one shape, side by side on a CPU's cores."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synthface.core.ahead import computed_ahead
from synthface.recognition.pixels import to_tensor

if TYPE_CHECKING:
    from synthface.recognition.recognizer import Recognizer

# Small enough for the activations to stay in a CPU's cache. Every batch has this size (the last is padded) and, on a
# CPU, one thread: an image's embedding depends on nothing but the image, and no core waits for another at each layer.
MICRO_BATCH = 16

Pixels = NDArray[np.uint8]
Raw = NDArray[np.float32]


def embed_batches(
    recognizer: "Recognizer", batches: Iterable[Callable[[], Pixels]], *, flip: bool = False, half: bool = False
) -> Iterator[Raw]:
    """Yield the raw embeddings [n, D] of batches of up to ``MICRO_BATCH`` faces [n, S, S, 3] uint8, in order.

    A batch is a function that returns its images: on a CPU it is called in the thread
    that embeds them, so that decoding one batch overlaps with embedding another.

    Args:
        recognizer: with what.
        batches: taken a few ahead of what is yielded.
        flip: add the embedding of each image's mirror.
        half: compute the network in bfloat16, where autocast does.
    """
    network = recognizer.folded
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))

    def embed(read: Callable[[], Pixels]) -> Raw:
        return _embed(recognizer, network, device, read(), flip=flip, half=half)

    # Somebody else's runtime shares the cores out itself.
    side_by_side = device.type == "cpu" and not getattr(recognizer.network, "is_foreign", False)
    if not side_by_side:
        yield from map(embed, batches)
        return
    with _single_threads() as threads:
        yield from computed_ahead(embed, batches, threads=threads, name="embed")


@torch.inference_mode()
def _embed(
    recognizer: "Recognizer", network: nn.Module, device: torch.device, images: Pixels, *, flip: bool, half: bool
) -> Raw:
    padded = np.zeros((MICRO_BATCH, *images.shape[1:]), np.uint8)
    padded[: len(images)] = images
    inputs: Tensor = recognizer.network_input(to_tensor(padded, device))
    # In the thread that computes: autocast is each thread's own.
    with torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext():
        raw = network(inputs.contiguous(memory_format=torch.channels_last)).float()
        if flip:
            raw = raw + network(inputs.flip(-1).contiguous(memory_format=torch.channels_last)).float()
    embedded: Raw = raw.cpu().numpy()[: len(images)]
    return embedded


@contextlib.contextmanager
def _single_threads() -> Iterator[int]:
    """Yield as many workers as torch has threads, of one thread each; torch's own rest meanwhile."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that are started now inherit it
    try:
        yield n_threads
    finally:
        torch.set_num_threads(n_threads)
