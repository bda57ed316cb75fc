"""Batch norms over the images of one process, or of all."""

from torch import nn

from synthface.core.errors import ConfigError
from synthface.recognition.networks.build import Network


def with_shared_batch_norms(network: Network, *, device_type: str) -> Network:
    """Return the network with batch norms that take mean and variance over the batch of all processes.

    Weights and their names stay as they were, and so does the network in evaluation.

    Raises:
        ConfigError: the device is no GPU, for which alone torch has such batch norms.
    """
    if device_type != "cuda":
        raise ConfigError(
            f"--sync-batch-norm needs --device cuda, not {device_type}; without it each process normalises by its own "
            "images"
        )
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)
