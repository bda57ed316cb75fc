"""IResNet-18, -34, -50 and -100 as in ArcFace (arXiv 1801.07698, section 3.1), with InsightFace's tensor names."""

import torch
from torch import Tensor, nn

from synthface.recognition.network_config import NetworkConfig
from synthface.recognition.networks.prelu import PReLU

BLOCKS = {  # residual blocks of the four stages
    "IResNet-18": (2, 2, 2, 2),
    "IResNet-34": (3, 4, 6, 3),
    "IResNet-50": (3, 4, 14, 3),
    "IResNet-100": (3, 13, 30, 3),
}
CHANNELS = (64, 128, 256, 512)


class IResBlock(nn.Module):
    """BN - 3x3 - BN - PReLU - 3x3 (with the stride) - BN, and a skip."""

    norm_after = (("conv1", "bn2"), ("conv2", "bn3"))

    def __init__(self, c_in: int, c_out: int, *, stride: int, bn_eps: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in, eps=bn_eps)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out, eps=bn_eps)
        self.prelu = PReLU(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out, eps=bn_eps)
        self.downsample: nn.Module | None = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), nn.BatchNorm2d(c_out, eps=bn_eps)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H / stride, W / stride]."""
        y = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return y + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """Maps normalised faces to raw embeddings; ``config.architecture`` says how deep it is."""

    norm_after = (("conv1", "bn1"), ("fc", "features"))

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        eps = config.bn_eps
        self.conv1 = nn.Conv2d(3, CHANNELS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS[0], eps=eps)
        self.prelu = PReLU(CHANNELS[0])
        c_in = CHANNELS[0]
        for stage, (channels, repeats) in enumerate(zip(CHANNELS, BLOCKS[config.architecture], strict=True), 1):
            blocks = []
            for repeat in range(repeats):
                blocks.append(IResBlock(c_in, channels, stride=2 if repeat == 0 else 1, bn_eps=eps))
                c_in = channels
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.bn2 = nn.BatchNorm2d(c_in, eps=eps)
        self.dropout = nn.Dropout(config.dropout)
        height, width = (side // 16 for side in config.input_size)
        self.fc = nn.Linear(c_in * height * width, config.embedding_dim)
        self.features = nn.BatchNorm1d(config.embedding_dim, eps=config.embed_bn_eps)
        self.features.weight.requires_grad_(False)  # stays 1: a scale would only change the length

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images [N, 3, height, width] -> raw embeddings [N, D]."""
        x = self.prelu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        # Channels-last maps are flattened in the order of the weights, channel first.
        return self.features(self.fc(self.dropout(torch.flatten(self.bn2(x), 1))))


def config_of_state(tensors: dict[str, Tensor]) -> NetworkConfig | None:
    """Return the config of an IResNet from its tensors' names and shapes, or None if it is none."""
    counts = tuple(
        len({name.split(".")[1] for name in tensors if name.startswith(f"layer{stage}.")}) for stage in (1, 2, 3, 4)
    )
    names = {blocks: name for name, blocks in BLOCKS.items()}
    if counts not in names or "fc.weight" not in tensors or tensors["fc.weight"].ndim != 2:
        return None
    embedding_dim, flat = tensors["fc.weight"].shape
    side = 16 * round((flat / CHANNELS[-1]) ** 0.5)
    return NetworkConfig(architecture=names[counts], input_size=(side, side), embedding_dim=embedding_dim)
