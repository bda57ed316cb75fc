"""The sizes of an official network as our configuration."""

from gan.config import NetworkConfig
from gan.official.comparison import compare, find_module, shown, unsupported
from gan.official.layers import MINIBATCH_LAYER
from gan.official.networks import OfficialNetwork

_RESOLUTIONS = tuple(2**k for k in range(3, 11))


def generator_sizes(network: OfficialNetwork, label: str) -> tuple[NetworkConfig, int]:
    """Return the configuration and the number of classes of a generator."""
    resolution = _resolution(network, label)
    config = NetworkConfig(
        resolution=resolution,
        z_dim=_size(network, "z_dim", label),
        w_dim=_size(network, "w_dim", label),
        mapping_layers=sum(path.startswith("mapping.fc") for path in network.modules) or 1,
        **_channels({r: f"synthesis.b{r}.conv1" for r in _halvings(resolution)}, network, label),
        class_scale=0.0,
        clamp=_clamp(network, "synthesis.b4.conv1", label),
    )
    return config, _size(network, "c_dim", label)


def discriminator_sizes(network: OfficialNetwork, label: str) -> tuple[NetworkConfig, int]:
    """Return the configuration and the number of classes of a discriminator."""
    resolution = _resolution(network, label)
    paths = {r: f"b{r}.conv0" for r in _halvings(resolution) if r > 4} | {4: "b4.fc"}
    config = NetworkConfig(
        resolution=resolution,
        **_channels(paths, network, label),
        class_scale=0.0,
        clamp=_clamp(network, "b4.conv", label),
        group_size=_group_size(network, label),
    )
    return config, _size(network, "c_dim", label)


def _size(network: OfficialNetwork, name: str, label: str) -> int:
    value = network.root.attributes.get(name)
    # Sizes beyond these fit no tensor that a file could hold.
    if type(value) is not int or not (name in ("c_dim", "z_dim") or value) or not 0 <= value <= 10_000_000:
        unsupported(f"{label}.{name}", f"{shown(value)}, which is no size")
    return value


def _resolution(network: OfficialNetwork, label: str) -> int:
    resolution = _size(network, "img_resolution", label)
    if resolution not in _RESOLUTIONS:
        unsupported(f"{label}.img_resolution", f"{resolution}, where a power of two from 8 to 1024 is needed")
    return resolution


def _halvings(resolution: int) -> list[int]:
    return [2**k for k in range(2, resolution.bit_length())]


def _channels(paths: dict[int, str], network: OfficialNetwork, label: str) -> dict[str, int]:
    """Return the channel_base and channel_max that give each resolution the channels its layer has.

    min(base // r, max) = c_r for all r, if anything does, is solved by max = max c_r and base = max r c_r.
    """
    channels = {}
    for resolution, path in paths.items():
        weight = find_module(network, path, label).tensors.get("weight")
        if weight is None or weight.ndim < 2 or not weight.shape[0]:
            unsupported(f"{label}.{path}.weight", "missing or empty")
        channels[resolution] = weight.shape[0]
    return {"channel_base": max(r * c for r, c in channels.items()), "channel_max": max(channels.values())}


def _clamp(network: OfficialNetwork, path: str, label: str) -> float:
    clamp = find_module(network, path, label).attributes.get("conv_clamp")
    if clamp is not None and not (type(clamp) in (int, float) and clamp > 0):
        unsupported(f"{label}.{path}.conv_clamp", shown(clamp))
    return float(clamp or 0.0)


def _group_size(network: OfficialNetwork, label: str) -> int:
    """Return the group size of the minibatch deviation; 0 for the whole batch, which is None there."""
    layer = find_module(network, MINIBATCH_LAYER, label)
    compare({"num_channels": 1}, layer, f"{label}.{MINIBATCH_LAYER}")
    size = layer.attributes.get("group_size", "missing")
    if size is not None and not (type(size) is int and 0 < size < 2**31):
        unsupported(f"{label}.{MINIBATCH_LAYER}.group_size", f"{shown(size)}, which is no number of images")
    return size or 0
