"""What a recogniser's network looks like; plain data, free of torch."""

from dataclasses import dataclass
from typing import Any

from synthface.core.errors import ConfigError, WeightsError

ARCHITECTURES = (
    "MobileFaceNet",
    "IResNet-18",
    "IResNet-34",
    "IResNet-50",
    "IResNet-100",
    "PocketNet-S",
    "PocketNet-M",
    "PatchResNet",
)
ARCHITECTURE_OF = {name.lower(): name for name in ARCHITECTURES}  # by the name that --network takes
SCALABLE = ("MobileFaceNet", "PatchResNet")
FOREIGN = "foreign"  # somebody else's, in no file of ours
ALIGNED_SIDE = 112  # pixels a side of the ArcFace template


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape of a recogniser's network.

    The network sees the aligned square face resized to ``max(input_size)`` pixels a side and cropped about its centre:
    (112, 96) is columns 8..103 of the 112x112 face.

    Args:
        architecture: one of ``ARCHITECTURES``.
        input_size: height and width in pixels, multiples of 16.
        embedding_dim: numbers in an embedding.
        width: factor on every channel count of a MobileFaceNet or PatchResNet (1 is the published network).
        bn_eps: epsilon of the batch norms.
        embed_bn_eps: epsilon of the last batch norm.
        embed_bias: whether the last linear map of a MobileFaceNet has a bias.
        dropout: share of an IResNet's last map that is left out in training.
        bits: of weights and of what convolutions and linear maps take in, rounded as in ``quantisation``; None: float.
    """

    architecture: str = "MobileFaceNet"
    input_size: tuple[int, int] = (ALIGNED_SIDE, ALIGNED_SIDE)
    embedding_dim: int = 128
    width: float = 1.0
    bn_eps: float = 1e-5
    embed_bn_eps: float = 1e-5
    embed_bias: bool = False
    dropout: float = 0.0
    bits: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_size", tuple(int(side) for side in self.input_size))
        if len(self.input_size) != 2 or any(side < 16 or side % 16 for side in self.input_size):
            raise ConfigError(f"--input-size {self.input_size}: give multiples of 16 pixels")
        if self.embedding_dim < 2:
            raise ConfigError(f"--embedding-dim {self.embedding_dim}: give at least 2")
        if not 0.05 <= self.width <= 8:
            raise ConfigError(f"--width {self.width}: give a factor from 0.05 to 8")
        if self.architecture not in (*ARCHITECTURES, FOREIGN):
            raise ConfigError(f"--network {self.architecture}: give one of {', '.join(ARCHITECTURES)}")
        if self.width != 1 and self.architecture not in SCALABLE:
            raise ConfigError(f"--width {self.width}: only {' and '.join(SCALABLE)} have a width")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"a dropout of {self.dropout} is not in [0, 1)")
        if self.dropout and not self.architecture.startswith("IResNet"):
            raise ConfigError(f"--dropout {self.dropout}: only an IResNet has one")
        if self.bits is not None and (type(self.bits) is not int or not 2 <= self.bits <= 8):
            raise ConfigError(f"--bits {self.bits}: give 2 to 8")

    @property
    def side(self) -> int:
        """Pixels a side of the square face before the crop."""
        return max(self.input_size)

    @property
    def pixel_scale(self) -> float:
        """Factor on pixels in [-1, 1]: MobileFaceNets expect (p - 127.5) / 128, the others (p - 127.5) / 127.5."""
        return 127.5 / 128 if self.architecture == "MobileFaceNet" else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the config as it stands in a safetensors header."""
        return {key: value for key, value in vars(self).items() if key != "bits" or value is not None}


def config_from_json(value: Any, *, source: str) -> NetworkConfig:
    """Read a config from a safetensors header or from the JSON description beside a weight file.

    Args:
        value: the JSON value; ``input_hw`` is read as ``input_size``.
        source: where it came from, for messages.

    Raises:
        WeightsError: no description of a network that is known here.
    """
    # Descriptions of published files may say more after the name.
    stated = str(value.get("architecture", "")) if isinstance(value, dict) else ""
    name = next((name for name in sorted(ARCHITECTURES, key=len, reverse=True) if stated.startswith(name)), None)
    if name is None:
        raise WeightsError(f"{source} describes none of {', '.join(ARCHITECTURES)}; other networks are not supported")
    fields = {key: value[key] for key in vars(NetworkConfig()) if key in value} | {"architecture": name}
    if "input_hw" in value:
        fields["input_size"] = value["input_hw"]
    if "bn_eps" in fields:
        fields.setdefault("embed_bn_eps", fields["bn_eps"])
    try:
        return NetworkConfig(**fields)
    except (ConfigError, TypeError, ValueError) as error:
        raise WeightsError(f"{source} describes no usable network ({error})") from None
