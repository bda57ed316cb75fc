"""Batch norms folded into the layers before them: the same function, faster to evaluate."""

import copy
import itertools

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def folded_for_inference(network: nn.Module) -> nn.Module:
    """Return a channels-last copy in which batch norms are part of the layers before them.

    A module names its (layer, batch norm) pairs in ``norm_after``; in an ``nn.Sequential`` they stand side by side. The
    copy computes what the network computes in evaluation mode, to rounding; it cannot be trained or inverted with
    batch-norm priors. A network that is not ours is returned as it is.
    """
    if getattr(network, "is_foreign", False):
        return network
    folded = copy.deepcopy(network).eval()
    for module in list(folded.modules()):
        names = [name for name, _ in module.named_children()]
        pairs = itertools.pairwise(names) if isinstance(module, nn.Sequential) else ()
        for layer, norm in (*getattr(module, "norm_after", ()), *pairs):
            _fold(module, layer, norm)
    return folded.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _fold(module: nn.Module, layer_name: str, norm_name: str) -> None:
    layer, norm = module.get_submodule(layer_name), module.get_submodule(norm_name)
    if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        setattr(module, layer_name, fuse_conv_bn_eval(layer, norm))
    elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
        setattr(module, layer_name, fuse_linear_bn_eval(layer, norm))
    else:
        return
    setattr(module, norm_name, nn.Identity())
