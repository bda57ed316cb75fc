"""What a training starts from: a network of fresh weights, as the flags describe it, or another recogniser's."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from synthface.core.errors import ConfigError
from synthface.core.seeds import derive_seed
from synthface.recognition.catalogue import WeightFile, find_weights
from synthface.recognition.network_config import ARCHITECTURE_OF, FOREIGN, NetworkConfig

if TYPE_CHECKING:
    from synthface.workflows.train_recognizer import Options


def network_config(options: "Options") -> NetworkConfig:
    """Return the network that is trained: that of --init, or the one that the flags describe.

    Raises:
        ConfigError: the flags describe another network than that of --init, or one that cannot be trained.
        WeightsError: --init cannot be read.
    """
    described = NetworkConfig(
        architecture=ARCHITECTURE_OF[options.network],
        input_size=(options.input_size, options.input_size),
        embedding_dim=options.embedding_dim,
        width=options.width,
        dropout=options.dropout if options.init is None else 0.0,
        bits=options.bits,
    )
    if options.init is None:
        return described
    config: NetworkConfig = _read(options.init).config
    if config.architecture == FOREIGN or config.bits is not None:
        raise ConfigError(f"--init {options.init}: give a network of this project's own kinds that is not rounded yet")
    if config.input_size[0] != config.input_size[1]:
        raise ConfigError(
            f"--init {options.init} sees {config.input_size[0]}x{config.input_size[1]} pixels; trainings are on square "
            "images, so give another"
        )
    # A flag at its default is one that was not given.
    asked, ordinary, own = (flags_of(each) for each in (described, NetworkConfig(), replace(config, dropout=0.0)))
    for name, value in asked.items():
        if value not in (ordinary[name], own[name]):
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} {value}: --init {options.init} has {own[name]}; leave {flag} out")
    return replace(config, dropout=options.dropout, bits=options.bits)


def flags_of(config: NetworkConfig) -> dict[str, Any]:
    """Return a network's shape as the flags that describe it."""
    return {
        "network": config.architecture.lower(),
        "input_size": config.side,
        "width": config.width,
        "embedding_dim": config.embedding_dim,
        "dropout": config.dropout,
    }


def make_network(options: "Options", config: NetworkConfig) -> Any:
    """Return the network, with fresh weights or with those of --init."""
    from synthface.recognition.networks.build import build_network
    from synthface.recognition.quantisation import quantise_layers

    network = build_network(replace(config, bits=None), seed=derive_seed(options.seed, "network"))
    if options.init is not None:
        network.load_state_dict(_read(options.init).state_dict())
    network.config = config
    if config.bits is not None:
        quantise_layers(network, config.bits)
    return network


def _read(init: str) -> Any:
    from synthface.recognition.weights import read_network

    weights: WeightFile = find_weights(init, flag="--init")
    if weights.imported is not None or weights.path.suffix == ".onnx":
        raise ConfigError(f"--init {init}: give a file of this project's own networks, or an InsightFace .pth")
    return read_network(weights)
