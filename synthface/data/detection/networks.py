"""The three networks of MTCNN (Zhang et al. 2016, "Joint face detection and alignment", figure 2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ProposalNet(nn.Module):
    """P-Net: fully convolutional, a 12x12 window every 2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.box = nn.Conv2d(32, 4, 1)
        self.face = nn.Conv2d(32, 2, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map [N, 3, H, W] to face probabilities [N, h, w] and box offsets [N, 4, h, w]."""
        x = F.max_pool2d(self.prelu1(self.conv1(images)), 2, 2, ceil_mode=True)
        x = self.prelu2(self.conv2(x))
        x = self.prelu3(self.conv3(x))
        return self.face(x).softmax(1)[:, 1], self.box(x)


class RefinementNet(nn.Module):
    """R-Net: judges and refines 24x24 crops."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense, self.prelu4 = nn.Linear(64 * 3 * 3, 128), nn.PReLU(128)
        self.box = nn.Linear(128, 4)
        self.face = nn.Linear(128, 2)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Map [N, 3, 24, 24] to face probabilities [N] and box offsets [N, 4]."""
        x = F.max_pool2d(self.prelu1(self.conv1(crops)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = self.prelu3(self.conv3(x)).flatten(1)
        x = self.prelu4(self.dense(x))
        return self.face(x).softmax(1)[:, 1], self.box(x)


class OutputNet(nn.Module):
    """O-Net: judges 48x48 crops, refines the box and places five landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense, self.prelu5 = nn.Linear(128 * 3 * 3, 256), nn.PReLU(256)
        self.box = nn.Linear(256, 4)
        self.landmarks = nn.Linear(256, 10)
        self.face = nn.Linear(256, 2)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map [N, 3, 48, 48] to face probabilities [N], box offsets [N, 4] and landmarks [N, 5, 2].

        Landmarks are (x, y) in units of the crop's side.
        """
        x = F.max_pool2d(self.prelu1(self.conv1(crops)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu3(self.conv3(x)), 2, 2, ceil_mode=True)
        x = self.prelu4(self.conv4(x)).flatten(1)
        x = self.prelu5(self.dense(x))
        # The ten numbers are five x, then five y.
        return self.face(x).softmax(1)[:, 1], self.box(x), self.landmarks(x).unflatten(1, (2, 5)).transpose(1, 2)


class Cascade(nn.Module):
    """The three networks together: what one weights file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.proposal = ProposalNet()
        self.refinement = RefinementNet()
        self.output = OutputNet()


def normalise(pixels: Tensor) -> Tensor:
    """Map [N, H, W, 3] uint8 RGB to the networks' input, [N, 3, H, W] float."""
    return (pixels.permute(0, 3, 1, 2).to(torch.float32) - 127.5) / 128
