"""Every loss of the field, one idea a file; ``LOSSES`` makes them by name."""

from synthface.recognition.losses.recognition_loss import RecognitionLoss
from synthface.recognition.losses.registry import LOSSES, Loss
from synthface.recognition.losses.softmax_head import SoftmaxHead

__all__ = ["LOSSES", "Loss", "RecognitionLoss", "SoftmaxHead"]
